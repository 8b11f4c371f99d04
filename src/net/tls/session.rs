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

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{Read, Write};

    use rustls::ClientConnection;

    use super::*;
    use crate::net::tls::certificate::Certificate;

    /// Both ends of a connection, in memory.
    struct Pair {
        client: ClientConnection,
        server: Session,
        /// Of the client, that the server was not given or did not use.
        sent: Vec<u8>,
        plain: Vec<u8>,
    }

    fn certificate() -> (Certificate, Trust) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let trust = Trust::of_pem(Some(chain.as_bytes()), None, None).unwrap();
        (Certificate::of_pem(chain.as_bytes(), key.as_bytes()).unwrap(), trust)
    }

    impl Pair {
        fn new((certificate, trust): &(Certificate, Trust)) -> Self {
            let name = trust.name("localhost").unwrap();
            Self {
                client: ClientConnection::new(Arc::clone(trust.config()), name).unwrap(),
                server: Session::server(certificate.config()),
                sent: Vec::new(),
                plain: Vec::new(),
            }
        }

        /// What the client has to send goes to `sent`, changed by `change`.
        fn send(&mut self, change: &mut impl FnMut(&mut Vec<u8>)) {
            let mut records = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut records).unwrap();
            }
            if !records.is_empty() {
                change(&mut records);
            }
            self.sent.extend(records);
        }

        /// The server takes what was sent, and its answer goes to the client.
        fn take(&mut self) -> Result<Advanced, Error> {
            let mut unsent = Vec::new();
            let advanced = self.server.advance(&mut self.sent, &mut self.plain, &mut unsent);
            self.sent.drain(..advanced.as_ref().map_or(0, |advanced| advanced.used));
            let mut rest = &unsent[..];
            if advanced.is_ok() {
                while !rest.is_empty() {
                    self.client.read_tls(&mut rest).unwrap();
                    self.client.process_new_packets()?;
                }
            }
            advanced
        }

        /// A handshake, a request and a goodbye, each record of which may be changed.
        fn converse(&mut self, mut change: impl FnMut(&mut Vec<u8>)) -> Result<(), Error> {
            for step in 0..6 {
                if step == 3 && !self.client.is_handshaking() {
                    self.client.writer().write_all(REQUEST).unwrap();
                }
                if step == 4 && !self.client.is_handshaking() {
                    self.client.send_close_notify();
                }
                self.send(&mut change);
                self.take()?;
            }
            Ok(())
        }
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn a_conversation_comes_through_and_its_answer_goes_back() {
        let certificate = certificate();
        let mut pair = Pair::new(&certificate);
        pair.converse(|_| {}).unwrap();
        assert_eq!(pair.plain, REQUEST);
        assert!(!pair.server.is_handshaking() && pair.sent.is_empty());
        // The client has said goodbye, and is still answered.
        let mut out = Vec::new();
        pair.server.encrypt(Outgoing::Plain(b"answer"), &mut [], &mut out).unwrap();
        pair.server.encrypt(Outgoing::CloseNotify, &mut [], &mut out).unwrap();
        pair.client.read_tls(&mut &out[..]).unwrap();
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
        let mut answer = Vec::new();
        pair.client.reader().read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    }

    #[test]
    fn nothing_is_encrypted_before_the_handshake_is_done() {
        let mut pair = Pair::new(&certificate());
        let mut out = Vec::new();
        pair.server.encrypt(Outgoing::Plain(b"early"), &mut [], &mut out).unwrap();
        pair.server.encrypt(Outgoing::CloseNotify, &mut [], &mut out).unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn records_come_in_any_pieces() {
        let certificate = certificate();
        let mut pair = Pair::new(&certificate);
        let mut whole = Pair::new(&certificate);
        whole.converse(|_| {}).unwrap();
        while pair.client.is_handshaking() || pair.plain.is_empty() {
            if !pair.client.is_handshaking() {
                pair.client.writer().write_all(REQUEST).unwrap();
            }
            let mut records = Vec::new();
            while pair.client.wants_write() {
                pair.client.write_tls(&mut records).unwrap();
            }
            for byte in records {
                pair.sent.push(byte);
                pair.take().unwrap();
            }
        }
        assert_eq!(pair.plain, whole.plain);
    }

    /// `PUSHSERVER_MANGLED_TLS=100000`: so many.
    #[test]
    fn mangled_handshakes_and_records_end_in_an_error_or_in_what_was_sent() {
        let rounds = env::var("PUSHSERVER_MANGLED_TLS")
            .map_or(1000, |rounds| rounds.parse::<u32>().expect("a number"));
        let certificate = certificate();
        let mut state = 16_u64;
        // xorshift64.
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize % bound
        };
        let mut survived = 0;
        for _ in 0..rounds {
            let mut pair = Pair::new(&certificate);
            // The hello, what ends the handshake, the request, or the goodbye.
            let (at, mut step) = (below(4), 0);
            let outcome = pair.converse(|records| {
                step += 1;
                if step != at + 1 {
                    return;
                }
                for _ in 0..=below(3) {
                    let at = below(records.len());
                    match below(4) {
                        0 => records[at] = below(256) as u8,
                        1 => records[at] ^= 1 << below(8),
                        2 => records.insert(at, below(256) as u8),
                        _ => drop(records.drain(at..(at + 1 + below(40)).min(records.len()))),
                    }
                    if records.is_empty() {
                        return;
                    }
                }
            });
            // What has come was authentic, or nothing has.
            assert!(REQUEST.starts_with(&pair.plain), "{:?}", pair.plain);
            survived += u32::from(outcome.is_err());
        }
        assert!(survived > rounds / 2, "{survived} of {rounds}");
    }
}
