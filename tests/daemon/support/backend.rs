//! A web application that is told of subscribers, well-behaved or not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::LONG;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is answered with this status.
    Answers(u16),
    /// It is answered after this time.
    Slow(Duration),
    /// It is read and never answered.
    Hangs,
    /// The connection ends instead.
    Closes,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    /// The value of the first header with this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// See the module.
pub(crate) struct Backend {
    address: SocketAddr,
    seen: Receiver<Seen>,
}

impl Backend {
    pub(crate) fn that(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || serve(stream.unwrap(), manner, &tell));
            }
        });
        Self { address, seen }
    }

    /// An address that nobody listens on.
    pub(crate) fn dead_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/told", listener.local_addr().unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/told", self.address)
    }

    /// The next request that comes.
    #[track_caller]
    pub(crate) fn next(&self) -> Seen {
        self.seen.recv_timeout(LONG).expect("a notice")
    }

    /// The bodies of the next requests.
    #[track_caller]
    pub(crate) fn bodies(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().body).collect()
    }

    /// The next request, if it has come already.
    pub(crate) fn poll(&self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

fn serve(stream: TcpStream, manner: Manner, tell: &Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(seen) = read_request(&mut reader) {
        // The test may be over.
        let _ = tell.send(seen);
        let status = match manner {
            Manner::Answers(status) => status,
            Manner::Slow(by) => {
                thread::sleep(by);
                200
            }
            Manner::Hangs => continue,
            Manner::Closes => return,
        };
        let answer = format!("HTTP/1.1 {status} Told\r\nContent-Length: 0\r\n\r\n");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut seen = Seen { head, body: String::new() };
    let length = seen.header("Content-Length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_string(&mut seen.body).ok()?;
    Some(seen)
}
