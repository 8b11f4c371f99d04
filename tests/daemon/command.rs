//! Arguments, addresses, files and variables that a launcher or systemd uses. What the settings
//! say, and what is wrong with them, belongs in `tests/config.rs`.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use pushserver_testkit::{Client, Daemon, LONG, Start, settings, uninterrupted};

use crate::BINARY;

/// Exit code 1, nothing on standard output, and one line with `words` on standard error.
#[track_caller]
fn assert_fails(output: &Output, words: &[&str]) {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert_eq!(output.stdout, b"");
    assert_eq!(line.lines().count(), 1, "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} in {line}");
    }
}

#[test]
fn port_0_is_a_free_one_and_the_line_on_stdout_tells_which() {
    let daemon = Start::bare(BINARY, "").args(["--port", "0"]).start();
    assert_eq!(daemon.address().ip().to_string(), "127.0.0.1");
    assert_ne!(daemon.address().port(), 0);
    assert_eq!(daemon.publish("a", "hello").status, 202);
    assert_eq!(daemon.poll("a").answer().body, b"hello");
}

#[test]
fn each_listen_address_has_its_line_and_serves() {
    let start = Start::bare(BINARY, "");
    let path = start.file("push.sock");
    let unix = format!("unix:{}", path.display());
    let listen = ["--listen", "127.0.0.1:0", "--listen", &unix, "--listen", "127.0.0.1:0"];
    let daemon = start.args(listen).listeners(3).start();
    assert_eq!(daemon.addresses[1], unix);
    assert_eq!(daemon.publish("a", "by TCP").status, 202);
    let second = daemon.addresses[2].strip_prefix("http://").unwrap().parse().unwrap();
    for mut client in [Client::unix(&path), Client::tcp(second)] {
        assert_eq!(client.get("/subscriber/a").answer().body, b"by TCP");
    }
}

#[test]
fn a_unix_socket_is_made_anew_over_a_stale_one_and_removed_at_the_end() {
    let start = Start::bare(BINARY, "");
    let path = start.file("push.sock");
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let file = start.file("unix.json");
    fs::write(&file, json!({"address": address}).to_string()).unwrap();
    let mut daemon = start.args(["--config", file.to_str().unwrap()]).start();
    assert_eq!(daemon.addresses, [address]);
    assert_eq!(Client::unix(&path).post("/publisher/a", b"m").answer().status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn settings_come_from_stdin_whose_end_means_nothing_more() {
    let (reader, writer) = pipe_with(&json!({"port": 0, "servername": "piped"}).to_string());
    drop(writer);
    let daemon = Start::bare(BINARY, "").args(["--config", "-"]).stdin(reader).start();
    let answer = daemon.publish("a", "m");
    assert_eq!(answer.header("Server"), Some("piped"));
}

#[test]
fn settings_come_from_a_stdin_that_stays_open_and_its_end_stops_the_daemon() {
    let (reader, writer) = pipe_with(&json!({"port": 0, "servername": "piped"}).to_string());
    let args = ["--config", "-", "--exit-on-stdin-eof"];
    let mut daemon = Start::bare(BINARY, "").args(args).stdin(reader).start();
    assert_eq!(daemon.publish("a", "m").header("Server"), Some("piped"));
    drop(writer);
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.until_logged("standard input ended");
}

#[test]
fn a_stdin_that_ends_before_the_daemon_serves_is_a_mistake_in_the_command() {
    let settings = json!({"port": 0}).to_string();
    let start = Start::bare(BINARY, "");
    let file = start.file("settings.json");
    fs::write(&file, &settings).unwrap();
    let file = fs::File::open(&file).unwrap();
    let args = ["--config", "-", "--exit-on-stdin-eof"];
    let (reader, writer) = pipe_with(&settings);
    drop(writer);
    let outputs = [
        start.args(args).stdin(reader).output(),
        Start::bare(BINARY, "").args(args).stdin(file).output(),
        Start::with(BINARY, json!({"port": 0})).args(["--exit-on-stdin-eof"]).output(),
    ];
    for output in outputs {
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains("--exit-on-stdin-eof: standard input has ended"), "{line}");
    }
}

#[test]
fn the_end_of_stdin_ends_held_requests_as_a_signal_does() {
    let (reader, writer) = std::io::pipe().unwrap();
    let start = Start::with(BINARY, settings()).args(["--exit-on-stdin-eof"]).stdin(reader);
    let mut daemon = start.start();
    let mut held = daemon.hold("a", 1).remove(0);
    drop(writer);
    let answer = held.answer();
    assert_eq!((answer.status, answer.closes()), (304, true));
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_pid_file_names_the_process_while_it_runs() {
    let start = Start::with(BINARY, settings());
    let path = start.file("pid");
    let mut daemon = start.args(["--pid-file", path.to_str().unwrap()]).start();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", daemon.id()));

    let second =
        Start::with(BINARY, settings()).args(["--pid-file", path.to_str().unwrap()]).output();
    assert_fails(&second, &[&format!("process {} is running", daemon.id())]);
    assert!(path.exists());

    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_pid_file_that_a_killed_daemon_left_is_replaced() {
    let start = Start::with(BINARY, settings());
    let path = start.file("pid");
    let keeper = start.args(["--pid-file", path.to_str().unwrap()]);
    let mut killed = keeper.start();
    killed.signal("KILL");
    killed.wait();
    assert!(path.exists());
    let next = Start::with(BINARY, settings()).args(["--pid-file", path.to_str().unwrap()]).start();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", next.id()));
}

#[test]
fn systemd_is_told_of_readiness_reload_and_stop() {
    let start = Start::with(BINARY, settings());
    let path = start.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let length = uninterrupted(|| socket.recv(&mut bytes)).expect("a notification");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut daemon = start.env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    assert_eq!(told().trim_end(), "READY=1");
    daemon.signal("HUP");
    let reloading = told();
    let mut lines = reloading.lines();
    assert_eq!(lines.next(), Some("RELOADING=1"));
    let time = lines.next().and_then(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(time.is_some_and(|time| time.parse::<u64>().is_ok()), "{reloading}");
    assert_eq!(told().trim_end(), "READY=1");
    daemon.signal("TERM");
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_socket_that_systemd_hands_over_is_used_in_place_of_the_settings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Connected before anybody accepts, as when a request starts the service.
    let mut early = Client::tcp(address);
    let hand_over = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";
    let daemon =
        Start::within(BINARY, settings(), hand_over).stdin(OwnedFd::from(listener)).start();
    assert_eq!(daemon.address(), address);
    assert_eq!(early.post("/publisher/a", b"m").answer().status, 202);
}

#[test]
fn a_socket_of_systemds_that_does_not_listen_is_told() {
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let hand_over = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1";
    let output = Start::within(BINARY, settings(), hand_over).stdin(OwnedFd::from(one)).output();
    assert_fails(&output, &["cannot use the sockets of systemd", "does not listen"]);
}

#[test]
fn a_port_in_use_names_who_holds_it() {
    let holder = Daemon::start(BINARY, settings());
    let listen = holder.address().to_string();
    let output = Start::bare(BINARY, "").args(["--listen", &listen]).output();
    let names = format!("in use by pushserver (pid {}); stop it or choose", holder.id());
    assert_fails(&output, &[&listen, &names]);
}

#[test]
fn a_unix_socket_in_use_names_who_holds_it() {
    let start = Start::bare(BINARY, "");
    let listen = format!("unix:{}", start.file("push.sock").display());
    let holder = start.args(["--listen", &listen]).start();
    let output = Start::bare(BINARY, "").args(["--listen", &listen]).output();
    assert_fails(&output, &[&listen, &format!("in use by pushserver (pid {})", holder.id())]);
    assert!(holder.file("push.sock").exists());
}

#[test]
fn an_address_of_another_machine_is_told() {
    // Of a network that is for documentation only.
    let output = Start::bare(BINARY, "").args(["-q", "--listen", "192.0.2.1:0"]).output();
    assert_fails(&output, &["cannot listen on 192.0.2.1:0", "no such address"]);
}

#[test]
fn a_path_that_is_no_socket_is_left_alone() {
    let start = Start::bare(BINARY, "");
    let path = start.file("precious");
    fs::write(&path, "precious").unwrap();
    let output =
        Start::bare(BINARY, "").args(["--listen", &format!("unix:{}", path.display())]).output();
    assert_fails(&output, &["exists and is not a socket"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let start = Start::bare(BINARY, "");
    let listen = format!("unix:{}", start.file("missing/push.sock").display());
    let output = Start::bare(BINARY, "").args(["--listen", &listen]).output();
    assert_fails(&output, &["there is no such directory"]);
}

#[test]
fn what_this_user_may_not_do_is_told() {
    let start = Start::bare(BINARY, "");
    let directory = start.file("locked");
    fs::create_dir(&directory).unwrap();
    let mode = |mode: &str| {
        let chmod = Command::new("chmod").arg(mode).arg(&directory).status();
        assert!(chmod.unwrap().success());
    };
    mode("500");
    let listen = format!("unix:{}", directory.join("push.sock").display());
    for (listen, words) in [
        (listen.as_str(), "this user may not create files in that directory"),
        ("127.0.0.1:1", "ports below 1024 are for root or CAP_NET_BIND_SERVICE"),
    ] {
        let output = powerless(&["--listen", listen]);
        assert_fails(&output, &["cannot listen on", listen, words]);
    }
    let pid_file = directory.join("pid");
    let output = powerless(&["--port", "0", "--pid-file", pid_file.to_str().unwrap()]);
    assert_fails(&output, &["pid file", "cannot write it"]);
    mode("700");
}

/// A pipe with `text` in it: the end to read, and the end to write, which still has to be dropped.
fn pipe_with(text: &str) -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    (reader, writer)
}

/// Runs the command as a user without privileges, which root is not.
fn powerless(args: &[&str]) -> Output {
    let binary = BINARY;
    let id = Command::new("id").arg("-u").output().expect("id is there");
    let mut command = if id.stdout == b"0\n" {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-all", "--inh-caps=-all", binary]);
        command
    } else {
        Command::new(binary)
    };
    command.args(args).stdin(Stdio::null()).env_remove("NOTIFY_SOCKET");
    command.output().expect("setpriv (util-linux) is there")
}
