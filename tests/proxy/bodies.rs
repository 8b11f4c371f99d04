//! Framing both ways, streams, back-pressure.

use std::time::Duration;

use crate::{before, get, ok};
use pushserver_testkit::Upstream;

/// Longer than buffers that have room need to take more.
const A_WHILE: Duration = Duration::from_millis(500);

#[test]
fn a_body_of_known_length_passes_and_may_come_in_pieces() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello");
    let mut server = upstream.accept();
    assert!(server.head().contains("\r\nContent-Length: 11\r\n"));
    assert_eq!(server.bytes(5), b"hello");
    client.send(" world");
    assert_eq!(server.bytes(6), b" world");
    server.send(ok("thanks"));
    assert_eq!(client.answer().text(), "thanks");
    // The next request is not part of the body, though it came with it.
    let next = get("/next");
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc{next}"));
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(3), b"abc");
    server.send(ok("1"));
    assert_eq!(client.answer().text(), "1");
    assert!(server.head().starts_with("GET /next"));
    server.send(ok("2"));
    assert_eq!(client.answer().text(), "2");
}

#[test]
fn chunks_pass_framed_anew_and_end_the_upstreams_connection() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
         00005;x=y\r\nhello\r\n",
    );
    let mut server = upstream.accept();
    let head = server.head();
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"), "{head}");
    assert_eq!(server.bytes(10), b"5\r\nhello\r\n");
    client.send("6\r\n world\r\n0\r\nTrailer: x\r\n\r\n");
    assert_eq!(server.chunks(), b" world");
    server.send(ok("thanks"));
    assert_eq!(client.answer().text(), "thanks");
    assert!(server.ends());
    // The client's own goes on.
    client.send(get("/next"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("2"));
    assert_eq!(client.answer().text(), "2");
}

#[test]
fn a_stream_of_events_comes_event_by_event() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/events"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    assert!(client.head().contains("Transfer-Encoding: chunked\r\n"));
    for event in ["data: 1\n\n", "data: two\n\n"] {
        server.send(event);
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(client.bytes(chunk.len()), chunk.as_bytes());
    }
    drop(server);
    assert_eq!(client.chunks(), b"");
    // It ended as it should: the connection goes on.
    client.send(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
}

#[test]
fn chunks_of_an_answer_pass_framed_anew() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n\
        3;x\r\nabc\r\n0000A\r\n0123456789\r\n0\r\nT: x\r\n\r\n";
    // Wherever it is split.
    for byte in answer.as_bytes() {
        server.send([*byte]);
    }
    let answer = client.answer();
    assert_eq!(answer.text(), "abc0123456789");
    assert_eq!(answer.header("Trailer"), None);
    client.send(get("/"));
    server.head();
    server.send(ok("same connection"));
    assert_eq!(client.answer().text(), "same connection");
    upstream.nobody();
}

#[test]
fn an_upstream_is_not_read_while_its_client_takes_nothing_and_others_are_served() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/large"));
    let mut server = upstream.accept();
    server.head();
    let size: usize = 64 << 20;
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
    let body = vec![b'x'; size];
    // Until nothing more is taken: then all buffers between here and the client are full.
    let sent = server.send_as_far_as_taken(&body, A_WHILE);
    assert!(sent < size / 2, "{sent} bytes went into buffers");
    let mut other = daemon.ask(get("/other"));
    let mut second = upstream.accept();
    second.head();
    second.send(ok("served"));
    assert_eq!(other.answer().text(), "served");
    // It goes on when the client does.
    let writer = std::thread::spawn(move || {
        server.send(&body[sent..]);
        server
    });
    client.head();
    let mut left = size;
    while left > 0 {
        let bytes = client.bytes(left.min(1 << 20));
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        left -= bytes.len();
    }
    writer.join().unwrap();
}

#[test]
fn a_client_is_not_read_while_its_upstream_takes_nothing() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let size: usize = 64 << 20;
    let mut client =
        daemon.ask(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    let mut server = upstream.accept();
    server.head();
    let body = vec![b'x'; size];
    let sent = client.send_as_far_as_taken(&body, A_WHILE);
    assert!(sent < size / 2, "{sent} bytes went into buffers");
    let reader = std::thread::spawn(move || {
        let mut left = size;
        while left > 0 {
            left -= server.bytes(left.min(1 << 20)).len();
        }
        server.send(ok("all of it"));
        server
    });
    client.send(&body[sent..]);
    assert_eq!(client.answer().text(), "all of it");
    reader.join().unwrap();
}

#[test]
fn a_paused_upstream_that_has_ended_loses_nothing() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/large"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\n\r\n");
    // Until all buffers are full; its end comes behind bytes that the daemon does not read yet.
    let body = vec![b'x'; 64 << 20];
    let sent = server.send_as_far_as_taken(&body, A_WHILE);
    assert!(sent < body.len(), "{sent} bytes went into buffers");
    drop(server);
    client.head();
    assert_eq!(client.chunks().len(), sent);
}
