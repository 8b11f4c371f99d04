//! The daemon as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Client, Directory, LONG, request, until};

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
        let log = Log::default();
        log.keep(child.stderr.take().expect("it is a pipe"));
        let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut addresses = Vec::new();
        if self.listeners > 0 {
            for _ in 0..self.listeners {
                let mut line = String::new();
                stdout.read_line(&mut line).expect("it prints UTF-8");
                let address = line.strip_prefix("listening on ").unwrap_or_else(|| {
                    child.wait().expect("it is our child");
                    panic!("{line:?} {:?}", log.lines());
                });
                addresses.push(address.trim_end().to_owned());
            }
        }
        Daemon { child, addresses, log, _stdout: stdout, directory: self.directory }
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// As its readiness lines told them.
    pub(crate) addresses: Vec<String>,
    log: Log,
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

    /// A path that is this test's alone.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.file(name)
    }

    /// Sends a GET to a channel's subscriber location.
    pub(crate) fn poll(&self, channel: &str) -> Client {
        let mut client = self.connect();
        client.get(&format!("/subscriber/{channel}"));
        client
    }

    /// Publishes, on a connection of its own.
    #[track_caller]
    pub(crate) fn publish(&self, channel: &str, body: impl AsRef<[u8]>) -> Answer {
        self.connect().post(&format!("/publisher/{channel}"), body.as_ref()).answer()
    }

    /// A publisher that has its place, with a message of `length` bytes that is still to come.
    pub(crate) fn begin_publishing(&self, channel: &str, length: usize) -> Client {
        let mut publisher = self.connect();
        let line = format!("POST /publisher/{channel}");
        publisher.send(request(&line, &format!("Content-Length: {length}\r\n")));
        publisher
    }

    /// How many requests are held on a channel.
    pub(crate) fn held(&self, channel: &str) -> usize {
        let answer = self.connect().get(&format!("/publisher/{channel}")).answer();
        if answer.status == 404 {
            return 0;
        }
        let line = answer.text().lines().find_map(|line| line.strip_prefix("active subscribers: "));
        line.expect("channel information").parse().expect("a number")
    }

    /// Waits until so many requests are held on a channel.
    #[track_caller]
    pub(crate) fn until_held(&self, channel: &str, count: usize) {
        until(&format!("{count} held on {channel}"), || self.held(channel) == count);
    }

    /// Sends requests to a channel that are held.
    #[track_caller]
    pub(crate) fn hold(&self, channel: &str, count: usize) -> Vec<Client> {
        let clients = (0..count).map(|_| self.poll(channel)).collect();
        self.until_held(channel, count);
        clients
    }

    /// Follows a channel by its cursor; gives the numbers that came.
    #[track_caller]
    pub(crate) fn follow(&self, channel: &str, count: usize) -> Vec<usize> {
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
        self.log.lines()
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

    /// Resident memory, KiB.
    pub(crate) fn resident_kib(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far, KiB.
    pub(crate) fn peak_kib(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time used so far, hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<u64> = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        fields[0] + fields[1]
    }

    /// Processor time of all its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let spent = threads.filter_map(|thread| {
            let line = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(spent.sum())
    }

    /// Lets it open no descriptor with a number from `limit` on.
    pub(crate) fn limit_descriptors(&self, limit: usize) {
        let arguments = ["--pid", &self.id().to_string(), &format!("--nofile={limit}:")];
        let status = Command::new("prlimit").args(arguments).status();
        assert!(status.expect("prlimit (util-linux) is there").success());
    }

    /// The number that its next descriptor will have.
    pub(crate) fn next_descriptor(&self) -> usize {
        let is_open = |number: &usize| {
            fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.id())).is_ok()
        };
        (0..).find(|number| !is_open(number)).expect("not all numbers are taken")
    }

    /// Descriptors that are open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes on standard error; read all the time, so that the pipe is never full.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn keep(&self, stderr: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.0.lock().unwrap().push(line);
            }
        });
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// In one step, so that nobody reads half a file.
fn write_settings(file: &std::path::Path, mut settings: Value) {
    if settings.get("port").is_none() {
        settings["port"] = 0.into();
    }
    let new = file.with_extension("new");
    fs::write(&new, settings.to_string()).expect("the directory is writable");
    fs::rename(&new, file).expect("the directory is writable");
}

const _: () = assert!(LONG.as_secs() > 5, "the daemon may take 5 seconds to stop");
