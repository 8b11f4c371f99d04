//! Session: the two kinds of rustls' session, and one way to have either go on. Pure: cipher and
//! plain bytes go in and come out, and nothing is read or sent.
//!
//! The unbuffered interface: cipher is decrypted where it was read, and an idle session owns no
//! buffers.

use std::fmt;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ServerConfig};

use super::trust::Trust;

/// Most plain bytes of one record (RFC 8446 5.1).
pub(super) const RECORD_PLAIN: usize = 16 << 10;

/// Most bytes of a record as it travels: a header, and what TLS 1.2 allows beyond the plain bytes.
pub(super) const RECORD_CIPHER: usize = 5 + RECORD_PLAIN + 2048;

/// What most records need beside their plain bytes.
const RECORD_MORE: usize = 64;

/// See the module.
pub(super) enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// How far a session has gone with what came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Advanced {
    /// Cipher bytes that are dealt with; those behind are of a record that is not whole.
    pub(super) used: usize,
    /// The peer's `close_notify` was among them.
    pub(super) has_ended: bool,
}

/// What is to be encrypted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// Plain bytes, of one record at most.
    Plain(&'a [u8]),
    /// That nothing comes behind.
    CloseNotify,
}

/// What one step of a session asks for.
enum Step {
    /// Another one.
    More,
    /// Another one; the peer sends no more.
    PeerClosed,
    /// More cipher.
    Done,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_handshaking", &self.is_handshaking()).finish()
    }
}

impl Session {
    pub(super) fn server(config: &Arc<ServerConfig>) -> Self {
        let session = UnbufferedServerConnection::new(Arc::clone(config));
        Self::Server(session.expect("what it checks of the settings are ours"))
    }

    /// # Errors
    /// No certificate can be one of such a host.
    pub(super) fn client(trust: &Trust, host: &str) -> Result<Self, Error> {
        let name = trust.name(host).ok_or(Error::General("no name of a server".to_owned()))?;
        UnbufferedClientConnection::new(Arc::clone(trust.config()), name).map(Self::Client)
    }

    /// Takes what came: its plain bytes are put behind `plain`, what is to be sent for it behind
    /// `unsent`. What it does not use is to be given again, with more behind it.
    ///
    /// # Errors
    /// The peer breaks the protocol; `unsent` has the alert that tells it so.
    pub(super) fn advance(
        &mut self,
        cipher: &mut [u8],
        plain: &mut Vec<u8>,
        unsent: &mut Vec<u8>,
    ) -> Result<Advanced, Error> {
        let mut advanced = Advanced::default();
        loop {
            let (used, next) = self.step(&mut cipher[advanced.used..], plain, unsent);
            advanced.used += used;
            match next {
                Ok(Step::More) => {}
                Ok(Step::PeerClosed) => advanced.has_ended = true,
                Ok(Step::Done) => return Ok(advanced),
                Err(error) => {
                    // Its alert; what came is not looked at again.
                    while self.common().wants_write() {
                        let _ = self.step(&mut cipher[advanced.used..], plain, unsent);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn step(
        &mut self,
        cipher: &mut [u8],
        plain: &mut Vec<u8>,
        unsent: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Server(server) => step(server.process_tls_records(cipher), plain, unsent),
            Self::Client(client) => step(client.process_tls_records(cipher), plain, unsent),
        }
    }

    /// Encrypts at most one record's plain bytes, or the end of all, behind `out`. Nothing, if the
    /// handshake is not done or the session has ended. `kept` is the cipher that
    /// [`Session::advance`] did not use.
    ///
    /// # Errors
    /// The session can encrypt no more.
    pub(super) fn encrypt(
        &mut self,
        what: Outgoing<'_>,
        kept: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        loop {
            let next = match self {
                Self::Server(server) => record(server.process_tls_records(kept), what, out),
                Self::Client(client) => record(client.process_tls_records(kept), what, out),
            };
            if let Step::Done = next? {
                return Ok(());
            }
        }
    }

    fn common(&self) -> &CommonState {
        match self {
            Self::Server(server) => server,
            Self::Client(client) => client,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }
}

/// Does what a session's step asks for; gives how many bytes of cipher that was.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    unsent: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let next = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Step::More),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, unsent),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(_) => Ok(Step::Done),
        Err(error) => Err(error),
    };
    (discard, next)
}

/// Goes on until something can be encrypted, and does that.
fn record<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    what: Outgoing<'_>,
    out: &mut Vec<u8>,
) -> Result<Step, Error> {
    debug_assert_eq!(status.discard, 0, "what came was taken when it came");
    match status.state? {
        ConnectionState::EncodeTlsData(mut data) => encode(&mut data, out),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::More)
        }
        ConnectionState::WriteTraffic(mut traffic) => encrypt(&mut traffic, what, out),
        _ => Ok(Step::Done),
    }
}

fn encrypt<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    what: Outgoing<'_>,
    out: &mut Vec<u8>,
) -> Result<Step, Error> {
    let begin = out.len();
    let mut room = RECORD_MORE;
    if let Outgoing::Plain(plain) = what {
        room += plain.len();
    }
    loop {
        out.resize(begin + room, 0);
        let outcome = match what {
            Outgoing::Plain(plain) => traffic.encrypt(plain, &mut out[begin..]),
            Outgoing::CloseNotify => traffic.queue_close_notify(&mut out[begin..]),
        };
        match outcome {
            Ok(length) => {
                out.truncate(begin + length);
                return Ok(Step::Done);
            }
            Err(EncryptError::InsufficientSize(short)) => room = short.required_size,
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<Step, Error> {
    let begin = out.len();
    let mut room = RECORD_CIPHER;
    loop {
        out.resize(begin + room, 0);
        match data.encode(&mut out[begin..]) {
            Ok(length) => {
                out.truncate(begin + length);
                return Ok(Step::More);
            }
            Err(EncodeError::InsufficientSize(short)) => room = short.required_size,
            Err(EncodeError::AlreadyEncoded) => {
                out.truncate(begin);
                return Ok(Step::More);
            }
        }
    }
}
