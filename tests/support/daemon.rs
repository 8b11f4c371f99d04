//! The daemon as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::directory::Directory;
use super::{Client, LONG, until};

/// How it is to be started.
pub(crate) struct Start {
    command: Command,
    directory: Directory,
    listeners: usize,
}

impl Start {
    /// With these settings in a file, on a port that is free.
    pub(crate) fn with(settings: Value) -> Self {
        Self::within(settings, "")
    }

    /// Within a shell that has done `first`.
    pub(crate) fn within(settings: Value, first: &str) -> Self {
        let start = Self::bare(first);
        let file = start.directory.file("settings.json");
        write_settings(&file, settings);
        start.args(["--config", file.to_str().expect("the path is UTF-8")])
    }

    /// Without any argument.
    pub(crate) fn bare(first: &str) -> Self {
        let mut command = Command::new("sh");
        let binary = env!("CARGO_BIN_EXE_pushserver");
        command.args(["-c", &format!("{first}\nexec \"$0\" \"$@\""), binary]);
        for variable in ["RUST_LOG", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, directory: Directory::new(), listeners: 1 }
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// How many addresses it is to tell of.
    pub(crate) fn listeners(mut self, count: usize) -> Self {
        self.listeners = count;
        self
    }

    /// A path that is this test's alone.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// Starts what is expected to fail at once.
    pub(crate) fn output(mut self) -> Output {
        self.command.output().expect("sh is there")
    }

    /// Starts it and waits until it accepts connections.
    #[track_caller]
    pub(crate) fn start(mut self) -> Daemon {
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
pub(crate) struct Daemon {
    child: Child,
    /// As its readiness lines told them.
    pub(crate) addresses: Vec<String>,
    log: Arc<Mutex<Vec<String>>>,
    _stdout: BufReader<ChildStdout>,
    directory: Directory,
}

impl Daemon {
    #[track_caller]
    pub(crate) fn start(settings: Value) -> Self {
        Start::with(settings).start()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the first listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.addresses[0].strip_prefix("http://").expect("it listens on TCP");
        address.parse().expect("an address")
    }

    pub(crate) fn connect(&self) -> Client {
        Client::tcp(self.address())
    }

    /// Sends a request, or whatever it is, on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect();
        client.send(request);
        client
    }

    /// A path that is this test's alone.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    pub(crate) fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.id().to_string()];
        let status = Command::new("kill").args(arguments).status().expect("kill is there");
        assert!(status.success(), "{:?}", self.log());
    }

    /// Gives it other settings and tells it to read them; waits until it has.
    #[track_caller]
    pub(crate) fn reload(&self, settings: Value) {
        write_settings(&self.file("settings.json"), settings);
        let count =
            |log: &[String]| log.iter().filter(|line| line.contains("event=reload")).count();
        let before = count(&self.log());
        self.signal("HUP");
        until("the reload is logged", || count(&self.log()) > before);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the daemon ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// The lines on standard error so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line with `text` on standard error.
    #[track_caller]
    pub(crate) fn until_logged(&self, text: &str) -> String {
        let mut found = None;
        until(&format!("{text:?} in the log"), || {
            found = self.log().into_iter().find(|line| line.contains(text));
            found.is_some()
        });
        found.expect("waited for")
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
