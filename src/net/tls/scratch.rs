//! Scratch: room that all connections share while one of them encrypts or decrypts.

/// The first byte of every TLS connection: a record with a handshake message (RFC 8446 5.1). No
/// request begins with it.
pub(in crate::net) const HANDSHAKE: u8 = 0x16;

/// Plain bytes and cipher; nothing before the first use.
#[derive(Debug, Default)]
pub(in crate::net) struct Scratch {
    #[cfg(feature = "tls")]
    pub(super) plain: Vec<u8>,
    #[cfg(feature = "tls")]
    pub(super) cipher: Vec<u8>,
}
