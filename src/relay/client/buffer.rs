//! Buffer: bytes of a client that wait. Never reads their meaning.

/// See the module.
#[derive(Debug, Default)]
pub(in crate::relay) struct Buffer {
    pub(in crate::relay) bytes: Vec<u8>,
}
