//! The daemon as a child process, a client of it, and an upstream that a test plays. Everything
//! waits for what it expects, with a deadline; nothing sleeps.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A running daemon; killed at the end of its test.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<(Mutex<String>, Condvar)>,
}

impl Daemon {
    /// In front of `upstream`, with these further settings (the inside of a JSON object).
    pub(crate) fn start(upstream: &str, settings: &str) -> Self {
        let comma = if settings.is_empty() { "" } else { "," };
        let settings = format!("{{\"port\": 0, \"allrequests\": \"{upstream}\"{comma}{settings}}}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_pushserver"))
            .args(["--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_remove("RUST_LOG")
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(settings.as_bytes()).unwrap();
        let log = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let filled = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("daemon: {line}");
                filled.0.lock().unwrap().push_str(&(line + "\n"));
                filled.1.notify_all();
            }
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line);
        Self { address: address.parse().unwrap(), child, log }
    }

    /// In front of `upstream`, with short patience.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::start(&upstream.url(), "")
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Client {
        let mut client = self.connect();
        client.send(request);
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the log has these words; gives all of it.
    pub(crate) fn wait_for_log(&self, words: &str) -> String {
        let log = self.log.0.lock().unwrap();
        let wait = self.log.1.wait_timeout_while(log, LONG, |log| !log.contains(words));
        let (log, timeout) = wait.unwrap();
        assert!(!timeout.timed_out(), "no {words:?} in the log: {log}");
        log.clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One end of a connection: to the daemon, or from it.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// A head, and the body as far as its framing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// The values of all fields with this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// A head with its blank line.
    pub(crate) fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).unwrap();
            assert!(!line.is_empty(), "the connection ended in a head: {head:?}");
            head.push_str(std::str::from_utf8(&line).unwrap());
        }
        head
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A whole message with a length or in chunks.
    pub(crate) fn message(&mut self) -> Message {
        let mut message = Message { head: self.head(), body: Vec::new() };
        if message.field("Transfer-Encoding") == Some("chunked") {
            message.body = self.chunks();
        } else if let Some(length) = message.field("Content-Length") {
            message.body = self.bytes(length.parse().unwrap());
        }
        message
    }

    /// A chunked body, to its last chunk.
    pub(crate) fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).expect(&line);
            body.extend(self.bytes(size));
            assert_eq!(self.bytes(2), b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// What comes before the end of the connection; `Err`: it was reset.
    pub(crate) fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map(|_| rest)
    }

    /// Waits for the end of the connection, whatever its kind, and for nothing else.
    pub(crate) fn is_closed(&mut self) {
        match self.rest() {
            Ok(rest) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "still open"),
        }
    }

    /// Closes so that the peer sees a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.get_ref());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// An upstream: its connections come to the test, which plays the server's part.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Receiver<TcpStream>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn of(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (give, connections) = mpsc::channel();
        thread::spawn(move || {
            // Ends with the test, when nobody takes connections any more.
            while let Ok((stream, _)) = listener.accept() {
                if give.send(stream).is_err() {
                    return;
                }
            }
        });
        Self { address, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The daemon's next connection.
    pub(crate) fn accept(&self) -> Client {
        let stream = self.connections.recv_timeout(LONG).expect("a connection of the daemon");
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// No connection has come that was not accepted.
    pub(crate) fn nobody(&self) {
        assert!(self.connections.try_recv().is_err(), "an unexpected connection");
    }
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        thread::yield_now();
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A small answer.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
