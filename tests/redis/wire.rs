//! Wire: a link on a plain socket that the test drives, one call after the other. No thread: the
//! test waits for a condition, and meanwhile the link gets what comes and does what is due.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pushserver::jitter::Jitter;
use pushserver::store::redis::answers::Published;
use pushserver::store::redis::link::{Event, Input, Link, NotSent, Output};
use pushserver::store::redis::options::{Address, Credentials, Limits, Options, Server};
use pushserver::store::redis::reason::Reason;
use pushserver::store::redis::resp::Value;
use pushserver::store::redis::scripts::Command;
use pushserver_testkit::LONG;

/// How long a read waits for bytes.
const PATIENCE: Duration = Duration::from_millis(2);

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(crate) struct Wire {
    pub(crate) link: Link<u32>,
    socket: Option<Socket>,
    begin: Instant,
    pub(crate) events: Vec<Event<u32>>,
    /// When each was dialled, milliseconds.
    pub(crate) dials: Vec<(u64, Address)>,
}

/// Of a link to this server.
pub(crate) fn options(server: Server) -> Options {
    Options {
        name: "default".into(),
        server,
        credentials: Credentials::default(),
        database: 0,
        key_prefix: Box::default(),
        limits: Limits::new((0, 0), 0, 0),
        timeout_ms: 1500,
        cache_bytes: 0,
    }
}

impl Wire {
    pub(crate) fn new(options: Options) -> Self {
        let link = Link::new(options, Jitter::new(std::process::id().into()));
        let (events, dials) = (Vec::new(), Vec::new());
        Self { link, socket: None, begin: Instant::now(), events, dials }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).expect("a test is short")
    }

    /// Drives the link until something holds of it.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !condition(self) {
            assert!(begin.elapsed() < LONG, "in vain: {what}; {:?} {:?}", self.link, self.events);
            self.step();
        }
    }

    #[track_caller]
    pub(crate) fn until_up(&mut self) {
        self.until("the link is up", |wire| wire.link.is_up());
    }

    /// Why the link is not up any more.
    #[track_caller]
    pub(crate) fn until_down(&mut self) -> Reason {
        let mut reason = None;
        self.until("the link is down", |wire| {
            reason = wire.events.iter().find_map(|event| match event {
                Event::Down(reason) => Some(reason.clone()),
                _ => None,
            });
            reason.is_some()
        });
        self.events.clear();
        reason.expect("waited for")
    }

    pub(crate) fn send(&mut self, command: Command, key: u32) -> Result<(), NotSent> {
        let now_ms = self.now_ms();
        let sent = self.link.send(command, key, now_ms).map_err(|(not_sent, _)| not_sent);
        self.settle();
        sent
    }

    /// Sends a command and waits for its answer; `None`: it is lost.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: Command) -> Option<Value> {
        match self.answer(command) {
            Event::Reply(_, value) => Some(value),
            _ => None,
        }
    }

    /// Publishes, and waits for the answer.
    #[track_caller]
    pub(crate) fn publish(&mut self, command: Command) -> Published {
        match self.answer(command) {
            Event::Published(_, published) => published,
            Event::Reply(_, value) => Published::read(value).expect("it is published"),
            event => panic!("no answer: {event:?}"),
        }
    }

    #[track_caller]
    fn answer(&mut self, command: Command) -> Event<u32> {
        self.send(command, u32::MAX).expect("the link is up");
        let mut answer = None;
        self.until("an answer", |wire| {
            let is_it = |event: &Event<u32>| {
                matches!(
                    event,
                    Event::Reply(u32::MAX, _)
                        | Event::Published(u32::MAX, _)
                        | Event::Lost(u32::MAX)
                )
            };
            let at = wire.events.iter().position(is_it);
            answer = at.map(|at| wire.events.remove(at));
            answer.is_some()
        });
        answer.expect("waited for")
    }

    /// One turn: what is due, then what has come.
    fn step(&mut self) {
        let now_ms = self.now_ms();
        if self.link.poll_timeout().is_some_and(|due_ms| due_ms <= now_ms) {
            self.link.handle_timeout(now_ms);
        }
        self.settle();
        let mut bytes = [0; 1 << 14];
        let read = match &mut self.socket {
            None => {
                std::thread::sleep(PATIENCE);
                return;
            }
            Some(Socket::Tcp(socket)) => socket.read(&mut bytes),
            Some(Socket::Unix(socket)) => socket.read(&mut bytes),
        };
        let now_ms = self.now_ms();
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) => self.link.handle_input(Input::Closed("end of file"), now_ms),
            Ok(length) => self.link.handle_input(Input::Received(&bytes[..length]), now_ms),
            Err(error) => self.link.handle_input(Input::Closed(&error.to_string()), now_ms),
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) = self.link.poll_output() {
            match output {
                Output::Close => self.socket = None,
                Output::Connect(address) => self.connect(address),
                Output::Send(bytes) => {
                    let sent = match self.socket.as_mut().expect("it is connected") {
                        Socket::Tcp(socket) => socket.write_all(&bytes),
                        Socket::Unix(socket) => socket.write_all(&bytes),
                    };
                    if let Err(error) = sent {
                        let now_ms = self.now_ms();
                        self.link.handle_input(Input::Closed(&error.to_string()), now_ms);
                    }
                }
            }
        }
        while let Some(event) = self.link.poll_event() {
            self.events.push(event);
        }
    }

    fn connect(&mut self, address: Address) {
        let socket = match &address {
            Address::Unix(path) => UnixStream::connect(path).and_then(|socket| {
                socket.set_read_timeout(Some(PATIENCE))?;
                Ok(Socket::Unix(socket))
            }),
            Address::Tcp(host, port) => {
                let mut found = (&**host, *port).to_socket_addrs().expect("an address");
                TcpStream::connect(found.next().expect("one address")).and_then(|socket| {
                    socket.set_read_timeout(Some(PATIENCE))?;
                    Ok(Socket::Tcp(socket))
                })
            }
        };
        let now_ms = self.now_ms();
        self.dials.push((now_ms, address));
        match socket {
            Ok(socket) => {
                self.socket = Some(socket);
                self.link.handle_input(Input::Connected, now_ms);
            }
            Err(error) => self.link.handle_input(Input::ConnectFailed(&error.to_string()), now_ms),
        }
    }
}
