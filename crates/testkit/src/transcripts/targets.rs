//! Targets: what a transcript runs against. The relay in memory, or a server over TCP: the daemon,
//! and in `tests/parity` nginx with Nchan.

use std::net::Shutdown;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::client::Client;
use crate::daemon::Daemon;
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
pub(crate) fn question(name: &str) -> String {
    format!("GET /control/{name} HTTP/1.1\r\nHost: relay\r\nAccept: text/json\r\n\r\n")
}

pub(crate) fn is_like(answer: &Answer, state: State) -> Result<(), String> {
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
