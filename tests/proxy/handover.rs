//! Requests that an answer of the upstream hands over to a publisher location, with their bodies.

use serde_json::json;

use crate::push::{held, locations};
use crate::{get, start};
use pushserver_testkit::tokens::SIGNING_KEYS;
use pushserver_testkit::{Upstream, merge, until};

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
fn what_is_handed_over_begins_and_waits_as_any_other() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), locations());
    let mut client = daemon.connect();
    for body in ["m0", "m1"] {
        client.send(format!("POST /send/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{body}"));
        assert_eq!(client.answer().status, 202);
    }
    // Its answer's path says where it begins, and no other query.
    let mut first = daemon.ask(get("/updates/1"));
    let first = first.answer();
    let since = pushserver::http::parse_http_date(
        first.header("Last-Modified").expect("a message has a date").as_bytes(),
    );
    let since = format!("{}:{}", since.expect("a date"), first.header("Etag").expect("a tag"));
    for (asked, path, text) in [
        ("/page?since=0", format!("/updates/1?since={since}"), "m1"),
        (&*format!("/page?since={since}"), "/updates/1".to_owned(), "m0"),
    ] {
        client.send(get(asked));
        let mut server = upstream.accept();
        server.head();
        server.send(over_to(&path));
        drop(server);
        assert_eq!(client.answer().text(), text, "{asked}");
    }
    // A publisher waits until its message is sent.
    client.send("POST /say HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\nContent-Length: 2\r\n\r\nm2");
    let mut server = upstream.accept();
    server.head();
    server.send(over_to("/send/2"));
    drop(server);
    let mut poll = daemon.ask(get("/updates/2"));
    assert_eq!(poll.answer().text(), "m2");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("Preference-Applied")), (201, Some("wait=30")));
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
fn a_message_that_outgrows_what_is_kept_is_refused_before_its_end() {
    let upstream = Upstream::start();
    let mut with = locations();
    merge(&mut with, json!({"limits": {"body_bytes": 1000}}));
    let daemon = start(&upstream.url(), with);
    let mut client = daemon
        .ask("POST /say HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut server = upstream.accept();
    server.head();
    server.send(over_to("/send/1"));
    let _ = server.rest();
    client.send(format!("3e8\r\n{}\r\n", "x".repeat(1000)));
    let answer = client.answer();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("too large"), "{}", answer.text());
    assert_eq!(daemon.ask(get("/send/1")).answer().status, 404);
    // What a location of subscribers has no use for is read over, however long it is.
    let mut client = daemon
        .ask("POST /say HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let mut server = upstream.accept();
    server.head();
    server.send(over_to("/updates/1"));
    let _ = server.rest();
    client.send(format!("3e8\r\n{}\r\n", "x".repeat(1000)));
    client.send("0\r\n\r\n");
    held(&daemon, "1", 1);
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
fn what_is_handed_over_needs_no_token() {
    let signed = json!({"signing_keys": SIGNING_KEYS, "locations": [
        {"type": "subscriber", "prefix": "/updates/", "create_on_get": true, "signed": true},
        {"type": "publisher", "prefix": "/send/", "signed": true},
        {"type": "publisher", "prefix": "/both/", "signed": true, "secret": "word"},
        {"type": "publisher", "prefix": "/say/"},
    ]});
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), signed);
    let hand_over = |request: String, target: &str| {
        let client = daemon.ask(request);
        let mut server = upstream.accept();
        server.head();
        server.send(over_to(target));
        client
    };
    let post = |path: &str, lines: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: 2\r\n\r\nhi")
    };
    // Asked for straight, all need one.
    for request in [get("/updates/1"), post("/send/1", ""), post("/both/1", "")] {
        assert_eq!(daemon.ask(request).answer().status, 401);
    }
    let mut poll = hand_over(get("/poll"), "/updates/1");
    until("the request is held", || {
        daemon.ask(get("/say/1")).answer().text().contains("active subscribers: 1\r\n")
    });
    assert_eq!(hand_over(post("/talk", ""), "/send/1").answer().status, 201);
    assert_eq!(poll.answer().text(), "hi");
    // The secret of a location is asked for as ever.
    assert_eq!(hand_over(post("/talk", ""), "/both/1").answer().status, 401);
    let bearer = "Authorization: Bearer word\r\n";
    assert_eq!(hand_over(post("/talk", bearer), "/both/1").answer().status, 202);
    // Nothing goes to the upstream that only the daemon says.
    let _client = daemon.ask(
        "GET /x HTTP/1.1\r\nHost: a\r\nX-Pushserver-User: 1\r\n\
        x-pushserver-USER: 1\r\nX_Pushserver_User: 1\r\n\r\n",
    );
    let head = upstream.accept().head();
    assert!(!head.to_lowercase().contains("pushserver"), "{head}");
}
