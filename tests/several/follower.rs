//! Follower: a subscriber that asks another daemon each time, by polls or by an event stream, and
//! keeps its cursor.

use pushserver::relay::ConnKey;
use pushserver_testkit::answer::head_bytes;
use pushserver_testkit::{Answer, Random};

use crate::daemon::Daemon;

#[derive(Debug)]
pub(crate) struct Follower {
    /// What it follows.
    pub(crate) channels: Vec<usize>,
    path: String,
    is_stream: bool,
    /// As `last_event_id`; empty: none yet.
    cursor: String,
    at: Option<(usize, ConnKey)>,
    /// The head of the stream has come.
    has_begun: bool,
    /// When it asks again, milliseconds.
    again_ms: u64,
    /// The bodies that it got, in order.
    pub(crate) got: Vec<String>,
    /// How often it was told that something is missing.
    pub(crate) gaps: usize,
}

impl Follower {
    pub(crate) fn new(channels: Vec<usize>, names: &[&str], is_stream: bool) -> Self {
        let ids: Vec<&str> = channels.iter().map(|channel| names[*channel]).collect();
        let kind = if ids.len() > 1 { "several" } else { "one" };
        let path = format!("/{kind}/{}", ids.join(","));
        Self {
            channels,
            path,
            is_stream,
            cursor: String::new(),
            at: None,
            has_begun: false,
            again_ms: 0,
            got: Vec::new(),
            gaps: 0,
        }
    }

    /// Takes what has come, and asks where it does not wait.
    pub(crate) fn step(&mut self, daemons: &mut [Daemon], now_ms: u64, random: &mut Random) {
        match self.at {
            Some((daemon, conn)) if self.is_stream => {
                self.read_stream(&mut daemons[daemon], conn, now_ms)
            }
            Some((daemon, conn)) => self.read_answer(&mut daemons[daemon], conn, now_ms),
            None if now_ms >= self.again_ms => self.ask(daemons, random),
            None => {}
        }
    }

    /// Leaves, and asks again.
    pub(crate) fn leave(&mut self, daemons: &mut [Daemon], now_ms: u64) {
        if let Some((daemon, conn)) = self.at.take() {
            daemons[daemon].network.reset(conn);
            self.again_ms = now_ms;
        }
    }

    fn ask(&mut self, daemons: &mut [Daemon], random: &mut Random) {
        let daemon = random.index(daemons.len());
        let network = &mut daemons[daemon].network;
        let conn = network.connect();
        let query = match &*self.cursor {
            "" => String::new(),
            cursor => format!("?last_event_id={cursor}"),
        };
        let accept = if self.is_stream { "text/event-stream" } else { "*/*" };
        let path = &self.path;
        let request = format!("GET {path}{query} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        network.send(conn, request.as_bytes());
        self.has_begun = false;
        self.at = Some((daemon, conn));
    }

    fn read_answer(&mut self, daemon: &mut Daemon, conn: ConnKey, now_ms: u64) {
        let peer = daemon.network.peers.get_mut(conn);
        let answer = Answer::take(&mut peer.got, false);
        if answer.is_none() && peer.end.is_none() {
            return;
        }
        self.at = None;
        daemon.network.reset(conn);
        let Some(answer) = answer else { return };
        match answer.status {
            200 => {
                let field = |name| answer.header(name).expect("a message has an id").to_owned();
                let second = httpdate(&field("Last-Modified"));
                self.cursor = format!("{second}:{}", field("Etag"));
                self.gaps += usize::from(answer.header("X-Push-Gap").is_some());
                self.got.push(answer.text().to_owned());
            }
            304 => {}
            410 | 503 => self.again_ms = now_ms + 200,
            other => panic!("{other}: {}", answer.text()),
        }
    }

    fn read_stream(&mut self, daemon: &mut Daemon, conn: ConnKey, now_ms: u64) {
        let peer = daemon.network.peers.get_mut(conn);
        if !self.has_begun {
            let Some(length) = head_bytes(&peer.got) else {
                return if peer.end.is_some() {
                    self.at = None
                };
            };
            if !peer.got.starts_with(b"HTTP/1.1 200 ") {
                let (status, _) = peer.got.split_at(length);
                assert!(status.starts_with(b"HTTP/1.1 503 "), "{}", status.escape_ascii());
                self.again_ms = now_ms + 200;
                self.at = None;
                return daemon.network.reset(conn);
            }
            peer.got.drain(..length);
            self.has_begun = true;
        }
        let mut has_ended = peer.end.is_some();
        while let Some(end) = peer.got.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = peer.got.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("text");
            let mut body = None;
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => {
                        let (cursor, rest) = id.split_once(';').unwrap_or((id, ""));
                        self.cursor = cursor.to_owned();
                        self.gaps += usize::from(rest.contains("gap="));
                    }
                    Some(("data", text)) => body = Some(text.to_owned()),
                    Some(("event", event)) => {
                        assert_eq!(event, "push:end");
                        has_ended = true;
                    }
                    _ => {}
                }
            }
            if !has_ended {
                self.got.extend(body);
            }
        }
        if has_ended {
            self.at = None;
            self.again_ms = now_ms + 50;
            daemon.network.reset(conn);
        }
    }
}

/// The second of a date in a head.
fn httpdate(date: &str) -> u64 {
    pushserver::http::parse_http_date(date.as_bytes()).expect("a date")
}
