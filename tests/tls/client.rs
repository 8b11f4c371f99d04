//! A TLS client whose records a test may hold back, cut and change.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushserver_testkit::{Answer, Daemon, LONG, request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::trusted;

pub(crate) struct Secure {
    pub(crate) session: ClientConnection,
    pub(crate) socket: TcpStream,
    inbox: Vec<u8>,
    /// The peer's `close_notify` has come.
    pub(crate) is_told: bool,
    has_ended: bool,
}

/// What trusts the daemon's certificate alone.
pub(crate) fn config(
    daemon: &Daemon,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(trusted(daemon)).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(versions).unwrap();
    config.with_root_certificates(roots).with_no_client_auth()
}

pub(crate) fn session(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

impl Secure {
    /// Connects; the handshake is not begun.
    pub(crate) fn connect(daemon: &Daemon) -> Self {
        Self::over(daemon, session(config(daemon, rustls::ALL_VERSIONS)))
    }

    pub(crate) fn over(daemon: &Daemon, session: ClientConnection) -> Self {
        let socket = TcpStream::connect(daemon.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { session, socket, inbox: Vec::new(), is_told: false, has_ended: false }
    }

    /// Does the handshake.
    #[track_caller]
    pub(crate) fn handshake(mut self) -> Self {
        let deadline = Instant::now() + LONG;
        while self.session.is_handshaking() {
            assert!(Instant::now() < deadline && !self.has_ended, "no handshake");
            self.flush();
            self.fill();
        }
        self.flush();
        self
    }

    /// The records that are to be sent, without sending them.
    pub(crate) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records).unwrap();
        }
        records
    }

    pub(crate) fn flush(&mut self) {
        let records = self.records();
        // The daemon may have gone.
        let _ = self.socket.write_all(&records);
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.session.writer().write_all(bytes.as_ref()).unwrap();
        self.flush();
        self
    }

    pub(crate) fn get(&mut self, path: &str) -> &mut Self {
        self.send(request(&format!("GET {path}"), ""))
    }

    /// Takes what comes within a short time; gives whether anything did.
    pub(crate) fn fill(&mut self) -> bool {
        match self.session.read_tls(&mut self.socket) {
            Ok(0) => {
                self.has_ended = true;
                return false;
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => {
                self.has_ended = true;
                return false;
            }
        }
        let Ok(state) = self.session.process_new_packets() else {
            self.has_ended = true;
            self.flush();
            return true;
        };
        self.is_told |= state.peer_has_closed();
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        let length = self.session.reader().read(&mut plain).unwrap_or(0);
        self.inbox.extend_from_slice(&plain[..length]);
        true
    }

    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: {:?}",
                String::from_utf8_lossy(&self.inbox)
            );
            self.fill();
        }
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = None;
        self.until("an answer", |client| {
            answer = Answer::take(&mut client.inbox, false);
            answer.is_some() || client.has_ended
        });
        answer.expect("an answer before the end")
    }

    /// What has come, when `text` is in it.
    #[track_caller]
    pub(crate) fn until_seen(&mut self, text: &str) -> String {
        let seen = |client: &Self| String::from_utf8_lossy(&client.inbox).into_owned();
        self.until(text, |client| seen(client).contains(text));
        seen(self)
    }

    /// Bytes that have come.
    pub(crate) fn received(&self) -> usize {
        self.inbox.len()
    }

    /// Waits until the daemon has ended the connection.
    #[track_caller]
    pub(crate) fn until_ended(&mut self) {
        self.until("its end", |client| client.has_ended);
    }

    /// Ends what is sent, as TLS has it: the stream stays open.
    pub(crate) fn say_goodbye(&mut self) {
        self.session.send_close_notify();
        self.flush();
    }

    /// Ends the stream without a word of TLS.
    pub(crate) fn cut(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}
