//! The proxy beside the push locations.

use std::io::Write;
use std::net::{Shutdown, TcpListener};

use serde_json::{Value, json};

use crate::support::{Client, Daemon, Upstream, merge, post, until};
use crate::{get, ok, start};

fn locations() -> Value {
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
fn held(daemon: &Daemon, channel: &str, count: usize) {
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

/// An answer that hands its request over to this target.
fn over_to(target: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Accel-Redirect: {target}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_message_that_is_handed_over_reaches_those_who_wait() {
    for (lines, wire) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "2;x\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ] {
        // Before the upstream answers, while it does, and after.
        for split in [wire.len(), wire.len() - 1, 0] {
            let upstream = Upstream::start();
            let daemon = start(&upstream.url(), locations());
            let mut poll = daemon.ask(get("/updates/1"));
            held(&daemon, "1", 1);
            let mut client = daemon.ask(format!(
                "POST /say HTTP/1.1\r\nHost: a\r\nContent-Type: text/x\r\n{lines}\r\n{}",
                &wire[..split]
            ));
            let mut server = upstream.accept();
            assert!(server.head().starts_with("POST /say "));
            if split == wire.len() && lines.starts_with("Content") {
                assert_eq!(server.bytes(split), wire.as_bytes());
            }
            server.send(over_to("/send/1"));
            if split < wire.len() {
                // It gets no more of it.
                let _ = server.rest();
                client.send(&wire[split..]);
            }
            let answer = client.answer();
            assert_eq!(answer.status, 201, "{lines}{split}: {}", answer.text());
            let delivered = poll.answer();
            assert_eq!(
                (delivered.text(), delivered.header("Content-Type")),
                ("hello", Some("text/x"))
            );
            // The next request begins where it should.
            client.send(get("/send/1"));
            assert!(client.answer().text().starts_with("queued messages: 1\r\n"));
        }
    }
}

#[test]
fn channels_are_made_and_deleted_by_requests_that_are_handed_over() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut client = daemon.connect();
    let mut hand_over = |request: &str| {
        client.send(request);
        let mut server = upstream.accept();
        server.head();
        server.send(over_to("/send/1"));
        drop(server);
        client.answer().status
    };
    let length = "HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let none = "HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(hand_over(&format!("GET / {none}")), 404);
    assert_eq!(hand_over(&format!("PUT / {length}")), 200);
    assert_eq!(hand_over(&format!("GET / {none}")), 200);
    assert_eq!(hand_over(&format!("POST / {none}")), 202);
    assert_eq!(hand_over(&format!("PATCH / {none}")), 405);
    assert_eq!(hand_over(&format!("DELETE / {length}")), 200);
    assert_eq!(hand_over(&format!("GET / {none}")), 404);
    assert_eq!(hand_over("POST / HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n"), 403);
}

#[test]
fn a_message_that_was_not_kept_is_never_answered_as_if_it_had_been_published() {
    let upstream = Upstream::start();
    let mut settings = locations();
    merge(&mut settings, json!({"limits": {"body_bytes": 10}}));
    let daemon = start(&upstream.url(), settings);
    for (lines, wire) in [
        ("Content-Length: 11\r\n", "hello world"),
        ("Transfer-Encoding: chunked\r\n", "b\r\nhello world\r\n0\r\n\r\n"),
    ] {
        // Whole, and not yet.
        for sent in [wire.len(), wire.len() - 1] {
            let mut client =
                daemon.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{}", &wire[..sent]));
            let mut server = upstream.accept();
            server.head();
            if lines.starts_with("Content") {
                server.bytes(sent);
            } else {
                server.bytes(3 + 11);
            }
            server.send(over_to("/send/1"));
            let answer = client.answer();
            assert_eq!(answer.status, 502, "{lines}");
            assert!(answer.text().contains("too large to be kept"), "{}", answer.text());
        }
    }
    assert!(daemon.until_logged("upstream_faulty").contains("limits.body_bytes"));
    assert_eq!(daemon.ask(get("/send/1")).answer().status, 404);
}

#[test]
fn a_client_that_waits_with_its_message_is_told_to_send_it_to_the_location() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut client = daemon
        .ask("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let mut server = upstream.accept();
    server.head();
    server.send(over_to("/send/1"));
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.answer().status, 202);
    assert_eq!(daemon.ask(get("/updates/1")).answer().text(), "hello");
}

#[test]
fn a_target_that_is_no_locations_is_somebody_elses() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    // Another server in front of this one may know what to do with it.
    let mut client = daemon.ask(get("/file"));
    let mut server = upstream.accept();
    server.head();
    server.send(over_to("/files/1"));
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut settings = locations();
    merge(&mut settings, json!({"limits": {"upstream_wait": 1}}));
    let daemon = start(&format!("http://{address}"), settings);
    let mut polls: Vec<Client> = (0..20).map(|_| daemon.ask(get("/updates/1"))).collect();
    held(&daemon, "1", 20);
    drop(listener);
    assert_eq!(daemon.ask(get("/")).answer().status, 502);
    assert_eq!(publish(&daemon, "1", "still here"), 201);
    for poll in &mut polls {
        assert_eq!(poll.answer().text(), "still here");
    }
    let upstream = Upstream::of(TcpListener::bind(address).unwrap());
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
