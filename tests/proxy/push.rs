//! The proxy beside the push locations.

use std::io::Write;
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::{get, ok, start};
use pushserver_testkit::{Absent, Client, Daemon, Upstream, merge, post, until};

pub(super) fn locations() -> Value {
    json!({"locations": [
        {"type": "subscriber", "prefix": "/updates/", "create_on_get": true,
         "passthrough": "http://127.0.0.1:1/hidden/passthrough/"},
        {"type": "publisher", "prefix": "/send/"},
    ]})
}

fn publish(daemon: &Daemon, channel: &str, message: &str) -> u16 {
    daemon.ask(post(&format!("/send/{channel}"), message.as_bytes())).answer().status
}

/// Waits until a request is held there.
pub(super) fn held(daemon: &Daemon, channel: &str, count: usize) {
    until("the request is held", || {
        let mut asked = daemon.ask(get(&format!("/send/{channel}")));
        asked.answer().text().contains(&format!("active subscribers: {count}\r\n"))
    });
}

#[test]
fn an_answer_hands_its_request_over_to_a_push_location() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut client = daemon.ask(get("/chat/poll"));
    let mut server = upstream.accept();
    assert!(server.head().starts_with("GET /chat/poll "));
    server.send(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /updates/room%201\r\nX-Secret: 1\r\n\
         Content-Length: 0\r\n\r\n",
    );
    held(&daemon, "room%201", 1);
    assert_eq!(publish(&daemon, "room%201", "hello"), 201);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert!(answer.header("Etag").is_some() && answer.header("X-Secret").is_none());
    // The client's own validators count, and both connections go on.
    let modified = answer.header("Last-Modified").unwrap();
    let tag = answer.header("Etag").unwrap();
    client.send(format!(
        "GET /chat/poll HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: {modified}\r\n\
         If-None-Match: {tag}\r\n\r\n"
    ));
    server.head();
    server.send(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /updates/room%201\r\nContent-Length: 2\r\n\r\nxx",
    );
    held(&daemon, "room%201", 1);
    assert_eq!(publish(&daemon, "room%201", "again"), 201);
    assert_eq!(client.answer().text(), "again");
}

#[test]
fn what_is_handed_over_to_a_subscriber_location_is_a_get() {
    for (head, body) in [
        ("POST /join HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("POST /join HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", "hi"),
        (
            "PUT /join HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "2\r\nhi\r\n0\r\n\r\n",
        ),
    ] {
        let upstream = Upstream::start();
        let daemon = start(&upstream.url(), locations());
        let mut client = daemon.ask([head, body].concat());
        let mut server = upstream.accept();
        server.head();
        assert_eq!(server.bytes(body.len()), body.as_bytes());
        server.send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /updates/1\r\nContent-Length: 0\r\n\r\n");
        held(&daemon, "1", 1);
        assert_eq!(publish(&daemon, "1", "hello"), 201);
        assert_eq!(client.answer().text(), "hello");
        // The body was the upstream's: the next request begins behind it.
        client.send("GET /updates/x?last_event_id=x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 400);
    }
}

#[test]
fn what_is_handed_over_may_be_a_stream() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    for (lines, first, message) in [
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n",
            &b"\x81\x05hello"[..],
        ),
        ("Accept: text/event-stream\r\n", "HTTP/1.1 200 OK\r\n", b"\ndata: hello\n\n"),
    ] {
        let mut client = daemon.ask(format!("GET /live HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let mut server = upstream.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /updates/1\r\nContent-Length: 0\r\n\r\n");
        assert!(client.head().starts_with(first));
        held(&daemon, "1", 1);
        assert_eq!(publish(&daemon, "1", "hello"), 201);
        let mut got = Vec::new();
        while !got.ends_with(message) {
            got.extend(client.bytes(1));
        }
        drop((client, server));
        held(&daemon, "1", 0);
        assert_eq!(daemon.ask("DELETE /send/1 HTTP/1.1\r\nHost: a\r\n\r\n").answer().status, 200);
    }
}

#[test]
fn what_cannot_be_handed_over_is_not() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    // Another server in front of this one may know what to do with it.
    let mut client = daemon.ask(get("/file"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /files/1\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().header("X-Accel-Redirect"), Some("/files/1"));
}

#[test]
fn a_client_cannot_hand_itself_over() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut client = daemon.ask("GET / HTTP/1.1\r\nHost: a\r\nX-Accel-Redirect: /send/1\r\n\r\n");
    let mut server = upstream.accept();
    server.head();
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
}

#[test]
fn a_rebound_name_is_the_upstreams_to_judge_except_at_push_locations() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let ask = |path: &str| {
        let port = daemon.address().port();
        daemon.ask(format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n"))
    };
    assert_eq!(ask("/send/a").answer().status, 421);
    let mut client = ask("/page");
    let mut server = upstream.accept();
    assert!(server.head().contains("\r\nHost: evil.example:"));
    server.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn the_path_of_the_passthrough_is_closed_to_outsiders() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    for path in [
        "/hidden/passthrough/",
        "/hidden/passthrough",
        "//hidden/passthrough/",
        "/hidden/%70assthrough/",
        "/x/../hidden/passthrough/",
        "/x/%2e%2e/hidden/./passthrough/?a=b",
        "/hidden/passthrough%0A",
        "http://a.example/hidden/passthrough/",
    ] {
        assert_eq!(daemon.ask(get(path)).answer().status, 403, "{path}");
    }
    let mut client = daemon.ask(get("/hidden/"));
    let mut server = upstream.accept();
    assert!(server.head().starts_with("GET /hidden/ "));
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
}

#[test]
fn held_polls_live_on_while_the_upstream_restarts() {
    let absent = Absent::bind();
    let mut settings = locations();
    merge(&mut settings, json!({"limits": {"upstream_wait": 1}}));
    let daemon = start(&absent.url(), settings);
    let mut polls: Vec<Client> = (0..20).map(|_| daemon.ask(get("/updates/1"))).collect();
    held(&daemon, "1", 20);
    assert_eq!(daemon.ask(get("/")).answer().status, 502);
    assert_eq!(publish(&daemon, "1", "still here"), 201);
    for poll in &mut polls {
        assert_eq!(poll.answer().text(), "still here");
    }
    let upstream = absent.start();
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("back"));
    assert_eq!(client.answer().text(), "back");
}

#[test]
fn a_fan_out_completes_while_the_proxy_is_saturated() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut polls: Vec<Client> = (0..5000).map(|_| daemon.ask(get("/updates/1"))).collect();
    held(&daemon, "1", 5000);
    let clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = daemon.ask(get("/endless"));
            let mut server = upstream.accept();
            server.head();
            server.send("HTTP/1.1 200 OK\r\n\r\n");
            client.head();
            std::thread::spawn(move || {
                let piece = vec![b'x'; 64 << 10];
                // Until the test is over.
                while server.socket().write_all(&piece).is_ok() {}
            });
            client
        })
        .collect();
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let stop = client.socket().try_clone().unwrap();
            (stop, std::thread::spawn(move || while client.bytes(64 << 10).len() > 1 {}))
        })
        .collect();
    assert_eq!(publish(&daemon, "1", "through"), 201);
    for poll in &mut polls {
        assert_eq!(poll.answer().text(), "through");
    }
    drop(daemon);
    for (stop, _) in readers {
        let _ = stop.shutdown(Shutdown::Both);
    }
}
