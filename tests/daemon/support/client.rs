//! One connection to the daemon, and the answers that come over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::LONG;

/// A client that reads no more than it is asked to.
pub(crate) struct Client {
    socket: Socket,
    buffer: Vec<u8>,
}

/// One whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of the first header with this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Header lines that ask for the message after this one.
    pub(crate) fn cursor(&self) -> String {
        let (time, tag) = (self.header("Last-Modified"), self.header("Etag"));
        let (time, tag) = (time.expect("a message"), tag.expect("a message"));
        format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    /// Whether it says that the connection ends.
    pub(crate) fn closes(&self) -> bool {
        self.header("Connection") == Some("close")
    }
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        Self::connect(socket, &address.into())
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        Self::connect(socket, &SockAddr::unix(path).unwrap())
    }

    /// With a receive buffer that is soon full.
    pub(crate) fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::connect(socket, &address.into())
    }

    fn connect(socket: Socket, address: &SockAddr) -> Self {
        socket.connect(address).expect("the daemon listens");
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_write_timeout(Some(LONG)).unwrap();
        Self { socket, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).expect("the daemon reads");
        self
    }

    /// Sends each piece of `size` bytes by itself, with a pause behind it.
    pub(crate) fn send_in_pieces(
        &mut self,
        bytes: &[u8],
        size: usize,
        pause: Duration,
    ) -> &mut Self {
        self.socket.set_tcp_nodelay(true).unwrap();
        for piece in bytes.chunks(size) {
            self.send(piece);
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        self
    }

    /// Whether the daemon was still there to send to.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends until nothing more is taken for `patience`, or `bytes` are sent; gives how many were.
    pub(crate) fn send_as_far_as_taken(&mut self, bytes: &[u8], patience: Duration) -> usize {
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

    pub(crate) fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> &mut Self {
        self.send(post(path, body))
    }

    /// As [`Client::try_send`].
    pub(crate) fn try_post(&mut self, path: &str, body: &[u8]) -> bool {
        self.try_send(&post(path, body))
    }

    /// The next answer, read to its end.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer, not the end of the connection")
    }

    /// The next answer; `None` if the connection ends before its first byte.
    #[track_caller]
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        let length = loop {
            let end = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            if !self.read_more() {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert!(self.buffer.is_empty(), "cut within a head: {rest:?}");
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..length).collect()).expect("ASCII");
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = match status {
            100..200 | 204 | 304 => 0,
            _ => answer.header("Content-Length").map_or(0, |length| length.parse().unwrap()),
        };
        while self.buffer.len() < length {
            assert!(self.read_more(), "cut after {} of {length} bytes", self.buffer.len());
        }
        answer.body = self.buffer.drain(..length).collect();
        Some(answer)
    }

    /// Whether the connection ends, with nothing before that.
    pub(crate) fn ends(&mut self) -> bool {
        self.buffer.is_empty() && !self.read_more()
    }

    /// Whether nothing comes, nor the end, for `patience`.
    pub(crate) fn is_silent(&mut self, patience: Duration) -> bool {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let outcome = uninterrupted(|| self.socket.read(&mut [0; 1]));
        self.socket.set_read_timeout(Some(LONG)).unwrap();
        outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends no more, but reads on.
    pub(crate) fn end_sending(&mut self) -> &mut Self {
        self.socket.shutdown(Shutdown::Write).expect("still connected");
        self
    }

    /// Goes without a word: the daemon's side is reset.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        match uninterrupted(|| self.socket.read(&mut chunk)) {
            Ok(length) => {
                self.buffer.extend_from_slice(&chunk[..length]);
                length > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

/// Calls again what a signal has interrupted. The end of a child interrupts whoever waits on a
/// socket for a bounded time, though nobody handles its signal, where it comes while another thread
/// starts a process: that one has all signals blocked.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// A head with these further lines.
pub(crate) fn request(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request that publishes.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use signal_hook::consts::SIGUSR2;

    use super::super::{Daemon, settings, until};

    #[test]
    fn whoever_is_interrupted_while_nothing_comes_waits_on() {
        let interrupted = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGUSR2, Arc::clone(&interrupted)).unwrap();
        let daemon = Daemon::start(settings());
        let mut client = daemon.hold("a", 1).remove(0);
        let socket = format!("{:#x}", client.socket.as_raw_fd());
        let (tell, told) = mpsc::channel();
        let reader = thread::spawn(move || {
            // "PROCESS/task/THREAD"
            tell.send(fs::read_link("/proc/thread-self").unwrap()).unwrap();
            client.answer()
        });
        let path = told.recv().unwrap();
        until("the thread waits for the socket", || {
            let call = fs::read_to_string(format!("/proc/{}/syscall", path.display())).unwrap();
            call.split(' ').nth(1) == Some(&socket)
        });
        let thread = path.file_name().unwrap();
        assert!(Command::new("kill").arg("-USR2").arg(thread).status().unwrap().success());
        until("the signal arrives", || interrupted.load(Ordering::Relaxed));
        daemon.publish("a", "m");
        assert_eq!(reader.join().unwrap().text(), "m");
    }
}
