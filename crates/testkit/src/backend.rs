//! Backend: a web application that takes notices of subscribers, well-behaved or not. It keeps what
//! it was sent; it never checks it.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::{head_bytes, header};
use crate::client::Client;
use crate::upstream::Upstream;
use crate::wait::LONG;

/// What the backend does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is answered with this status.
    Answers(u16),
    /// It is answered after this time.
    Slow(Duration),
    /// It is read and never answered.
    Hangs,
    /// The connection ends instead.
    Closes,
}

/// One request that the backend has read.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and headers.
    pub head: String,
    /// What came behind the head.
    pub body: String,
}

impl Seen {
    /// The next request of a client; `None` if its connection ends instead.
    pub fn of(client: &mut Client) -> Option<Self> {
        loop {
            match Self::take(&mut client.inbox) {
                // The daemon may keep its connection for as long as it likes.
                None if client.fill_until(Instant::now() + LONG) == Some(false) => return None,
                None => {}
                seen => return seen,
            }
        }
    }

    /// Takes the first request out of `inbox`; `None` while it is not whole.
    fn take(inbox: &mut Vec<u8>) -> Option<Self> {
        let begin = head_bytes(inbox)?;
        let head = String::from_utf8(inbox[..begin].to_vec()).expect("heads are UTF-8");
        let length = header(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
        let body = inbox.get(begin..begin + length)?.to_vec();
        inbox.drain(..begin + length);
        Some(Self { head, body: String::from_utf8(body).expect("a form is UTF-8") })
    }

    /// The value of the one header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// See the file.
pub struct Backend {
    url: String,
    seen: Receiver<Seen>,
    manner: Arc<Mutex<Manner>>,
}

impl Backend {
    /// A backend that does so with each request.
    pub fn that(manner: Manner) -> Self {
        let upstream = Upstream::start();
        let url = format!("{}/told", upstream.url());
        let (tell, seen) = mpsc::channel();
        let manner = Arc::new(Mutex::new(manner));
        let current = Arc::clone(&manner);
        thread::spawn(move || {
            for client in upstream.connections {
                let (tell, manner) = (tell.clone(), Arc::clone(&current));
                thread::spawn(move || serve(client, &manner, &tell));
            }
        });
        Self { url, seen, manner }
    }

    /// It does so with each request from now on.
    pub fn becomes(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Where it takes notices.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The next request that comes.
    #[track_caller]
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(LONG).expect("a notice")
    }

    /// The bodies of the next requests.
    #[track_caller]
    pub fn bodies(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().body).collect()
    }

    /// The next request, if it has come already.
    pub fn poll(&self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }
}

fn serve(mut client: Client, manner: &Mutex<Manner>, tell: &Sender<Seen>) {
    while let Some(seen) = Seen::of(&mut client) {
        // Before the test sees it, which may change it then.
        let manner = *manner.lock().unwrap();
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
        if !client.try_send(answer.as_bytes()) {
            return;
        }
    }
}
