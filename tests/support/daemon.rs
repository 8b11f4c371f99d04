//! The real binary on a free port, and the plainest of clients for it: bytes out, bytes in, each
//! wait bounded. For the transcripts and for tests of the command.

#![allow(dead_code, unreachable_pub, reason = "each of those who share this file uses a part")]

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything is waited for. Only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
    /// What it logged so far.
    log: Arc<Mutex<String>>,
    /// The daemon leaves when this is closed, even if we are killed.
    _stdin: ChildStdin,
}

impl Daemon {
    /// Starts it with these settings, JSON, which should say `"port": 0`. Returns once it accepts.
    pub fn start(settings: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pushserver"))
            .args(["--config", "-", "--exit-on-stdin-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon can be started");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A daemon that cannot start says why on stderr; that is the better message.
        let _ = stdin.write_all(settings.as_bytes());
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let logged = Arc::clone(&log);
        let logger = thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|length| length > 0) {
                logged.lock().expect("nobody panics with it").push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout can be read");
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            let _ = child.wait();
            let _ = logger.join();
            panic!("the daemon did not start: {line}{}", log.lock().expect("nobody panics"));
        };
        let address = address.parse().expect("an address and a port");
        Self { child, address, log, _stdin: stdin }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address).expect("the daemon accepts")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection to a daemon.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What came and was not taken yet.
    pub inbox: Vec<u8>,
    /// The daemon has closed its end.
    ended: bool,
}

impl Client {
    /// A new connection.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, inbox: Vec::new(), ended: false })
    }

    /// Sends everything, unless the daemon does not take it any more.
    pub fn send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_end(&error) => panic!("cannot send: {error}"),
            _ => {}
        }
    }

    /// Sends no more, but reads on.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Waits until more is in the inbox; false if the daemon has closed its end instead.
    ///
    /// # Panics
    /// When neither happens in time.
    pub fn fill(&mut self) -> bool {
        self.fill_until(Instant::now() + PATIENCE)
            .unwrap_or_else(|| panic!("no answer within {PATIENCE:?}"))
    }

    /// As [`Client::fill`]; `None` when neither has happened until then.
    pub fn fill_until(&mut self, deadline: Instant) -> Option<bool> {
        let mut buffer = [0; 64 << 10];
        while !self.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).expect("a time above 0");
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    self.inbox.extend_from_slice(&buffer[..length]);
                    return Some(true);
                }
                Err(error) if is_end(&error) => self.ended = true,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => panic!("cannot read: {error}"),
            }
        }
        Some(false)
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
