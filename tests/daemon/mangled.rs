//! Requests with errors in them, several to a connection, split anywhere and cut off: whatever
//! comes, answers are sound, nothing is left behind, and the daemon serves the next one. The seed
//! is fixed; `PUSHSERVER_MANGLED` makes more connections than fit into a test run.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{Backend, Daemon, Manner, merge, subscriber, until};

const REQUESTS: &[&str] = &[
    "GET /subscriber/a HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\nOrigin: http://a\r\n\r\n",
    "GET /subscriber/a?last_event_id=9999999999:1 HTTP/1.1\r\nHost: a\r\n\r\n",
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

/// Xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn mangled(&mut self) -> Vec<u8> {
        let mut bytes = REQUESTS[self.below(REQUESTS.len())].as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.drain(at..(at + 1 + self.below(8)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].bytes())),
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
}

/// Sends some requests in some pieces; gives what is answered until a moment of silence.
fn converse(address: SocketAddr, chance: &mut Chance) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let bytes: Vec<u8> = (0..1 + chance.below(4)).flat_map(|_| chance.mangled()).collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let piece = 1 + chance.below(rest.len());
        // It may have closed already.
        if stream.write_all(&rest[..piece]).is_err() {
            break;
        }
        rest = &rest[piece..];
    }
    let mut answers = Vec::new();
    match chance.below(8) {
        0 => return answers,
        1 => drop(stream.shutdown(Shutdown::Write)),
        _ => {}
    }
    // Ends with an error: the silence, or a reset.
    let _ = stream.read_to_end(&mut answers);
    answers
}

#[track_caller]
fn assert_sound(answers: &[u8]) {
    let text = String::from_utf8_lossy(answers);
    assert!(answers.is_empty() || text.starts_with("HTTP/1.1 "), "{text}");
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    assert!(!head.starts_with("HTTP/1.1 500"), "{head}");
}

#[test]
fn whatever_is_sent_is_answered_soundly_and_leaves_nothing_behind() {
    let given = std::env::var("PUSHSERVER_MANGLED").ok();
    let connections: usize = given.map_or(1200, |number| number.parse().expect("a number"));
    let backend = Backend::that(Manner::Answers(200));
    let mut settings = subscriber(json!({"passthrough": backend.url(), "timeout": 0.2}));
    merge(&mut settings, json!({"limits": {"header_timeout": 0.5, "body_timeout": 0.5}}));
    let daemon = Daemon::start(settings);
    assert_eq!(daemon.publish("first", "m").status, 202);
    let idle = daemon.descriptors();
    let address = daemon.address();
    let threads: Vec<_> = (1..=8)
        .map(|seed| {
            thread::spawn(move || {
                let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seed);
                for _ in 0..connections / 8 {
                    assert_sound(&converse(address, &mut chance));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // Beside the connection to the backend.
    until("every connection is closed", || daemon.descriptors() <= idle + 1);
    until("every hold has ended", || daemon.held("a") == 0);
    assert_eq!(daemon.publish("last", "m").status, 202);
}
