//! Daemon: the real program as a process, from its start to its end. It never looks inside; what it
//! takes of the machine is in `vitals`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::answer::Answer;
use crate::client::{Client, request};
use crate::directory::Directory;
use crate::vitals::Vitals;
use crate::wait::{LONG, until};

/// A start of the daemon that is being prepared.
pub struct Start {
    command: Command,
    directory: Directory,
    listeners: usize,
}

impl Start {
    /// With these settings in a file, on a port that is free.
    pub fn with(binary: &str, settings: Value) -> Self {
        Self::within(binary, settings, "")
    }

    /// Within a shell that has done `first`.
    pub fn within(binary: &str, settings: Value, first: &str) -> Self {
        let start = Self::bare(binary, first);
        let file = start.directory.file("settings.json");
        write_settings(&file, settings);
        start.args(["--config", file.to_str().expect("the path is UTF-8")])
    }

    /// Without any argument.
    pub fn bare(binary: &str, first: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{first}\nexec \"$0\" \"$@\""), binary]);
        for variable in ["RUST_LOG", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, directory: Directory::create(), listeners: 1 }
    }

    /// With these arguments behind the others.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    /// With this variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this standard input; else it has none.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// How many addresses it will print.
    pub fn listeners(mut self, count: usize) -> Self {
        self.listeners = count;
        self
    }

    /// A path that is this test's alone.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// Starts what is expected to fail at once.
    pub fn output(mut self) -> Output {
        self.command.output().expect("sh is there")
    }

    /// Starts it and waits until it accepts connections.
    #[track_caller]
    pub fn start(mut self) -> Daemon {
        let mut child = self.command.spawn().expect("sh is there");
        let stderr = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let log = Arc::<Mutex<Vec<String>>>::default();
        let logged = Arc::clone(&log);
        // All the time, so that the pipe is never full.
        let logger = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                logged.lock().unwrap().push(line);
            }
        });
        let mut addresses = Vec::new();
        for _ in 0..self.listeners {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("it prints UTF-8");
            let Some(address) = line.strip_prefix("listening on ") else {
                child.wait().expect("it is our child");
                logger.join().expect("nobody panics with the log");
                panic!("it does not start: {line:?} {:?}", log.lock().unwrap());
            };
            addresses.push(address.trim_end().to_owned());
        }
        Daemon { child, addresses, log, _stdout: stdout, directory: self.directory }
    }
}

/// A running daemon; killed when dropped. What it said is shown with the test that fails.
pub struct Daemon {
    child: Child,
    /// As its readiness lines told them.
    pub addresses: Vec<String>,
    log: Arc<Mutex<Vec<String>>>,
    _stdout: BufReader<ChildStdout>,
    directory: Directory,
}

impl Daemon {
    /// With these settings, on a port that is free; waits until it accepts connections.
    #[track_caller]
    pub fn start(binary: &str, settings: Value) -> Self {
        Start::with(binary, settings).start()
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it takes of the machine.
    pub fn vitals(&self) -> Vitals {
        Vitals::of(self.id())
    }

    /// Where the first listener is.
    pub fn address(&self) -> SocketAddr {
        let address = self.addresses[0].strip_prefix("http://").expect("it listens on TCP");
        address.parse().expect("an address")
    }

    /// A connection to the first listener.
    pub fn connect(&self) -> Client {
        Client::tcp(self.address())
    }

    /// Sends a request, or whatever it is, on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect();
        client.send(request);
        client
    }

    /// A path that is this test's alone.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// Sends a signal: `HUP`, `TERM` and so on.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.id().to_string()];
        let status = Command::new("kill").args(arguments).status().expect("kill is there");
        assert!(status.success(), "{:?}", self.log());
    }

    /// Gives it other settings and tells it to read them; waits until it has.
    #[track_caller]
    pub fn reload(&self, settings: Value) {
        write_settings(&self.file("settings.json"), settings);
        let count =
            |log: &[String]| log.iter().filter(|line| line.contains("event=reload")).count();
        let before = count(&self.log());
        self.signal("HUP");
        until("the reload is logged", || count(&self.log()) > before);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the daemon ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// The lines on standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line with `text` on standard error.
    #[track_caller]
    pub fn until_logged(&self, text: &str) -> String {
        let mut found = None;
        until(&format!("{text:?} in the log"), || {
            found = self.log().into_iter().find(|line| line.contains(text));
            found.is_some()
        });
        found.expect("waited for")
    }

    // Channels, at the locations of `settings()`.

    /// Sends a GET to a channel's subscriber location.
    pub fn poll(&self, channel: &str) -> Client {
        let mut client = self.connect();
        client.get(&format!("/subscriber/{channel}"));
        client
    }

    /// Publishes, on a connection of its own.
    #[track_caller]
    pub fn publish(&self, channel: &str, body: impl AsRef<[u8]>) -> Answer {
        self.connect().post(&format!("/publisher/{channel}"), body.as_ref()).answer()
    }

    /// A publisher whose request is accepted, and whose message of `length` bytes is still to come.
    pub fn begin_publishing(&self, channel: &str, length: usize) -> Client {
        let mut publisher = self.connect();
        let line = format!("POST /publisher/{channel}");
        publisher.send(request(&line, &format!("Content-Length: {length}\r\n")));
        publisher
    }

    /// How many requests are held on a channel.
    pub fn held(&self, channel: &str) -> usize {
        let answer = self.connect().get(&format!("/publisher/{channel}")).answer();
        if answer.status == 404 {
            return 0;
        }
        let line = answer.text().lines().find_map(|line| line.strip_prefix("active subscribers: "));
        line.expect("channel information").parse().expect("a number")
    }

    /// Waits until so many requests are held on a channel.
    #[track_caller]
    pub fn until_held(&self, channel: &str, count: usize) {
        until(&format!("{count} held on {channel}"), || self.held(channel) == count);
    }

    /// Sends requests to a channel that are held.
    #[track_caller]
    pub fn hold(&self, channel: &str, count: usize) -> Vec<Client> {
        let clients = (0..count).map(|_| self.poll(channel)).collect();
        self.until_held(channel, count);
        clients
    }

    /// Follows a channel by its cursor; gives the numbers that came.
    #[track_caller]
    pub fn follow(&self, channel: &str, count: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut cursor = String::new();
        let mut client = self.connect();
        while numbers.len() < count {
            let answer =
                client.send(request(&format!("GET /subscriber/{channel}"), &cursor)).answer();
            assert_eq!(answer.status, 200, "{}", answer.head);
            numbers.push(answer.text().parse().expect("a number"));
            cursor = answer.cursor();
        }
        numbers
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon said {:#?}", self.log());
        }
    }
}

/// In one step, so that nobody reads half a file.
fn write_settings(file: &Path, mut settings: Value) {
    if settings.get("port").is_none() {
        settings["port"] = 0.into();
    }
    let new = file.with_extension("new");
    fs::write(&new, settings.to_string()).expect("the directory is writable");
    fs::rename(&new, file).expect("the directory is writable");
}

const _: () = assert!(LONG.as_secs() > 5, "the daemon may take 5 seconds to stop");
