//! Talk: both ends of a session in memory, and what happens to the bytes between them, as a script
//! says. For the fuzzer and its kept inputs.

use std::cell::OnceCell;
use std::mem;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::certificate::Certificate;
use super::session::{Outgoing, RECORD_CIPHER, RECORD_PLAIN, Session};

/// Most that a session may have to say without being given plain bytes: its part of a handshake, a
/// ticket and alerts.
const UNSENT_MAX: usize = 8 << 10;

/// One end.
struct End {
    session: Session,
    /// Cipher that has come and was not used.
    kept: Vec<u8>,
    plain: Vec<u8>,
    /// What it was given to send.
    said: Vec<u8>,
    /// Cipher on its way to the other one.
    unsent: Vec<u8>,
    has_failed: bool,
    /// It has said goodbye; the daemon says nothing behind that, either.
    is_shut: bool,
}

impl End {
    fn new(session: Session) -> Self {
        Self {
            session,
            kept: Vec::new(),
            plain: Vec::new(),
            said: Vec::new(),
            unsent: Vec::new(),
            has_failed: false,
            is_shut: false,
        }
    }

    /// Takes what has come, as the daemon does.
    fn take(&mut self, came: &[u8]) {
        if self.has_failed {
            return;
        }
        self.kept.extend_from_slice(came);
        let before = self.unsent.len();
        match self.session.advance(&mut self.kept, &mut self.plain, &mut self.unsent) {
            Ok(advanced) => {
                drop(self.kept.drain(..advanced.used));
                // As `wire` has it.
                self.has_failed = self.kept.len() > RECORD_CIPHER;
            }
            Err(_) => self.has_failed = true,
        }
        assert!(self.unsent.len() - before <= UNSENT_MAX, "much to say for little");
    }

    fn say(&mut self, what: Outgoing<'_>) {
        if self.has_failed || self.is_shut {
            return;
        }
        let before = self.unsent.len();
        let told = self.session.encrypt(what, &mut self.kept, &mut self.unsent);
        // Else the handshake is not done.
        if told.is_ok() && self.unsent.len() > before {
            match what {
                Outgoing::Plain(plain) => self.said.extend_from_slice(plain),
                Outgoing::CloseNotify => self.is_shut = true,
            }
        }
    }
}

thread_local! {
    /// A key takes longer than a talk.
    static PAIR: OnceCell<(Certificate, [Arc<ClientConfig>; 2])> = const { OnceCell::new() };
}

/// Plays a script: a byte that chooses the version of TLS, then steps of four bytes each. Whatever
/// happens to the bytes, neither end panics, and what came is what was sent, or its beginning; all
/// of it where nothing has happened to them.
///
/// # Panics
/// That does not hold.
pub fn play(script: &[u8]) {
    let Some((version, steps)) = script.split_first() else { return };
    let (mut client, mut server) = ends(*version);
    let mut is_touched = false;
    // What is on its way to the server; what is on its way to the client arrives at once.
    let mut way = Vec::new();
    for step in steps.chunks_exact(4).take(200) {
        let (place, value) = (usize::from(step[1]) << 8 | usize::from(step[2]), step[3]);
        way.append(&mut client.unsent);
        let at = place % (way.len() + 1);
        match step[0] % 10 {
            0 | 1 => {
                let piece: Vec<u8> = way.drain(..at).collect();
                server.take(&piece);
            }
            2 => server.take(&mem::take(&mut way)),
            3 => client.say(Outgoing::Plain(&vec![value; place % RECORD_PLAIN + 1])),
            4 => server.say(Outgoing::Plain(&vec![value; place % RECORD_PLAIN + 1])),
            5 => client.say(Outgoing::CloseNotify),
            6 => server.say(Outgoing::CloseNotify),
            7 if at < way.len() => {
                is_touched |= way[at] != value;
                way[at] = value;
            }
            8 => {
                is_touched = true;
                way.insert(at, value);
            }
            9 if at < way.len() => {
                is_touched = true;
                drop(way.drain(at..(at + usize::from(value)).min(way.len())));
            }
            _ => {}
        }
        client.take(&mem::take(&mut server.unsent));
    }
    let mut rounds = 0;
    while !way.is_empty() || !client.unsent.is_empty() || !server.unsent.is_empty() {
        way.append(&mut client.unsent);
        server.take(&mem::take(&mut way));
        client.take(&mem::take(&mut server.unsent));
        rounds += 1;
        assert!(rounds < 20, "they talk without an end");
    }
    assert!(client.said.starts_with(&server.plain) && server.said.starts_with(&client.plain));
    if !is_touched {
        assert!(!client.has_failed && !server.has_failed, "nothing was wrong");
        assert!(!client.session.is_handshaking() && !server.session.is_handshaking());
        assert!(client.said == server.plain && server.said == client.plain);
        assert!(client.kept.is_empty() && server.kept.is_empty());
    }
}

/// A client that has begun, and a server.
fn ends(version: u8) -> (End, End) {
    PAIR.with(|pair| {
        let (certificate, configs) = pair.get_or_init(settings);
        let config = Arc::clone(&configs[usize::from(version % 2)]);
        let name = ServerName::try_from("localhost").expect("a name");
        let client = UnbufferedClientConnection::new(config, name).expect("a client");
        let mut client = End::new(Session::Client(client));
        client.take(&[]);
        (client, End::new(Session::server(certificate.config())))
    })
}

/// A certificate, and for each version of TLS a client that trusts it.
fn settings() -> (Certificate, [Arc<ClientConfig>; 2]) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::of_pem(chain.as_bytes(), key.as_bytes()).expect("a pair");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("an authority");
    let configs = [&TLS13, &TLS12].map(|version| {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("it is there")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    });
    (certificate, configs)
}
