//! Answers that come before the request is whole, and clients that wait with the body until they
//! are told to send it.

use std::thread;

use serde_json::json;

use crate::{before, get, ok, start};
use pushserver_testkit::{Client, Upstream};

/// Sends `body` a little at a time while `server` reads all of it; then both connections end.
#[track_caller]
fn all_of_it_passes(mut client: Client, mut server: Client, wire: &[u8], expected: &[u8]) {
    let length = expected.len();
    let reader = thread::spawn(move || (server.bytes(length), server.ends()));
    for piece in wire.chunks(50_000) {
        client.send(piece);
    }
    let (read, ended) = reader.join().unwrap();
    assert!(read == expected, "{} bytes", read.len());
    assert!(ended && client.ends());
}

#[test]
fn an_upload_goes_on_behind_its_answer_for_as_long_as_the_upstream_reads() {
    let body = vec![b'x'; 2_000_000];
    for (answer, status) in [
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", 302),
        ("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", 413),
        ("HTTP/1.0 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 401),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200),
    ] {
        let upstream = Upstream::start();
        let daemon = before(&upstream);
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nx");
        let mut client = daemon.ask(head);
        let mut server = upstream.accept();
        server.head();
        assert_eq!(server.bytes(1), b"x");
        server.send(answer);
        let got = client.answer();
        assert_eq!((got.status, got.closes()), (status, true), "{answer}");
        all_of_it_passes(client, server, &body[1..], &body[1..]);
    }
}

#[test]
fn chunks_go_on_behind_an_answer_too_and_to_http_1_0() {
    for request in ["PUT / HTTP/1.1\r\nHost: a\r\n", "HEAD / HTTP/1.1\r\nHost: a\r\n"] {
        let upstream = Upstream::start();
        let daemon = before(&upstream);
        let mut client = daemon.ask(format!("{request}Transfer-Encoding: chunked\r\n\r\n"));
        let mut server = upstream.accept();
        server.head();
        server.send("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
        assert!(client.head().contains("\r\nConnection: close\r\n"));
        let chunks = b"5\r\nhello\r\n0\r\n\r\n";
        all_of_it_passes(client, server, chunks, chunks);
    }
    // Whose end is told by the end of the connection, though the client may still be sending.
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhe");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(2), b"he");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n");
    client.head();
    assert_eq!(client.rest().unwrap(), b"no");
    client.send("llo");
    assert_eq!(server.bytes(3), b"llo");
}

#[test]
fn whoever_still_sends_is_not_reset_where_the_upstream_reads_no_more() {
    for ends in ["closed", "half closed"] {
        let upstream = Upstream::start();
        let daemon = before(&upstream);
        let size = 2_000_000;
        let mut client =
            daemon.ask(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        let mut server = upstream.accept();
        server.head();
        server.send("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
        server.end_sending();
        let server = Some(server).filter(|_| ends == "half closed");
        // Reads its answer only when it has sent everything, as simple clients do.
        client.send(vec![b'x'; size]);
        assert_eq!(client.answer().status, 302, "{ends}");
        assert!(client.ends());
        drop(server);
    }
}

#[test]
fn the_upstream_says_whether_it_wants_a_body() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = daemon.ask(request);
    let mut server = upstream.accept();
    let head = server.head();
    assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
    server.send("HTTP/1.1 100 Continue\r\nX: y\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(server.bytes(5), b"hello");
    server.send(ok("thanks"));
    assert_eq!(client.answer().text(), "thanks");
    drop(server);
    // It does not: then none is waited for.
    client.send(request);
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text(), answer.closes()), (401, "no", true));
    // Whatever it sends all the same, the upstream might take for a request.
    client.send(get("/smuggled"));
    assert!(client.end_sending().ends());
    assert!(server.ends());
    // The client has begun already, so there is nothing to ask.
    let mut client = daemon.ask([request, "he"].concat());
    let mut server = upstream.accept();
    let head = server.head();
    assert!(!head.contains("Expect"), "{head}");
    client.send("llo");
    assert_eq!(server.bytes(5), b"hello");
}

#[test]
fn an_upstream_that_knows_no_100_continue_is_not_asked_for_it() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut server = upstream.accept();
    let head = server.head();
    assert!(!head.contains("Expect"), "{head}");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(server.bytes(5), b"hello");
    server.send(ok("thanks"));
    assert_eq!(client.answer().text(), "thanks");
}

#[test]
fn it_is_the_upstream_that_is_waited_for_before_it_says_100_continue() {
    let upstream = Upstream::start();
    let daemon =
        start(&upstream.url(), json!({"limits": {"upstream_timeout": 1, "body_timeout": 0.2}}));
    let mut client = daemon
        .ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(client.answer().status, 504);
}
