//! Targets: what a transcript runs against. The relay in memory, or a server over TCP: the daemon,
//! and in `tests/parity` nginx with Nchan.

use std::net::Shutdown;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pushserver::config::{Config, Overrides, Source};
use pushserver::hub::options::StoreKind;
use pushserver::message::MessageId;
use pushserver::relay::{Command, ConnKey};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::client::Client;
use crate::daemon::Daemon;
use crate::network::{BEGIN_UNIX_S, Network};
use crate::transcripts::part::{Part, Talk};
use crate::transcripts::transcript::State;
use crate::wait::LONG;

/// Connections are numbered from 0 in the order in which they are made.
pub trait Target {
    /// The second in which the run began.
    fn begin_unix_s(&self) -> u64;
    /// A new client.
    fn connect(&mut self) -> usize;
    /// The client sends.
    fn send(&mut self, conn: usize, bytes: &[u8]);
    /// The client sends no more.
    fn end(&mut self, conn: usize);
    /// The client closes.
    fn leave(&mut self, conn: usize);
    /// The next part of what the connection carries; `None` if the server has closed, or nothing
    /// is to come. `to_head`: it answers HEAD.
    fn take(&mut self, conn: usize, talk: Talk, to_head: bool) -> Option<Part>;
    /// Whether the server has closed, or does so now, with nothing more to read.
    fn is_closed(&mut self, conn: usize) -> bool;
    /// Time passes until there is an answer, or the server closes.
    fn wait(&mut self, conn: usize);
    /// The server is told to stop.
    fn stop(&mut self);
    /// Both clocks go on.
    fn advance_ms(&mut self, ms: u64);
    /// The wall clock is set.
    fn set_clock(&mut self, by_seconds: i64);
    /// Waits until a channel is like this; gives how it is if that does not come. `time_passes`:
    /// it comes with time, not at once.
    fn channel(&mut self, name: &str, state: State, time_passes: bool) -> Result<(), String>;
    /// The client ends, and what it still gets is given.
    fn finish(&mut self, conn: usize) -> Vec<u8>;
    /// Called last: whatever else must hold.
    fn check(&self) {}
}

/// The settings of a transcript: its own, a location to look at channels by, and a free port.
pub fn complete(settings: &Value) -> Value {
    let mut all = json!({
        "port": 0,
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true},
        ],
    });
    let entries = all.as_object_mut().expect("made above");
    for (key, value) in settings.as_object().expect("settings are an object") {
        entries.insert(key.clone(), value.clone());
    }
    entries["locations"]
        .as_array_mut()
        .expect("locations are a list")
        .push(json!({"type": "publisher", "prefix": "/control/"}));
    all
}

/// A request to the location that [`complete`] adds.
fn question(name: &str) -> String {
    format!("GET /control/{name} HTTP/1.1\r\nHost: relay\r\nAccept: text/json\r\n\r\n")
}

fn is_like(answer: &Answer, state: State) -> Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body);
    let number = |key| {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        body[key].as_u64()
    };
    let agrees = match state {
        State::Gone => answer.status == 404,
        State::Held(count) => number("subscribers") == Some(count),
        State::Messages(count) => number("messages") == Some(count),
    };
    if agrees { Ok(()) } else { Err(format!("the channel is {} {text}", answer.status)) }
}

/// What comes behind so many bytes of a step is not split: heads are what splits can hurt.
const SPLIT_BYTES: usize = 4096;

/// How bytes come to the relay in a world.
#[derive(Debug, Clone, Copy)]
pub enum Split {
    /// As they are sent.
    Whole,
    /// One by one.
    Bytes,
    /// In pieces of random length; the seed.
    Random(u64),
}

/// The relay without sockets.
#[derive(Debug)]
pub struct InWorld {
    network: Network,
    split: Split,
    conns: Vec<ConnKey>,
}

impl InWorld {
    /// A relay with these settings.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(settings: &Value, split: Split) -> Result<Self, String> {
        Self::with(settings, split, false)
    }

    /// As [`InWorld::new`], with stores that write down what they keep, which takes two turns.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn durable(settings: &Value, split: Split) -> Result<Self, String> {
        Self::with(settings, split, true)
    }

    fn with(settings: &Value, split: Split, is_durable: bool) -> Result<Self, String> {
        let text = complete(settings).to_string();
        let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
        let config = config.map_err(|error| error.to_string())?;
        // A process of an earlier second, so that tags begin at 0.
        let first_id = MessageId { time: BEGIN_UNIX_S - 1, tag: 999_999 };
        let mut hub = config.hub_options(first_id, 1);
        if is_durable {
            hub.stores.iter_mut().for_each(|store| store.kind = StoreKind::Durable);
        }
        let mut network = Network::new(&config.relay_options(), hub);
        network.disk.turns = 2;
        Ok(Self { network, split, conns: Vec::new() })
    }

    fn ask(&mut self, name: &str) -> Answer {
        let conn = self.network.connect();
        self.network.send(conn, question(name).as_bytes());
        self.network.settle();
        let mut inbox = self.network.take(conn);
        self.network.reset(conn);
        self.network.settle();
        Answer::take(&mut inbox, false).expect("channel information comes at once")
    }
}

impl Target for InWorld {
    fn begin_unix_s(&self) -> u64 {
        BEGIN_UNIX_S
    }

    fn connect(&mut self) -> usize {
        self.conns.push(self.network.connect());
        self.conns.len() - 1
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) {
        let mut at = Vec::new();
        let length = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            1 + (*state >> 33) as usize % 64
        };
        match self.split {
            Split::Whole => {}
            Split::Bytes => at.extend(1..bytes.len().min(SPLIT_BYTES)),
            Split::Random(seed) => {
                let mut state = seed;
                let mut end = length(&mut state);
                while end < bytes.len().min(SPLIT_BYTES) {
                    at.push(end);
                    end += length(&mut state);
                }
            }
        }
        let mut begin = 0;
        for end in at.into_iter().chain([bytes.len()]) {
            self.network.send(self.conns[conn], &bytes[begin..end]);
            self.network.settle();
            begin = end;
        }
    }

    fn end(&mut self, conn: usize) {
        self.network.end(self.conns[conn]);
        self.network.settle();
    }

    fn leave(&mut self, conn: usize) {
        self.network.reset(self.conns[conn]);
        self.network.settle();
    }

    fn take(&mut self, conn: usize, talk: Talk, to_head: bool) -> Option<Part> {
        talk.take(&mut self.network.peers.get_mut(self.conns[conn]).got, to_head)
    }

    fn is_closed(&mut self, conn: usize) -> bool {
        let peer = self.network.peers.get(self.conns[conn]);
        peer.got.is_empty() && (peer.end.is_some() || peer.is_shut)
    }

    fn wait(&mut self, conn: usize) {
        let conn = self.conns[conn];
        let waits = |network: &Network| {
            let peer = network.peers.get(conn);
            peer.got.is_empty() && peer.end.is_none()
        };
        while waits(&self.network) && self.network.advance_to_deadline() {}
    }

    fn stop(&mut self) {
        let now = self.network.now;
        self.network.relay.command(Command::Shutdown, now);
        self.network.settle();
    }

    fn advance_ms(&mut self, ms: u64) {
        self.network.advance_ms(ms);
    }

    fn set_clock(&mut self, by_seconds: i64) {
        let unix_s = &mut self.network.now.unix_s;
        *unix_s = unix_s.checked_add_signed(by_seconds).expect("a time after 1970");
    }

    fn channel(&mut self, name: &str, state: State, time_passes: bool) -> Result<(), String> {
        loop {
            let answer = self.ask(name);
            let outcome = is_like(&answer, state);
            if outcome.is_ok() || !time_passes || !self.network.advance_to_deadline() {
                return outcome;
            }
        }
    }

    fn finish(&mut self, conn: usize) -> Vec<u8> {
        self.network.end(self.conns[conn]);
        self.network.settle();
        self.network.take(self.conns[conn])
    }

    fn check(&self) {
        assert_eq!(self.network.relay.state().hub.held(), 0, "nobody is left, so nothing is held");
    }
}

/// A server of its own process.
pub trait Server {
    /// How long anything is waited for.
    const PATIENCE: Duration;
    /// A new connection to it.
    fn connect(&self) -> Client;
    /// Tells it to stop.
    fn stop(&self);
    /// What it logged so far.
    fn log(&self) -> String;
}

impl Server for Daemon {
    const PATIENCE: Duration = LONG;

    fn connect(&self) -> Client {
        self.connect()
    }

    fn stop(&self) {
        self.signal("TERM");
    }

    fn log(&self) -> String {
        self.log().join("\n")
    }
}

/// A server over TCP.
#[derive(Debug)]
pub struct OverTcp<S> {
    server: S,
    begin_unix_s: u64,
    conns: Vec<Option<Client>>,
}

impl<S: Server> OverTcp<S> {
    /// A run that begins now.
    pub fn new(server: S) -> Self {
        Self { server, begin_unix_s: unix_s(), conns: Vec::new() }
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    fn client(&mut self, conn: usize) -> &mut Client {
        self.conns[conn].as_mut().expect("the client has not left")
    }
}

/// The wall clock.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

impl<S: Server> Target for OverTcp<S> {
    fn begin_unix_s(&self) -> u64 {
        self.begin_unix_s
    }

    fn connect(&mut self) -> usize {
        self.conns.push(Some(self.server.connect()));
        self.conns.len() - 1
    }

    fn send(&mut self, conn: usize, bytes: &[u8]) {
        // A server that has ended the connection takes no more.
        self.client(conn).try_send(bytes);
    }

    fn end(&mut self, conn: usize) {
        let _ = self.client(conn).socket().shutdown(Shutdown::Write);
    }

    fn leave(&mut self, conn: usize) {
        self.conns[conn] = None;
    }

    fn take(&mut self, conn: usize, talk: Talk, to_head: bool) -> Option<Part> {
        let client = self.client(conn);
        let deadline = Instant::now() + S::PATIENCE;
        loop {
            if let Some(part) = talk.take(&mut client.inbox, to_head) {
                return Some(part);
            }
            if client.fill_until(deadline) != Some(true) {
                return None;
            }
        }
    }

    fn is_closed(&mut self, conn: usize) -> bool {
        let client = self.client(conn);
        client.inbox.is_empty() && client.fill_until(Instant::now() + S::PATIENCE) == Some(false)
    }

    fn wait(&mut self, _conn: usize) {
        // Whoever reads, waits.
    }

    fn stop(&mut self) {
        self.server.stop();
    }

    fn advance_ms(&mut self, _ms: u64) {
        unreachable!("transcripts that move the clock say `only: world`");
    }

    fn set_clock(&mut self, _by_seconds: i64) {
        unreachable!("transcripts that move the clock say `only: world`");
    }

    fn channel(&mut self, name: &str, state: State, _time_passes: bool) -> Result<(), String> {
        let deadline = Instant::now() + S::PATIENCE;
        let mut client = self.server.connect();
        let mut outcome = Err("no channel information".to_owned());
        while Instant::now() < deadline {
            client.try_send(question(name).as_bytes());
            let answer = loop {
                match Answer::take(&mut client.inbox, false) {
                    Some(answer) => break answer,
                    None if client.fill_until(deadline) == Some(true) => {}
                    None => return outcome,
                }
            };
            outcome = is_like(&answer, state);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn finish(&mut self, conn: usize) -> Vec<u8> {
        let Some(mut client) = self.conns[conn].take() else { return Vec::new() };
        let _ = client.socket().shutdown(Shutdown::Write);
        while client.fill_until(Instant::now() + S::PATIENCE) == Some(true) {}
        client.inbox
    }
}
