//! Requests with errors in them, several to a connection, split anywhere and cut off: whatever
//! comes, answers are sound, nothing is left behind, and the daemon serves the next one.
//!
//! ```text
//! PUSHSERVER_MANGLED=1000000   send so many requests (default 3000)
//! PUSHSERVER_MANGLED_SEEDS=50  from so many seeds (default 8)
//! PUSHSERVER_MANGLED_SEED=17   from this seed alone
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::AddAssign;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pushserver::http::HeadLimits;
use serde_json::json;

use pushserver_testkit::{Backend, Daemon, LONG, Manner, Random, judge, merge, subscriber, until};

use crate::BINARY;

const REQUESTS_IN_ALL: u64 = 3000;
const SEEDS: u64 = 8;

/// Seeds that are at work at the same time.
const THREADS: u64 = 8;

/// The daemon's defaults.
const LIMITS: HeadLimits = HeadLimits { header_bytes: 32 << 10, headers: 100, uri_bytes: 8 << 10 };

const REQUESTS: &[&str] = &[
    "GET /subscriber/a HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\nOrigin: http://a\r\n\r\n",
    "GET /subscriber/a?last_event_id=9999999999:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /subscriber/a?since=1700000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /subscriber/a?since=9999999999:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /publisher/b HTTP/1.1\r\nHost: a\r\nPrefer: x=\"y,\", wait=1\r\nContent-Length: 1\r\n\r\nm",
    "GET /subscriber/b%2Fc HTTP/1.1\r\nHost: a\r\n\
     If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nIf-None-Match: W/\"3\"\r\n\r\n",
    "OPTIONS /subscriber/a HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n",
    "POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello",
    "POST /publisher/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "GET /publisher/a HTTP/1.1\r\nHost: a\r\nAccept: text/json\r\n\r\n",
    "PUT /publisher/b%2Fc HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "DELETE /publisher/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /elsewhere HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    "%0d%0a",
    "%",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n z\r\n",
    "0\r\n\r\n",
    "99999999999999999999",
    "HTTP/1.0",
    "/../",
    "?#",
];

/// A request with some errors in it.
fn mangled(random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(REQUESTS).as_bytes().to_vec();
    for _ in 0..random.index(4) {
        let at = random.index(bytes.len());
        match random.index(4) {
            0 => bytes[at] = random.index(256) as u8,
            1 => drop(bytes.drain(at..(at + 1 + random.index(8)).min(bytes.len()))),
            2 => drop(bytes.splice(at..at, random.pick(PIECES).bytes())),
            _ => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    connections: u64,
    requests: u64,
    answers: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.connections += more.connections;
        self.requests += more.requests;
        self.answers += more.answers;
    }
}

/// Sends some requests in some pieces on a connection of its own; what comes back must be sound.
fn converse(address: SocketAddr, random: &mut Random) -> Figures {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let requests = 1 + random.index(4);
    let sent: Vec<u8> = (0..requests).flat_map(|_| mangled(random)).collect();
    let mut rest = &sent[..];
    while !rest.is_empty() {
        let piece = 1 + random.index(rest.len());
        // It may have closed already.
        if stream.write_all(&rest[..piece]).is_err() {
            break;
        }
        rest = &rest[piece..];
    }
    let figures = Figures { connections: 1, requests: requests as u64, answers: 0 };
    let mut got = Vec::new();
    let is_open = match random.index(16) {
        0 | 1 => return figures,
        // It is still there while something is held, or more is waited for.
        2 => {
            stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
            true
        }
        _ => {
            let _ = stream.shutdown(Shutdown::Write);
            false
        }
    };
    let end = stream.read_to_end(&mut got);
    let is_silent = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    if let Err(error) = &end {
        let as_expected = is_open || !is_silent(error.kind());
        assert!(as_expected, "neither answered nor closed: {}", sent.escape_ascii());
    }
    let verdict = judge::client(&sent, &got, &LIMITS, end.is_err());
    assert!(verdict.is_whole || end.is_err(), "cut off: {}", got.escape_ascii());
    assert!(memchr::memmem::find(&got, b"HTTP/1.1 500").is_none(), "{}", got.escape_ascii());
    Figures { answers: verdict.answers, ..figures }
}

/// Sends so many requests at least; the same ones each time.
fn run(address: SocketAddr, seed: u64, requests: u64) -> Figures {
    let mut random = Random::new(seed);
    let mut figures = Figures::default();
    while figures.requests < requests {
        figures += converse(address, &mut random);
    }
    figures
}

#[test]
fn whatever_is_sent_is_answered_soundly_and_leaves_nothing_behind() {
    let requests = number("PUSHSERVER_MANGLED").unwrap_or(REQUESTS_IN_ALL);
    let seeds: Vec<u64> = match number("PUSHSERVER_MANGLED_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("PUSHSERVER_MANGLED_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let each = requests.div_ceil(seeds.len() as u64);
    let backend = Backend::that(Manner::Answers(200));
    let mut settings = subscriber(json!({"passthrough": backend.url(), "timeout": 0.2}));
    merge(&mut settings, json!({"limits": {"header_timeout": 0.5, "body_timeout": 0.5}}));
    let daemon = Daemon::start(BINARY, settings);
    let idle = daemon.vitals().descriptors();
    assert_eq!(daemon.publish("first", "m").status, 202);
    let address = daemon.address();
    let begin = Instant::now();
    let (left, figures) = (Mutex::new(seeds.iter()), Mutex::new(Figures::default()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(seed) = left.lock().unwrap().next() else { break };
                    let outcome = catch_unwind(|| run(address, *seed, each));
                    *figures.lock().unwrap() += outcome.unwrap_or_else(|_| {
                        panic!(
                            "seed {seed} fails; replay it with\n  PUSHSERVER_MANGLED_SEED={seed} \
                             PUSHSERVER_MANGLED={each} cargo test --test daemon mangled"
                        )
                    });
                }
            });
        }
    });
    let took = begin.elapsed();
    println!("{:?} from {} seeds in {took:.1?}", figures.lock().unwrap(), seeds.len());
    // Beside the connection to the backend.
    until("every connection is closed", || daemon.vitals().descriptors() <= idle + 1);
    until("every hold has ended", || daemon.held("a") == 0);
    assert_eq!(daemon.publish("last", "m").status, 202);
    println!("survived; {} KiB resident at most", daemon.vitals().peak_kib());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}
