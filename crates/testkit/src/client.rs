//! Client: one end of a connection, to the daemon or from it. It reads only when a test asks for
//! something, and keeps bytes beyond that for the next question; every wait has a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::answer::{Answer, head_bytes, unchunk};
use crate::wait::LONG;

/// See the file.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// What has come and was not taken yet.
    pub inbox: Vec<u8>,
}

impl Client {
    /// Connects to a TCP address.
    pub fn tcp(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        Self::connect(socket, &address.into())
    }

    /// Connects to a Unix socket.
    pub fn unix(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        Self::connect(socket, &SockAddr::unix(path).unwrap())
    }

    /// With a receive buffer that is soon full.
    pub fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::connect(socket, &address.into())
    }

    fn connect(socket: Socket, address: &SockAddr) -> Self {
        socket.connect(address).expect("the daemon listens");
        Self::over(socket)
    }

    /// Over what is connected already.
    pub fn over(socket: impl Into<Socket>) -> Self {
        let socket = socket.into();
        // A Unix socket knows no delay.
        let _ = socket.set_tcp_nodelay(true);
        socket.set_write_timeout(Some(LONG)).unwrap();
        Self { socket, inbox: Vec::new() }
    }

    /// The socket, for its options and for other threads.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends all of the bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).expect("the daemon reads");
        self
    }

    /// Sends each piece of `size` bytes by itself, with a pause behind it.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize, pause: Duration) -> &mut Self {
        for piece in bytes.chunks(size) {
            self.send(piece);
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        self
    }

    /// Whether the daemon was still there to send to.
    #[track_caller]
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        let sent = self.socket.write_all(bytes);
        assert!(sent.as_ref().err().is_none_or(is_end), "cannot send: {sent:?}");
        sent.is_ok()
    }

    /// Sends until nothing more is taken for `patience`, or `bytes` are sent; gives how many were.
    pub fn send_as_far_as_taken(&mut self, bytes: &[u8], patience: Duration) -> usize {
        self.socket.set_write_timeout(Some(patience)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match uninterrupted(|| self.socket.write(&bytes[sent..])) {
                Ok(length) => sent += length,
                Err(_) => break,
            }
        }
        self.socket.set_write_timeout(Some(LONG)).unwrap();
        sent
    }

    /// Sends a GET.
    pub fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    /// Sends a POST with this body.
    pub fn post(&mut self, path: &str, body: &[u8]) -> &mut Self {
        self.send(post(path, body))
    }

    /// As [`Client::try_send`].
    pub fn try_post(&mut self, path: &str, body: &[u8]) -> bool {
        self.try_send(&post(path, body))
    }

    /// The next answer, read to its end.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer, not the end of the connection")
    }

    /// The next answer; `None` if the connection ends before its first byte.
    #[track_caller]
    pub fn try_answer(&mut self) -> Option<Answer> {
        self.take(|inbox| Answer::take(inbox, false))
    }

    /// The next head, of a request or an answer, with its blank line.
    #[track_caller]
    pub fn head(&mut self) -> String {
        let head = self.bytes_of(head_bytes);
        String::from_utf8(head).expect("heads are UTF-8")
    }

    /// The next bytes, so many.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.bytes_of(|inbox| (inbox.len() >= count).then_some(count))
    }

    /// What is in the next chunks, to the last one.
    #[track_caller]
    pub fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        let whole = self.take(|inbox| {
            let (taken, is_whole) = unchunk(inbox, &mut body).expect("sound chunks");
            inbox.drain(..taken);
            is_whole.then_some(())
        });
        whole.expect("a last chunk, not the end of the connection");
        body
    }

    /// What comes before the end of the connection; `Err`: it was reset.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.socket.set_read_timeout(Some(LONG)).unwrap();
        let mut rest = std::mem::take(&mut self.inbox);
        self.socket.read_to_end(&mut rest).map(|_| rest)
    }

    /// Whether the connection ends, with nothing before that.
    #[track_caller]
    pub fn ends(&mut self) -> bool {
        self.inbox.is_empty() && !self.fill()
    }

    /// Whether nothing comes, nor the end, for `patience`.
    pub fn is_silent(&mut self, patience: Duration) -> bool {
        self.fill_until(Instant::now() + patience).is_none()
    }

    /// Sends no more, but reads on.
    pub fn end_sending(&mut self) -> &mut Self {
        self.socket.shutdown(Shutdown::Write).expect("still connected");
        self
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits until more is in the inbox; false if the connection has ended instead.
    #[track_caller]
    pub fn fill(&mut self) -> bool {
        self.fill_until(Instant::now() + LONG).expect("something comes in time, or the end")
    }

    /// As [`Client::fill`]; `None` if nothing has happened until then.
    #[track_caller]
    pub fn fill_until(&mut self, deadline: Instant) -> Option<bool> {
        let mut buffer = [0; 64 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            match uninterrupted(|| self.socket.read(&mut buffer)) {
                Ok(length) => {
                    self.inbox.extend_from_slice(&buffer[..length]);
                    return Some(length > 0);
                }
                Err(error) if is_end(&error) => return Some(false),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("cannot read: {error}"),
            }
        }
    }

    #[track_caller]
    fn bytes_of(&mut self, length: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        let whole = self.take(|inbox| length(inbox).map(|length| inbox.drain(..length).collect()));
        whole.expect("bytes, not the end of the connection")
    }

    /// What `take` makes of the inbox as soon as it can; `None` if the connection ends instead,
    /// with nothing left over.
    #[track_caller]
    fn take<T>(&mut self, mut take: impl FnMut(&mut Vec<u8>) -> Option<T>) -> Option<T> {
        loop {
            if let Some(whole) = take(&mut self.inbox) {
                return Some(whole);
            }
            if !self.fill() {
                let begun = &self.inbox[..self.inbox.len().min(1000)];
                assert!(begun.is_empty(), "cut off: {}", begun.escape_ascii());
                return None;
            }
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

/// Repeats a call that a signal has interrupted. The end of a child process interrupts a thread
/// that waits on a socket for a bounded time, though no handler is set for its signal: it does when
/// it comes while another thread starts a process, which has all signals blocked meanwhile.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// A head with these further lines.
pub fn request(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request that publishes.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
