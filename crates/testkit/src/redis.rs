//! Redis: a real `redis-server` in a directory of its own, on a port and a Unix socket; stopped
//! when dropped. It keeps nothing on the disk unless a test asks for that.
//!
//! `PUSHSERVER_REDIS` names another program than the `redis-server` of the PATH: another version,
//! or Valkey.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use pushserver::store::redis::options::Address;
use pushserver::store::redis::resp::{Decoder, Value, write_command};

use crate::directory::Directory;
use crate::wait::{LONG, until};

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
            replica.text(&["INFO", "replication"]).contains("master_link_status:up")
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

/// A plain blocking connection to a server.
pub struct Connection {
    socket: UnixStream,
    decoder: Decoder,
    /// What has come and is not decoded.
    inbox: Vec<u8>,
}

impl Connection {
    fn new(socket: &Path) -> std::io::Result<Self> {
        let socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(LONG))?;
        Ok(Self { socket, decoder: Decoder::default(), inbox: Vec::new() })
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If the server has ended.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the server reads");
    }

    /// The next value that comes, asked or not.
    ///
    /// # Panics
    /// If none does.
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        loop {
            let (taken, value) = self.decoder.decode(&self.inbox).expect("it speaks RESP");
            self.inbox.drain(..taken);
            if let Some(value) = value {
                return value;
            }
            let mut bytes = vec![0; 1 << 16];
            let length = self.socket.read(&mut bytes).expect("the server answers");
            assert!(length > 0, "the server ends the connection");
            self.inbox.extend_from_slice(&bytes[..length]);
        }
    }

    /// Sends a command; gives what comes next.
    #[track_caller]
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        let mut bytes = Vec::new();
        write_command(&words, &mut bytes);
        self.send(&bytes);
        self.receive()
    }
}

/// On a loopback address of this process's own, so that hardly anybody takes a port of it while a
/// server is down.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let last = u8::try_from(count % 250 + 2).expect("it is below 252");
    let own = Ipv4Addr::new(127, high | 1, low, last);
    let listener = TcpListener::bind((own, 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("there is a free port");
    listener.local_addr().expect("it is bound")
}

/// A program that is installed with Redis.
///
/// # Panics
/// If it is not.
pub(crate) fn program(name: &str) -> Command {
    let own = std::env::var_os("PUSHSERVER_REDIS").filter(|_| name == "redis-server");
    let program = own.unwrap_or_else(|| name.into());
    let is_there = Command::new(&program).arg("--version").output().is_ok();
    assert!(is_there, "{program:?} is missing: run `apt-get install redis-server redis-sentinel`");
    Command::new(program)
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
    command.args(["--save", ""]);
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

fn log(directory: &Directory) -> String {
    fs::read_to_string(directory.file("log")).unwrap_or_default()
}
