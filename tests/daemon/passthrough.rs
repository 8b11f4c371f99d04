//! Notices to a backend that answers, fails, hangs or is gone. The form of one notice is tested in
//! `src/net/worker/passthrough.rs`; here: which are sent for what, and that none delays anybody.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use pushserver_testkit::{
    Absent, Backend, Client, Daemon, Manner, Stream, merge, request, settings, subscriber,
};

use crate::BINARY;

fn told(backend: &Backend, more: Value) -> Daemon {
    let mut location = json!({"passthrough": backend.url()});
    merge(&mut location, more);
    Daemon::start(BINARY, subscriber(location))
}

#[track_caller]
fn assert_pair(backend: &Backend, channel: &str) {
    let pair = [
        format!("channel_id={channel}&subscribe=1"),
        format!("channel_id={channel}&unsubscribe=1"),
    ];
    assert_eq!(backend.bodies(2), pair);
}

#[test]
fn each_end_of_a_hold_is_told_after_its_beginning() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = told(&backend, json!({"timeout": 0.2}));
    assert_eq!(daemon.poll("timeout").answer().status, 304);
    assert_pair(&backend, "timeout");

    let daemon = told(&backend, json!({"concurrency": "last"}));
    let mut held = daemon.hold("delivery", 1).remove(0);
    daemon.publish("delivery", "m");
    assert_eq!(held.answer().status, 200);
    assert_pair(&backend, "delivery");

    let mut held = daemon.hold("deleted", 1).remove(0);
    let mut publisher = daemon.connect();
    publisher.send("DELETE /publisher/deleted HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(publisher.answer().status, 200);
    assert_eq!(held.answer().status, 410);
    assert_pair(&backend, "deleted");

    drop(daemon.hold("gone", 1));
    assert_pair(&backend, "gone");
    for client in daemon.hold("reset", 1) {
        client.reset();
    }
    assert_pair(&backend, "reset");
    for mut client in daemon.hold("half", 1) {
        assert!(client.end_sending().ends());
    }
    assert_pair(&backend, "half");

    let mut first = daemon.hold("displaced", 1).remove(0);
    let second = daemon.poll("displaced");
    assert_eq!(first.answer().status, 409);
    drop(second);
    let expected = ["subscribe", "unsubscribe", "subscribe", "unsubscribe"];
    let mut bodies = backend.bodies(4);
    // The new hold begins before the old one is told of its end, or after.
    bodies.sort();
    let mut sorted = expected.map(|event| format!("channel_id=displaced&{event}=1"));
    sorted.sort();
    assert_eq!(bodies, sorted);
}

#[test]
fn no_request_that_is_answered_at_once_is_told_of() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = told(&backend, json!({"max_subscribers": 1}));
    daemon.publish("stored", "m");
    assert_eq!(daemon.poll("stored").answer().status, 200);
    let mut client = daemon.connect();
    for (request, status) in [
        ("GET /subscriber/a%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS /subscriber/a HTTP/1.1\r\nHost: a\r\n\r\n", 204),
        ("POST /subscriber/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
    ] {
        assert_eq!(client.send(request).answer().status, status);
    }
    let held = daemon.hold("full", 1);
    assert_eq!(daemon.poll("full").answer().status, 403);
    drop(held);
    assert_pair(&backend, "full");
    assert!(backend.poll().is_none());
}

#[test]
fn a_stream_is_told_of_when_it_begins_and_ends_and_one_that_is_refused_is_not() {
    const EVENTS: &str = "Accept: text/event-stream\r\n";
    const SOCKET: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let no_key = SOCKET.replace("Q==", "");
    let old = SOCKET.replace("13", "8");
    let foreign = format!("{SOCKET}Origin: http://b.example\r\n");
    let cursor = format!("{EVENTS}Last-Event-ID: x\r\n");
    for (more, refused) in [
        (json!({"create_on_get": false}), vec![("other", EVENTS, 404), ("other", SOCKET, 404)]),
        (json!({"max_subscribers": 1}), vec![("full", EVENTS, 403), ("full", SOCKET, 403)]),
        (json!({"concurrency": "first"}), vec![("full", EVENTS, 409), ("full", SOCKET, 409)]),
        (json!({"allow_origin": ["http://a.example"]}), vec![("full", &foreign, 403)]),
        (
            json!({}),
            vec![
                ("full", &*no_key, 400),
                ("full", &old, 426),
                ("full", &cursor, 400),
                ("x%00", EVENTS, 400),
            ],
        ),
    ] {
        let backend = Backend::that(Manner::Answers(200));
        let daemon = told(&backend, more);
        daemon.publish("full", "m");
        let stream = Stream::events(daemon.connect(), "/subscriber/full");
        assert_eq!(backend.next().body, "channel_id=full&subscribe=1");
        // On one connection, as errors of polls.
        let mut client = daemon.connect();
        for (channel, lines, status) in refused {
            client.send(request(&format!("GET /subscriber/{channel}"), lines));
            assert_eq!(client.answer().status, status, "{channel} {lines}");
        }
        drop(stream);
        // The notices of one URL keep their order: what is next is all that there was.
        assert_eq!(backend.next().body, "channel_id=full&unsubscribe=1");
        daemon.until_held("full", 0);
        drop(Stream::socket(daemon.connect(), "/subscriber/full"));
        assert_pair(&backend, "full");
    }
}

#[test]
fn the_subscribers_own_headers_go_with_both_notices() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = told(&backend, json!({}));
    let mut client = daemon.connect();
    client.send(
        "GET /subscriber/a%26b%20c HTTP/1.1\r\nHost: push.example\r\nCookie: sessionid=s3cr3t\r\n\
         User-Agent: tester\r\nReferer: http://web.example/\r\nOrigin: http://web.example\r\n\
         If-None-Match: 3\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nConnection: X-Mine\r\n\
         X-Mine: hop\r\n\r\n",
    );
    let subscribe = backend.next();
    client.reset();
    let unsubscribe = backend.next();
    assert_eq!(subscribe.body, "channel_id=a%26b%20c&subscribe=1");
    assert_eq!(unsubscribe.body, "channel_id=a%26b%20c&unsubscribe=1");
    for seen in [subscribe, unsubscribe] {
        assert!(seen.head.starts_with("POST /told HTTP/1.1\r\n"), "{}", seen.head);
        for (name, value) in [
            ("Cookie", Some("sessionid=s3cr3t")),
            ("User-Agent", Some("tester")),
            ("Referer", Some("http://web.example/")),
            ("Origin", Some("http://web.example")),
            ("If-None-Match", Some("3")),
            ("If-Modified-Since", Some("Thu, 01 Jan 2026 00:00:00 GMT")),
            ("X-Forwarded-For", Some("127.0.0.1")),
            ("Content-Type", Some("application/x-www-form-urlencoded")),
            ("X_Forwarded_For", None),
            ("X-Mine", None),
        ] {
            assert_eq!(seen.header(name), value, "{name} in {}", seen.head);
        }
        assert!(backend.url().contains(seen.header("Host").unwrap()));
    }
}

#[test]
fn notices_keep_their_order_in_a_crowd() {
    const COUNT: usize = 200;
    let backend = Backend::that(Manner::Answers(204));
    let daemon = told(&backend, json!({}));
    for round in 0..2 {
        let channel = format!("a{round}");
        let mut held = daemon.hold(&channel, COUNT);
        assert_eq!(daemon.publish(&channel, "m").status, 201);
        for client in &mut held {
            assert_eq!(client.answer().text(), "m");
        }
    }
    for round in 0..2 {
        let bodies = backend.bodies(2 * COUNT);
        let event = |event: &str| format!("channel_id=a{round}&{event}=1");
        assert!(bodies[..COUNT].iter().all(|body| *body == event("subscribe")));
        assert!(bodies[COUNT..].iter().all(|body| *body == event("unsubscribe")));
    }
}

/// Fifty are delivered to, twenty times, within a time that no waiting for the backend allows.
#[track_caller]
fn assert_no_delay(url: &str, started: impl FnOnce()) {
    let mut location = json!({"passthrough": url});
    merge(&mut location, json!({"timeout": 0}));
    let daemon = Daemon::start(BINARY, subscriber(location));
    let mut clients: Vec<Client> = daemon.hold("a", 50);
    started();
    let begin = Instant::now();
    for round in 0..20 {
        let text = format!("round {round}");
        assert_eq!(daemon.publish("a", &text).status, 201);
        for client in &mut clients {
            let answer = client.answer();
            assert_eq!(answer.text(), text);
            let cursor = answer.header("Last-Modified").unwrap();
            let tag = answer.header("Etag").unwrap();
            client.send(format!(
                "GET /subscriber/a HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: {cursor}\r\n\
                 If-None-Match: {tag}\r\n\r\n"
            ));
        }
        daemon.until_held("a", 50);
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(daemon.publish("a", "end").status, 201);
}

#[test]
fn a_hanging_backend_delays_no_delivery() {
    let backend = Backend::that(Manner::Hangs);
    assert_no_delay(&backend.url(), || assert!(backend.next().body.ends_with("&subscribe=1")));
    // The worker has one request in the air, whatever waits behind it.
    assert!(backend.poll().is_none());
}

#[test]
fn a_hanging_url_holds_up_the_notices_of_no_other() {
    const COUNT: usize = 20;
    let (hanging, good) = (Backend::that(Manner::Hangs), Backend::that(Manner::Answers(204)));
    let mut settings = subscriber(json!({"passthrough": good.url()}));
    let other = json!({"type": "subscriber", "prefix": "/other/", "create_on_get": true,
        "passthrough": hanging.url()});
    settings["locations"].as_array_mut().unwrap().push(other);
    let daemon = Daemon::start(BINARY, settings);
    let threads = daemon.vitals().threads();
    let mut held = daemon.hold("a", 1);
    good.next();
    assert_eq!(daemon.vitals().threads(), threads + 1, "one is enough while nothing hangs");
    let mut others: Vec<Client> = (0..COUNT)
        .map(|_| {
            let mut client = daemon.connect();
            client.get("/other/b");
            client
        })
        .collect();
    hanging.next();
    daemon.until_held("b", COUNT);
    for round in 0..COUNT {
        let channel = format!("a{round}");
        held.extend(daemon.hold(&channel, 1));
        assert_eq!(good.next().body, format!("channel_id={channel}&subscribe=1"));
    }
    for (round, client) in held.drain(1..).enumerate() {
        client.reset();
        assert_eq!(good.next().body, format!("channel_id=a{round}&unsubscribe=1"));
    }
    assert_eq!(daemon.vitals().threads(), threads + 2);
    assert!(hanging.poll().is_none(), "its next notice waits for the answer to the first");
    others.clear();
    drop(daemon.hold("last", 1));
    assert_pair(&good, "last");
}

#[test]
fn a_dead_backend_delays_no_delivery() {
    let absent = Absent::bind();
    assert_no_delay(&absent.url(), || {});
}

#[test]
fn a_slow_backend_delays_no_delivery() {
    let backend = Backend::that(Manner::Slow(Duration::from_secs(1)));
    assert_no_delay(&backend.url(), || drop(backend.next()));
}

#[test]
fn a_failing_backend_delays_no_delivery() {
    for manner in [Manner::Answers(500), Manner::Closes] {
        let backend = Backend::that(manner);
        assert_no_delay(&backend.url(), || drop(backend.next()));
    }
}

#[test]
fn failures_are_logged_once_and_not_for_each_notice() {
    for (manner, words) in [
        (Manner::Answers(500), "event=passthrough_refused url="),
        (Manner::Closes, "event=passthrough_failed url="),
    ] {
        let backend = Backend::that(manner);
        let daemon = told(&backend, json!({}));
        drop(daemon.hold("a", 20));
        backend.bodies(40);
        let line = daemon.until_logged(words);
        assert!(line.contains(&backend.url()) && line.contains("times=1"), "{line}");
        let log = daemon.log();
        assert_eq!(log.iter().filter(|line| line.contains("passthrough")).count(), 1, "{log:?}");
    }
}

#[test]
fn beyond_the_queue_whole_pairs_are_dropped_counted_and_logged_once() {
    const QUEUE: usize = 10;
    let backend = Backend::that(Manner::Hangs);
    let mut with = subscriber(json!({"passthrough": backend.url()}));
    merge(&mut with, json!({"limits": {"passthrough_queue": QUEUE}}));
    let mut daemon = Daemon::start(BINARY, with);
    let first = daemon.hold("first", 1);
    assert_eq!(backend.next().body, "channel_id=first&subscribe=1");
    // One notice is being sent; ten wait; the rest has no place, nor have their ends.
    let mut held = daemon.hold("a", 50);
    daemon.publish("a", "m");
    for client in &mut held {
        assert_eq!(client.answer().text(), "m");
    }
    let line = daemon.until_logged("event=passthrough_dropped url=");
    assert!(line.contains("times=1 cause=\"10 notices wait already"), "{line}");
    drop(first);
    daemon.until_held("first", 0);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let log = daemon.log();
    assert_eq!(
        log.iter().filter(|line| line.contains("passthrough_dropped")).count(),
        1,
        "{log:?}"
    );
    let line = daemon.until_logged("event=passthrough_ended sent=");
    assert!(line.contains("dropped=40"), "{line}");
    // What waits: ten subscribes, their ten unsubscribes, that of the first, and the one in the
    // air.
    daemon.until_logged("event=passthrough_given_up notices=22");
}

#[test]
fn a_reloaded_url_is_told_of_new_holds_and_the_old_one_of_the_ends_of_its_own() {
    let (old, new) = (Backend::that(Manner::Answers(200)), Backend::that(Manner::Answers(200)));
    let daemon = told(&old, json!({}));
    let held = daemon.hold("a", 1);
    daemon.reload(subscriber(json!({"passthrough": new.url()})));
    let other = daemon.hold("b", 1);
    drop((held, other));
    assert_pair(&old, "a");
    assert_pair(&new, "b");
    daemon.reload(settings());
    drop(daemon.hold("c", 1));
    daemon.until_held("c", 0);
    assert!(old.poll().is_none() && new.poll().is_none());
}
