//! SIGTERM and SIGINT: idle, busy, and twice.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::{Backend, Client, Daemon, LONG, Manner, settings, subscriber};

use crate::BINARY;

/// Within what the daemon is to leave when nobody keeps it.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn term_and_int_end_every_held_request_with_a_whole_304_and_leave_with_0() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start(BINARY, settings());
        let held = daemon.hold("a", 200);
        let cursor = "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\nIf-None-Match: 7";
        let mut with_cursor = daemon.connect();
        with_cursor.send(format!("GET /subscriber/b HTTP/1.1\r\nHost: a\r\n{cursor}\r\n\r\n"));
        daemon.until_held("b", 1);

        let begin = Instant::now();
        daemon.signal(signal);
        for mut client in held {
            let answer = client.answer();
            assert_eq!((answer.status, answer.closes()), (304, true), "{}", answer.head);
            assert!(client.ends());
        }
        let answer = with_cursor.answer();
        assert_eq!(answer.header("Last-Modified"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(answer.header("Etag"), Some("7"));
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        daemon.until_logged("event=stop");
    }
}

#[test]
fn messages_that_are_half_sent_when_the_daemon_stops_are_taken_and_answered() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut reader = daemon.hold("a", 1).remove(0);
    let head = "POST /publisher/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let mut publishers: Vec<(Client, &str)> = Vec::new();
    for sent in [10, head.len() - 1, head.len(), head.len() + 5] {
        let whole: &'static str = format!("{head}0123456789").leak();
        for _ in 0..5 {
            let mut client = daemon.connect();
            client.send(&whole[..sent]);
            publishers.push((client, &whole[sent..]));
        }
    }
    // An answer on a later connection: what the earlier ones sent has been read.
    assert_eq!(daemon.publish("c", "m").status, 202);
    daemon.signal("TERM");
    assert_eq!(reader.answer().status, 304);
    for (client, rest) in &mut publishers {
        client.send(rest);
    }
    for (mut client, rest) in publishers {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (202, true), "{rest:?} {}", answer.head);
        assert!(client.ends());
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn what_has_arrived_before_the_signal_is_answered() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut clients: Vec<Client> = (0..50).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.post("/publisher/a", b"first").answer().status, 202);
    }
    // The daemon stands still, so that everything is there before it looks at the signal.
    daemon.signal("STOP");
    let mut new: Vec<Client> = (0..50).map(|_| daemon.connect()).collect();
    for client in clients.iter_mut().chain(&mut new) {
        client.post("/publisher/a", b"second");
    }
    daemon.signal("TERM");
    daemon.signal("CONT");
    for client in clients.iter_mut().chain(&mut new) {
        let answer = client.answer();
        assert_eq!(answer.status, 202, "{}", answer.head);
        assert!(client.ends());
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_message_that_was_published_reaches_who_waited_though_the_daemon_stops() {
    let mut daemon = Daemon::start(BINARY, settings());
    // Their places in the daemon's tables are used again in reverse, so that the first on the
    // channel is not the first everywhere.
    drop(daemon.hold("b", 500));
    daemon.until_held("b", 0);
    let mut held = daemon.hold("a", 500);
    let mut publisher = daemon.connect();
    daemon.signal("STOP");
    publisher.post("/publisher/a", b"last words");
    daemon.signal("TERM");
    daemon.signal("CONT");
    assert_eq!(publisher.answer().status, 201);
    for client in &mut held {
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"last words"[..]));
    }
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_request_that_would_be_held_while_the_daemon_stops_is_answered_at_once() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.connect();
    client.send("GET /subscriber/a HTTP/1.1\r\nHost");
    assert_eq!(daemon.publish("c", "m").status, 202);
    let mut held = daemon.hold("b", 1).remove(0);
    daemon.signal("TERM");
    assert_eq!(held.answer().status, 304);
    client.send(": a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (304, true));
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_message_that_is_never_finished_is_refused_after_a_second() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.connect();
    client.send("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!(daemon.publish("c", "m").status, 202);
    let begin = Instant::now();
    daemon.signal("TERM");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn a_head_begun_behind_an_answer_that_stalled_is_refused_after_a_second_too() {
    let mut daemon = Daemon::start(BINARY, settings());
    daemon.publish("big", vec![b'x'; 9 << 20]);
    let mut client = Client::narrow(daemon.address());
    client.get("/subscriber/big").send("POST /publisher/a HTTP/1.1\r\nHos");
    // An answer on a later connection: what the earlier one sent has been read.
    assert_eq!(daemon.publish("c", "m").status, 202);
    daemon.signal("TERM");
    assert_eq!(client.answer().body.len(), 9 << 20);
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn idle_connections_are_closed_and_new_ones_refused() {
    let mut daemon = Daemon::start(BINARY, settings());
    let address = daemon.address();
    let mut idle = daemon.connect();
    idle.post("/publisher/a", b"m").answer();
    let mut silent = daemon.connect();
    let mut unfinished = daemon.connect();
    unfinished.send("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n0");
    assert_eq!(daemon.publish("c", "m").status, 202);
    daemon.signal("TERM");
    assert!(idle.ends());
    assert!(silent.ends());
    assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
    assert_eq!(unfinished.send("1").answer().status, 202);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn the_last_unsubscribes_are_sent() {
    let backend = Backend::that(Manner::Answers(200));
    let mut daemon = Daemon::start(BINARY, subscriber(json!({"passthrough": backend.url()})));
    let _held = daemon.hold("a", 20);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let mut bodies = backend.bodies(40);
    bodies.sort();
    assert!(bodies[..20].iter().all(|body| body == "channel_id=a&subscribe=1"));
    assert!(bodies[20..].iter().all(|body| body == "channel_id=a&unsubscribe=1"));
}

#[test]
fn a_backend_that_hangs_keeps_the_daemon_for_no_longer_than_five_seconds() {
    let backend = Backend::that(Manner::Hangs);
    let mut daemon = Daemon::start(BINARY, subscriber(json!({"passthrough": backend.url()})));
    let mut held = daemon.hold("a", 5);
    backend.next();
    let begin = Instant::now();
    daemon.signal("TERM");
    for client in &mut held {
        assert_eq!(client.answer().status, 304);
    }
    assert_eq!(daemon.wait().code(), Some(0));
    let took = begin.elapsed();
    assert!(took < SOON + Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let backend = Backend::that(Manner::Hangs);
    let mut daemon = Daemon::start(BINARY, subscriber(json!({"passthrough": backend.url()})));
    let mut held = daemon.hold("a", 1).remove(0);
    backend.next();
    daemon.signal("TERM");
    assert_eq!(held.answer().status, 304);
    assert!(held.ends());
    let begin = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[test]
fn a_second_signal_does_not_wait_for_publishers() {
    let mut daemon = Daemon::start(BINARY, settings());
    let mut client = daemon.connect();
    client.send("POST /publisher/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    let mut held = daemon.hold("b", 1).remove(0);
    daemon.signal("INT");
    assert_eq!(held.answer().status, 304);
    daemon.signal("INT");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(client.ends());
}

#[test]
fn two_hundred_held_and_twenty_half_sent_are_all_answered_within_two_seconds() {
    let mut daemon = Daemon::start(BINARY, settings());
    let steady: Vec<_> = (0..4)
        .map(|index| {
            let (mut client, path) = (daemon.connect(), format!("/publisher/p{index}"));
            assert_eq!(client.post(&path, b"first").answer().status, 202);
            thread::spawn(move || publish_to_the_end(&mut client, &path))
        })
        .collect();
    let mut held = daemon.hold("a", 200);
    let mut half_sent: Vec<Client> = (0..20).map(|_| daemon.begin_publishing("b", 9)).collect();
    for client in &mut half_sent {
        client.send("0123");
    }
    // An answer on a later connection: what the earlier ones sent has been read.
    assert_eq!(daemon.publish("c", "m").status, 202);
    let begin = Instant::now();
    daemon.signal("TERM");
    for client in &mut held {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (304, true), "{}", answer.head);
        assert!(client.ends());
    }
    // Half of them go on, half never do.
    let (going_on, stopped) = half_sent.split_at_mut(10);
    for client in &mut *going_on {
        client.send("45678");
    }
    for (clients, status) in [(going_on, 202), (stopped, 408)] {
        for client in clients {
            let answer = client.answer();
            assert_eq!((answer.status, answer.closes()), (status, true), "{}", answer.head);
            assert!(client.end_sending().ends());
        }
    }
    steady.into_iter().for_each(|publisher| publisher.join().unwrap());
    assert_eq!(daemon.wait().code(), Some(0));
    let took = begin.elapsed();
    println!("stopped after {took:?}");
    // A second for clients that stopped, and what a busy machine adds.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn under_load_the_end_cuts_no_answer_and_loses_at_most_a_request_not_begun() {
    let mut daemon = Daemon::start(BINARY, settings());
    let publishers: Vec<_> = (0..8)
        .map(|index| {
            let (mut client, path) = (daemon.connect(), format!("/publisher/p{index}"));
            assert_eq!(client.post(&path, b"first").answer().status, 202);
            thread::spawn(move || publish_to_the_end(&mut client, &path))
        })
        .collect();
    let mut held = daemon.hold("a", 100);
    let subscribers: Vec<_> = (0..4)
        .map(|index| {
            let mut client = daemon.poll(&format!("p{index}"));
            thread::spawn(move || follow_to_the_end(&mut client, &format!("/subscriber/p{index}")))
        })
        .collect();
    daemon.until_held("a", 100);
    let begin = Instant::now();
    daemon.signal("TERM");
    for client in &mut held {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (304, true));
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
    for subscriber in subscribers {
        subscriber.join().unwrap();
    }
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    assert!(SOON < LONG);
}

/// Publishes until the connection ends; each answer is whole.
fn publish_to_the_end(client: &mut Client, path: &str) {
    while client.try_post(path, b"some words")
        && let Some(answer) = client.try_answer()
    {
        assert!(matches!(answer.status, 201 | 202), "{}", answer.head);
        if answer.closes() {
            return assert!(client.ends());
        }
    }
}

/// Follows a channel until the connection ends.
fn follow_to_the_end(client: &mut Client, path: &str) {
    loop {
        let Some(answer) = client.try_answer() else { return };
        if answer.closes() {
            assert!(matches!(answer.status, 200 | 304), "{}", answer.head);
            return assert!(client.ends());
        }
        assert_eq!(answer.status, 200, "{}", answer.head);
        let cursor = answer.cursor();
        if !client.try_send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{cursor}\r\n").as_bytes()) {
            return;
        }
    }
}
