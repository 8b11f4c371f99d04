//! `--access-log`: one line for each request, whatever the request holds.

use std::time::Instant;

use pushserver_testkit::{Daemon, Start, Stream, limits, request, settings, subscriber, until};

use crate::BINARY;
use serde_json::json;

fn lines(daemon: &Daemon) -> Vec<String> {
    daemon.log().into_iter().filter(|line| line.contains("request=")).collect()
}

#[test]
fn requests_are_logged_with_who_asked_what_and_the_answer() {
    let daemon = Start::with(BINARY, settings()).args(["--access-log"]).start();
    daemon.publish("a", "m");
    let line = daemon.until_logged("request=");
    assert!(line.ends_with("peer=127.0.0.1 request=\"POST /publisher/a\" status=202"), "{line}");
    let mut held = daemon.hold("b", 1).remove(0);
    daemon.publish("b", "m");
    assert_eq!(held.answer().status, 200);
    daemon.until_logged("request=\"GET /subscriber/b\" status=200");
}

/// Whether the line is the one of a stream that has ended: with so many messages, and with seconds
/// of which there were no more since `began`.
#[track_caller]
fn assert_stream(line: &str, until_seconds: &str, messages: u64, began: Instant) {
    let (before, rest) = line.split_once(" seconds=").expect("seconds");
    let (seconds, told) = rest.split_once(" messages=").expect("messages");
    assert!(before.ends_with(until_seconds), "{line}");
    assert_eq!(told, messages.to_string(), "{line}");
    assert!(seconds.parse::<u64>().unwrap() <= began.elapsed().as_secs(), "{line}");
}

#[test]
fn a_stream_is_logged_when_it_ends_with_its_seconds_and_messages() {
    let began = Instant::now();
    let settings = subscriber(json!({"max_subscribers": 2}));
    let daemon = Start::with(BINARY, settings).args(["--access-log"]).start();
    let mut events = Stream::events(daemon.connect(), "/subscriber/a");
    let mut socket = Stream::socket_with_ids(daemon.connect(), "/subscriber/a?token=hush");
    for body in ["one", "two"] {
        assert_eq!(daemon.publish("a", body).status, 201);
        assert_eq!(events.message().body, body.as_bytes());
        assert_eq!(socket.message().body, body.as_bytes());
    }
    // One that is refused is a request as others.
    daemon.connect().send(request("GET /subscriber/a", "Accept: text/event-stream\r\n")).answer();
    let line = daemon.until_logged("status=403");
    assert!(line.ends_with("request=\"GET /subscriber/a\" status=403"), "{line}");
    assert!(!daemon.log().iter().any(|line| line.contains("messages=")), "{:?}", daemon.log());
    // By its client, and by the daemon.
    drop(events);
    let line = daemon.until_logged("status=200 seconds=");
    assert_stream(&line, "request=\"GET /subscriber/a\" status=200", 2, began);
    daemon.publish("a", "three");
    assert_eq!(socket.message().body, b"three");
    daemon.connect().send(request("DELETE /publisher/a", "")).answer();
    assert_eq!(socket.frame().payload[..2], 4410_u16.to_be_bytes());
    let line = daemon.until_logged("status=101 ");
    assert_stream(&line, "request=\"GET /subscriber/a\" status=101", 3, began);
    // A client that comes behind stored messages is sent them, too.
    for body in ["four", "five"] {
        daemon.publish("b", body);
    }
    let mut late = Stream::events(daemon.connect(), "/subscriber/b");
    assert_eq!((late.message().body, late.message().body), (b"four".into(), b"five".into()));
    drop(late);
    let line = daemon.until_logged("/subscriber/b\" ");
    assert_stream(&line, "request=\"GET /subscriber/b\" status=200", 2, began);
}

#[test]
fn nothing_is_logged_of_requests_unless_asked_for() {
    let mut daemon = Start::with(BINARY, settings()).args(["-v"]).start();
    daemon.publish("a", "m");
    daemon.signal("TERM");
    daemon.wait();
    daemon.until_logged("event=stop");
    assert_eq!(lines(&daemon), [""; 0]);
}

#[test]
fn no_path_makes_a_second_line_or_ends_its_quotes() {
    let daemon = Start::with(BINARY, settings()).args(["--access-log"]).start();
    let mut client = daemon.connect();
    for (path, logged) in [
        ("/publisher/a%0d%0ainfo%20forged", "/publisher/a%0d%0ainfo%20forged"),
        ("/publisher/a\"status=200", "/publisher/a\\\"status=200"),
        ("/publisher/a\\", "/publisher/a\\\\"),
        ("/publisher/%1b%5b31m%7f%00", "/publisher/%1b%5b31m%7f%00"),
        ("/publisher/\u{e4}\u{9b}", r"/publisher/\xc3\xa4\xc2\x9b"),
    ] {
        client.get(path);
        client.answer();
        daemon.until_logged(&format!("request=\"GET {logged}\" status="));
    }
    // Nor does what is no request at all, of which only a method and a path are told.
    let long = [b"GET /", &[b'x'; 9000][..], b" HTTP/1.1\r\n"].concat();
    let cut = format!("request=\"GET /{}\" status=414", "x".repeat(199));
    for (bytes, logged) in [
        (
            &b"GET /publisher/a\x1b[31m HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            r#"request="GET /publisher/a\x1b[31m" status=400"#,
        ),
        (b"PUT /\xff\xfe\"\n\nforged", r#"request="PUT /\xff\xfe\"" status=400"#),
        (b"POST /unread?token=hush HTTP/2.0\r\n\r\n", "request=\"POST /unread\" status=505"),
        (b"Authorization: Bearer hush\r\n\r\n", "request=\"-\" status=400"),
        (b"GET http://me:hush@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "request=\"-\" status=400"),
        (b"hush hush HTTP/1.1\r\n\r\n", "request=\"-\" status=400"),
        (b"\x16\x03\x01\x02\0\x01\r\n\r\n", "request=\"-\" status=400"),
        (&long, &cut),
    ] {
        let told = |log: Vec<String>| log.iter().filter(|line| line.ends_with(logged)).count();
        let before = told(daemon.log());
        let mut client = daemon.connect();
        assert!(client.send(bytes).answer().status >= 400);
        until(logged, || told(daemon.log()) > before);
    }
    daemon.publish("last", "m");
    daemon.until_logged("/publisher/last");
    for line in daemon.log() {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert!(!line.contains("forged") || line.contains("%0a"), "{line:?}");
        assert!(!line.contains("hush"), "{line:?}");
    }
}

#[test]
fn neither_query_nor_headers_nor_bodies_are_logged() {
    let daemon = Start::with(BINARY, settings()).args(["--access-log", "-v"]).start();
    let mut client = daemon.connect();
    client.send(
        "POST /publisher/a?token=hush1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hush2\r\n\
         Cookie: hush3\r\nContent-Length: 5\r\n\r\nhush4",
    );
    assert_eq!(client.answer().status, 202);
    daemon.until_logged("request=");
    assert!(daemon.log().iter().all(|line| !line.contains("hush")), "{:?}", daemon.log());
}

#[test]
fn a_request_refused_before_its_body_is_logged_too() {
    let start = Start::with(BINARY, limits(json!({"body_bytes": 20000}))).args(["--access-log"]);
    let daemon = start.start();
    for (line, status) in [("POST /publisher/a", 413), ("POST /subscriber/a", 405)] {
        let mut client = daemon.connect();
        let length = if status == 413 { 20_001 } else { 20_000 };
        client.send(format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        assert_eq!(client.answer().status, status);
        daemon.until_logged(&format!("request=\"{line}\" status={status}"));
    }
}

#[test]
fn a_head_that_never_comes_whole_is_logged_too() {
    let settings = limits(json!({"header_timeout": 0.05}));
    let daemon = Start::with(BINARY, settings).args(["--access-log"]).start();
    let mut client = daemon.connect();
    assert_eq!(client.send("GET /slow?token=hush HTTP/1.1\r\nHo").answer().status, 408);
    let line = daemon.until_logged("request=");
    assert!(line.ends_with("peer=127.0.0.1 request=\"GET /slow\" status=408"), "{line}");
}
