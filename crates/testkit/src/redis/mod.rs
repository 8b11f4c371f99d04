//! Redis: a real `redis-server` in a directory of its own, on a port and a Unix socket; stopped
//! when dropped. It keeps nothing on the disk unless a test asks for that.
//!
//! `PUSHSERVER_REDIS` names another program than the `redis-server` of the PATH: another version,
//! or Valkey.

mod connection;
mod program;
mod sentinel;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pushserver::store::redis::options::Address;
use pushserver::store::redis::resp::Value;

use self::program::{free_address, log, program};
use crate::directory::Directory;
use crate::wait::until;

pub use self::connection::Connection;
pub use self::program::refusing;
pub use self::sentinel::Sentinel;

/// Starts that may fail because another took the port that was free a moment ago.
const TRIES: usize = 5;

/// A running server.
pub struct Redis {
    child: Child,
    address: SocketAddr,
    options: Vec<String>,
    directory: Directory,
}

/// What a server has of its data when it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// All that it had when it ended.
    Kept,
    /// What it has written to the disk by itself.
    Written,
    /// None.
    Lost,
}

impl Redis {
    /// A server with further settings, each a name and its values. Returns once it answers.
    ///
    /// # Panics
    /// If it does not: with what it said.
    #[must_use]
    pub fn start(options: &[&[&str]]) -> Self {
        let options = options
            .iter()
            .flat_map(|option| {
                let (name, values) = option.split_first().expect("an option has a name");
                let values = values.iter().map(|value| (*value).to_owned());
                std::iter::once(format!("--{name}")).chain(values)
            })
            .collect::<Vec<_>>();
        let directory = Directory::create();
        for _ in 0..TRIES {
            let address = free_address();
            if let Some(child) = run(address, &options, &directory) {
                return Self { child, address, options, directory };
            }
        }
        panic!("no port stayed free");
    }

    /// A server that follows this one. Returns once it has all its data.
    #[must_use]
    pub fn replica(&self) -> Self {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let replica =
            Self::start(&[&["replicaof", &ip, &port], &["repl-diskless-sync-delay", "0"]]);
        until("the replica has its data", || {
            // While it loads them it may refuse to say so.
            let Value::Text(text) = replica.answer(&["INFO", "replication"]) else { return false };
            String::from_utf8_lossy(&text).contains("master_link_status:up")
        });
        replica
    }

    /// Where it listens on TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as a setting.
    #[must_use]
    pub fn tcp(&self) -> Address {
        Address::Tcp(self.address.ip().to_string(), self.address.port())
    }

    /// The path of its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.file("redis.sock")
    }

    /// Of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A connection of its own.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::new(&self.socket()).expect("it listens")
    }

    /// Sends a command on a connection of its own; gives the answer, whatever it is.
    #[track_caller]
    pub fn answer<W: AsRef<[u8]>>(&self, words: &[W]) -> Value {
        self.connect().ask(words)
    }

    /// Sends a command; its answer is no error.
    ///
    /// # Panics
    /// If it is one.
    #[track_caller]
    pub fn ask<W: AsRef<[u8]>>(&self, words: &[W]) -> Value {
        match self.answer(words) {
            Value::Error(error) => panic!("{}", String::from_utf8_lossy(&error)),
            value => value,
        }
    }

    /// Sends a command that is answered with a text.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn text<W: AsRef<[u8]>>(&self, words: &[W]) -> String {
        match self.ask(words) {
            Value::Text(text) => String::from_utf8_lossy(&text).into_owned(),
            value => panic!("{value:?} is no text"),
        }
    }

    /// Sends a command that is answered with a number.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn number<W: AsRef<[u8]>>(&self, words: &[W]) -> i64 {
        match self.ask(words) {
            Value::Number(number) => number,
            value => panic!("{value:?} is no number"),
        }
    }

    /// Sends a signal: `STOP` freezes it, `CONT` lets it go on.
    ///
    /// # Panics
    /// If it has ended.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.id().to_string()];
        let status = Command::new("kill").args(arguments).status().expect("kill is there");
        assert!(status.success(), "{}", self.log());
    }

    /// Ends it at once. With [`Data::Kept`] its data is written to the disk before.
    pub fn kill(&mut self, data: Data) {
        if data == Data::Kept {
            self.ask(&["SAVE"]);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if data == Data::Lost {
            for name in ["dump.rdb", "appendonlydir", "appendonly.aof"] {
                let path = self.directory.file(name);
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
        let _ = fs::remove_file(self.socket());
    }

    /// Starts it again where it was, after [`Redis::kill`]. Returns once it answers.
    ///
    /// # Panics
    /// If it does not: with what it said.
    pub fn revive(&mut self) {
        for _ in 0..TRIES {
            if let Some(child) = run(self.address, &self.options, &self.directory) {
                self.child = child;
                return;
            }
        }
        panic!("the port is taken: {}", self.log());
    }

    /// Ends it at once and starts it again where it was.
    pub fn restart(&mut self, data: Data) {
        self.kill(data);
        self.revive();
    }

    /// What it said since it started last.
    #[must_use]
    pub fn log(&self) -> String {
        log(&self.directory)
    }

    /// A path in its directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that is frozen, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("redis-server said {}", self.log());
        }
    }
}

/// `None`: another has the port.
fn run(address: SocketAddr, options: &[String], directory: &Directory) -> Option<Child> {
    let socket = directory.file("redis.sock");
    let _ = fs::remove_file(&socket);
    let output = fs::File::create(directory.file("log")).expect("the directory is writable");
    let mut command = program("redis-server");
    command.arg("--bind").arg(address.ip().to_string());
    command.arg("--port").arg(address.port().to_string());
    command.arg("--unixsocket").arg(&socket);
    command.arg("--dir").arg(directory.file(""));
    // Sentinels reach it there, too.
    command.args(["--save", "", "--replica-announce-ip", &address.ip().to_string()]);
    command.args(options);
    command.stdin(Stdio::null()).stderr(output.try_clone().expect("a file")).stdout(output);
    let mut child = command.spawn().expect("redis-server can be started");
    let mut has_ended = false;
    until("redis-server answers", || {
        has_ended = child.try_wait().expect("it is our child").is_some();
        has_ended || answers(&socket)
    });
    if !has_ended {
        return Some(child);
    }
    let log = log(directory);
    assert!(log.contains("Address already in use"), "redis-server does not start: {log}");
    None
}

/// Whether it serves: one that wants a password does.
fn answers(socket: &Path) -> bool {
    let Ok(mut connection) = Connection::new(socket) else { return false };
    match connection.ask(&["PING"]) {
        Value::Error(error) => !error.starts_with(b"LOADING"),
        _ => true,
    }
}
