//! `--access-log`: one line for each request, whatever the request holds.

use pushserver_testkit::{Daemon, Start, limits, settings, until};

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
