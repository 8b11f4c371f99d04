//! Standard streams that are closed, full, slow or without a reader: the daemon serves on, and
//! leaves when it is told to.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use pushserver_testkit::{Client, Daemon, Start, settings, until};

use crate::BINARY;

#[test]
fn a_daemon_without_standard_streams_serves() {
    let start = Start::within(BINARY, settings(), "exec 0<&- 1>&- 2>&-").listeners(0);
    let pid_file = start.file("pid");
    let listen = format!("unix:{}", start.file("push.sock").display());
    let args = ["--listen", &listen, "--access-log", "--pid-file", pid_file.to_str().unwrap()];
    let mut daemon = start.args(args).start();
    let path = daemon.file("push.sock");
    until("it listens", || UnixStream::connect(&path).is_ok());
    // Nobody else may have their numbers: log lines would go to a client.
    for number in 0..3 {
        let file = std::fs::read_link(format!("/proc/{}/fd/{number}", daemon.id())).unwrap();
        assert_eq!(file, Path::new("/dev/null"), "{number}");
    }
    let mut client = Client::unix(&path);
    assert_eq!(client.post("/publisher/a", b"m").answer().status, 202);
    assert_eq!(client.get("/subscriber/a").answer().body, b"m");
    assert!(client.end_sending().ends());
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_full_disk_behind_the_log_or_the_readiness_line_stops_nothing() {
    for streams in ["exec 2>/dev/full", "exec 1>/dev/full"] {
        let start = Start::within(BINARY, settings(), streams).listeners(0);
        let listen = format!("unix:{}", start.file("push.sock").display());
        let mut daemon = start.args(["--listen", &listen, "--access-log", "-v"]).start();
        let path = daemon.file("push.sock");
        until("it listens", || UnixStream::connect(&path).is_ok());
        for _ in 0..10 {
            assert_eq!(Client::unix(&path).post("/publisher/a", b"m").answer().status, 202);
        }
        daemon.signal("TERM");
        assert_eq!(daemon.wait().code(), Some(0), "{streams}");
    }
}

#[test]
fn a_log_whose_reader_is_gone_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    // Standard error is a pipe that breaks; sh puts it there from where stdin was given.
    let start = Start::within(BINARY, settings(), "exec 2>&0 0</dev/null").stdin(writer);
    let mut daemon = start.args(["--access-log"]).start();
    drop(reader);
    for _ in 0..3 {
        assert_eq!(daemon.publish("a", "m").status, 202);
    }
    assert_rests(&daemon);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_readiness_line_whose_reader_is_gone_stops_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let start =
        Start::within(BINARY, settings(), "exec 1>&0 0</dev/null").stdin(writer).listeners(0);
    let listen = format!("unix:{}", start.file("push.sock").display());
    let mut daemon = start.args(["--listen", &listen]).start();
    let path = daemon.file("push.sock");
    until("it listens", || UnixStream::connect(&path).is_ok());
    assert_eq!(Client::unix(&path).post("/publisher/a", b"m").answer().status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_delays_nobody_and_what_was_dropped_is_told_later() {
    const REQUESTS: usize = 8000;
    let (reader, writer) = std::io::pipe().unwrap();
    let start = Start::within(BINARY, settings(), "exec 2>&0 0</dev/null").stdin(writer);
    // Only lines of requests: each line that is dropped counts, that of a slow turn too.
    let start = start.env("RUST_LOG", "pushserver::logging=warn");
    let mut daemon = start.args(["--access-log"]).start();
    let mut client = daemon.connect();
    let ask = "GET /publisher/a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    // Lines of twice what the pipe and the daemon keep.
    for _ in 0..REQUESTS / 100 {
        client.send(&ask);
        for _ in 0..100 {
            assert_eq!(client.answer().status, 404);
        }
    }
    assert_rests(&daemon);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let mut kept = 0;
    let dropped = loop {
        let line = lines.next().unwrap();
        if let Some((_, told)) = line.split_once("event=log_dropped lines=") {
            break told.split(' ').next().unwrap().parse::<usize>().unwrap();
        }
        kept += usize::from(line.contains("request=\"GET /publisher/a\" status=404"));
    };
    assert_eq!(kept + dropped, REQUESTS);
    // Again, to the end: it does not wait for its last words either.
    for _ in 0..REQUESTS / 100 {
        client.send(&ask);
        for _ in 0..100 {
            assert_eq!(client.answer().status, 404);
        }
    }
    let begin = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

/// Nothing spins.
#[track_caller]
fn assert_rests(daemon: &Daemon) {
    let before = daemon.vitals().cpu();
    assert!(daemon.connect().is_silent(Duration::from_millis(500)));
    let spent = daemon.vitals().cpu() - before;
    assert!(spent < Duration::from_millis(50), "{spent:?} in half a second");
}
