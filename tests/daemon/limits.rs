//! Every key of `limits`, each reached with a setting so small that it is soon reached.
//! `passthrough_queue` is in `passthrough.rs`, the limit of open files in `descriptors.rs`.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::{
    Backend, Client, Daemon, Manner, Start, limits, merge, request, settings, subscriber, until,
};

use crate::BINARY;

/// How long is waited for what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

/// Sends a request whose answer is to have this status and end the connection, or not.
#[track_caller]
fn assert_answer(daemon: &Daemon, request: &str, status: u16, closes: bool) {
    let mut client = daemon.connect();
    let answer = client.send(request).answer();
    assert_eq!((answer.status, answer.closes()), (status, closes), "{}", answer.head);
    if status >= 400 {
        assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
    }
    if closes {
        assert!(client.end_sending().ends());
    }
    assert_eq!(daemon.publish("after", "m").status, 202);
}

#[test]
fn a_head_beyond_header_bytes_is_431() {
    let daemon = Daemon::start(BINARY, limits(json!({"header_bytes": 400})));
    let filled = |bytes: usize| {
        let rest = bytes - request("GET /subscriber/after", "Filler: \r\n").len();
        request("GET /subscriber/after", &format!("Filler: {}\r\n", "x".repeat(rest)))
    };
    daemon.publish("after", "m");
    assert_answer(&daemon, &filled(400), 200, false);
    assert_answer(&daemon, &filled(401), 431, true);
    assert_answer(
        &daemon,
        &request("GET /subscriber/a", "").replace("a\r", &"a".repeat(9000)),
        431,
        true,
    );
}

#[test]
fn more_fields_than_headers_are_431() {
    let daemon = Daemon::start(BINARY, limits(json!({"headers": 4})));
    daemon.publish("after", "m");
    assert_answer(&daemon, &request("GET /subscriber/after", &"A: b\r\n".repeat(3)), 200, false);
    assert_answer(&daemon, &request("GET /subscriber/after", &"A: b\r\n".repeat(4)), 431, true);
}

#[test]
#[cfg(target_os = "linux")]
fn a_body_that_nobody_has_use_for_takes_no_memory() {
    let daemon = Daemon::start(BINARY, settings());
    daemon.publish("after", "m");
    let before = daemon.vitals().peak_kib();
    let body = vec![b'x'; 8 << 20];
    for line in ["GET /subscriber/after", "GET /publisher/after", "PUT /publisher/after"] {
        let length = format!("Content-Length: {}\r\n", body.len());
        let mut client = daemon.connect();
        let answer = client.send(request(line, &length)).send(&body).answer();
        assert_eq!((answer.status, answer.closes()), (200, false), "{line}");
        let chunked = request(line, "Transfer-Encoding: chunked\r\n");
        client.send(chunked).send("800000\r\n").send(&body);
        assert_eq!(client.send("\r\n0\r\n\r\n").answer().status, 200, "{line}");
    }
    let peak = daemon.vitals().peak_kib();
    assert!(peak < before + 4096, "{before} KiB before, then {peak}");
}

#[test]
fn a_target_beyond_uri_bytes_is_414() {
    let daemon = Daemon::start(BINARY, limits(json!({"uri_bytes": 40})));
    daemon.publish("after", "m");
    let target = |bytes: usize| format!("GET /subscriber/after?{}", "x".repeat(bytes - 18));
    assert_answer(&daemon, &request(&target(40), ""), 200, false);
    assert_answer(&daemon, &request(&target(41), ""), 414, true);
}

#[test]
fn a_body_beyond_body_bytes_is_413() {
    let daemon = Daemon::start(BINARY, limits(json!({"body_bytes": 10})));
    let sized = |body: &str| {
        request("POST /publisher/a", &format!("Content-Length: {}\r\n", body.len())) + body
    };
    let chunked = |body: &str| {
        let head = request("POST /publisher/a", "Transfer-Encoding: chunked\r\n");
        body.bytes().fold(head, |request, byte| format!("{request}1\r\n{}\r\n", byte as char))
            + "0\r\n\r\n"
    };
    for request in [sized("0123456789"), chunked("0123456789")] {
        assert_answer(&daemon, &request, 202, false);
    }
    for request in [sized("0123456789a"), chunked("0123456789a")] {
        assert_answer(&daemon, &request, 413, true);
    }
    // Refused on its head alone: nobody has to send what is not taken.
    let head = request("POST /publisher/a", "Content-Length: 999999999999\r\n");
    assert_answer(&daemon, &head, 413, true);
}

#[test]
fn a_channel_id_beyond_channel_id_bytes_is_403() {
    let daemon = Daemon::start(BINARY, limits(json!({"channel_id_bytes": 5})));
    assert_answer(&daemon, &request("PUT /publisher/%61%62%63%64%65", ""), 200, false);
    assert_answer(&daemon, &request("PUT /publisher/abcdef", ""), 403, false);
    assert_answer(&daemon, &request("GET /subscriber/abcdef", ""), 403, false);
}

#[test]
fn a_channel_beyond_channels_is_503_and_the_others_serve() {
    let daemon = Daemon::start(BINARY, limits(json!({"channels": 3})));
    for channel in ["after", "b", "c"] {
        assert_eq!(daemon.publish(channel, "m").status, 202);
    }
    assert_answer(&daemon, &request("PUT /publisher/d", ""), 503, false);
    assert_answer(&daemon, &request("GET /subscriber/d", ""), 503, false);
    let answer = daemon.publish("d", "m");
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("5")));
    assert_answer(&daemon, &request("DELETE /publisher/b", ""), 200, false);
    assert_eq!(daemon.publish("d", "m").status, 202);
}

#[test]
fn requests_behind_a_held_one_wait_however_many_and_are_answered_in_order() {
    const COUNT: usize = 40;
    let daemon = Daemon::start(BINARY, limits(json!({"pipeline_depth": 2})));
    let mut client = daemon.poll("a");
    daemon.until_held("a", 1);
    for number in 0..COUNT {
        client.post(&format!("/publisher/b{number}"), b"m");
    }
    assert_eq!(daemon.publish("c", "m").status, 202);
    assert_eq!(daemon.connect().get("/publisher/b0").answer().status, 404, "before its turn");
    assert_eq!(daemon.publish("a", "go").status, 201);
    assert_eq!(client.answer().text(), "go");
    for number in 0..COUNT {
        assert_eq!(client.answer().status, 202, "{number}");
    }
    // They hide no end.
    let mut client = daemon.hold("d", 1).remove(0);
    client.send(request("GET /subscriber/e", "").repeat(COUNT)).end_sending();
    daemon.until_held("d", 0);
    assert!(client.ends());
}

#[test]
fn a_hold_ends_when_more_than_header_bytes_come_behind_it() {
    let backend = Backend::that(Manner::Answers(200));
    let mut settings = subscriber(json!({"timeout": 0, "passthrough": backend.url()}));
    merge(&mut settings, json!({"limits": {"header_bytes": 400}}));
    let daemon = Daemon::start(BINARY, settings);
    // Before anybody comes: whoever asks how many are held may still be leaving afterwards.
    let idle = daemon.vitals().descriptors();
    let mut client = daemon.hold("a", 1).remove(0);
    backend.next();
    client.send("x".repeat(400));
    assert!(client.is_silent(A_WHILE));
    daemon.until_held("a", 1);
    client.send("x");
    assert!(client.ends());
    assert_eq!(backend.next().body, "channel_id=a&unsubscribe=1");
    // Beside the connection to the backend.
    until("its descriptor is free", || daemon.vitals().descriptors() == idle + 1);
    // Also where they come with the request.
    let mut client = daemon.ask(request("GET /subscriber/a", "") + &"x".repeat(401));
    assert!(client.ends());
    let events = [backend.next().body, backend.next().body];
    assert_eq!(events, ["channel_id=a&subscribe=1", "channel_id=a&unsubscribe=1"]);
    until("its descriptor is free", || daemon.vitals().descriptors() == idle + 1);
}

#[test]
fn no_flood_behind_a_held_request_hides_the_end_of_its_client_or_takes_memory() {
    const CLIENTS: usize = 4;
    let daemon = Daemon::start(BINARY, subscriber(json!({"timeout": 0})));
    let idle = daemon.vitals().descriptors();
    let before = daemon.vitals().resident_kib();
    let mut clients = daemon.hold("a", CLIENTS);
    let requests = request("GET /subscriber/b", "").repeat((64 << 20) / 40);
    for flood in [vec![b'x'; 2 << 20], requests.into_bytes()] {
        for client in &mut clients {
            client.send_as_far_as_taken(&flood, A_WHILE);
            // It may be closed by now.
            let _ = client.socket().shutdown(Shutdown::Write);
        }
        daemon.until_held("a", 0);
        until("all descriptors are free", || daemon.vitals().descriptors() == idle);
        clients = daemon.hold("a", CLIENTS);
    }
    let after = daemon.vitals().resident_kib();
    assert!(after < before + CLIENTS * 256, "{before} to {after} KiB");
}

#[test]
fn a_head_that_takes_longer_than_header_timeout_is_408() {
    let daemon = Daemon::start(BINARY, limits(json!({"header_timeout": 0.3})));
    let begin = Instant::now();
    let mut dripping = daemon.connect();
    let request = request("POST /publisher/a", &format!("Filler: {}\r\n", "x".repeat(1000)));
    let mut bytes = request.bytes();
    // However steadily it comes.
    while dripping.is_silent(Duration::from_millis(10)) {
        dripping.send([bytes.next().expect("refused before the end")]);
    }
    let took = begin.elapsed();
    // The daemon's clock has whole milliseconds.
    assert!(took >= Duration::from_millis(299), "{took:?}");
    let mut stopped = daemon.connect();
    stopped.send("GET /subscriber/a HTTP/1.1\r\nHos");
    let answer = stopped.answer();
    assert_eq!((answer.status, answer.closes()), (408, true));
    assert!(stopped.end_sending().ends());
    // A client that says nothing at all is told nothing.
    assert!(daemon.connect().ends());
    // Also on a connection that has served.
    let mut second = daemon.connect();
    assert_eq!(second.post("/publisher/a", b"m").answer().status, 202);
    assert_eq!(second.send("GET /subs").answer().status, 408);
}

#[test]
fn a_body_without_progress_for_body_timeout_is_408_and_never_published() {
    let daemon = Daemon::start(BINARY, limits(json!({"body_timeout": 0.5})));
    let head = "POST /publisher/a HTTP/1.1\r\nHost: a\r\n";
    for begun in ["Content-Length: 10\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\n5\r\n01"] {
        let mut client = daemon.connect();
        let answer = client.send(format!("{head}{begun}")).answer();
        assert_eq!((answer.status, answer.closes()), (408, true));
        assert!(client.end_sending().ends());
    }
    assert_eq!(daemon.connect().get("/publisher/a").answer().status, 404);
    // Slow, but going on: that is no stall.
    let mut slow = daemon.connect();
    let begin = Instant::now();
    slow.send(format!("{head}Content-Length: 10\r\n\r\n"));
    for _ in 0..10 {
        assert!(slow.is_silent(Duration::from_millis(80)));
        slow.send("x");
    }
    assert_eq!(slow.answer().status, 202);
    assert!(begin.elapsed() > Duration::from_millis(500));
}

#[test]
fn a_408_for_a_body_has_the_cors_lines_of_its_location() {
    let mut settings = limits(json!({"body_timeout": 0.2}));
    let origin = json!({"locations": [{"type": "publisher", "prefix": "/publisher/",
        "allow_origin": "http://a.example"}]});
    merge(&mut settings, origin);
    let daemon = Daemon::start(BINARY, settings);
    let lines = "Origin: http://a.example\r\nContent-Length: 10\r\n";
    let answer = daemon.connect().send(request("POST /publisher/a", lines)).answer();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("http://a.example"));
}

#[test]
fn a_reader_without_progress_for_write_timeout_is_closed() {
    let daemon = Daemon::start(BINARY, limits(json!({"write_timeout": 1})));
    let idle = daemon.vitals().descriptors();
    daemon.publish("a", vec![b'x'; 9 << 20]);
    until("the publisher is gone", || daemon.vitals().descriptors() == idle);
    let mut stopped = Client::narrow(daemon.address());
    let begun = stopped.get("/subscriber/a").head();
    assert!(begun.starts_with("HTTP/1.1 200 "), "{begun}");
    until("it is closed", || daemon.vitals().descriptors() == idle);
    // One that goes on, however slowly, gets all of it.
    let mut slow = Client::narrow(daemon.address());
    assert_eq!(slow.get("/subscriber/a").answer().body.len(), 9 << 20);
}

#[test]
fn a_connection_idle_for_keepalive_timeout_is_closed_but_not_a_held_one() {
    let daemon = Daemon::start(BINARY, limits(json!({"keepalive_timeout": 0.3})));
    let mut held = daemon.hold("a", 1).remove(0);
    let mut idle = daemon.connect();
    assert_eq!(idle.post("/publisher/b", b"m").answer().status, 202);
    assert!(idle.ends());
    assert!(held.is_silent(A_WHILE));
    assert_eq!(daemon.publish("a", "m").status, 201);
    assert_eq!(held.answer().text(), "m");
    assert!(held.ends());
}

#[test]
fn at_the_limit_of_connections_new_ones_wait_and_nothing_spins() {
    let daemon = Daemon::start(BINARY, limits(json!({"connections": 5})));
    let mut held = daemon.hold("a", 4);
    let mut publisher = daemon.begin_publishing("a", 3);
    let mut waiting: Vec<Client> = (0..10).map(|_| daemon.poll("a")).collect();
    daemon.until_logged("event=accept_paused");
    let ticks = daemon.vitals().ticks();
    assert!(waiting[0].is_silent(A_WHILE));
    assert!(
        daemon.vitals().ticks() - ticks <= 3,
        "it spins: {} ticks",
        daemon.vitals().ticks() - ticks
    );
    // Clients that were accepted are served.
    assert_eq!(publisher.send("one").answer().status, 201);
    for client in &mut held {
        assert_eq!(client.answer().text(), "one");
    }
    // Each that leaves lets the next one in.
    drop(held);
    for (count, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.answer().text(), "one", "{count}");
        client.end_sending();
    }
    let lines = daemon.log();
    let paused = lines.iter().filter(|line| line.contains("event=accept_paused")).count();
    assert_eq!(paused, 1, "{lines:?}");
}

#[test]
fn at_the_limit_of_connections_an_idle_one_makes_room() {
    let daemon = Daemon::start(BINARY, limits(json!({"connections": 2})));
    let mut held = daemon.hold("a", 1).remove(0);
    let mut idle = daemon.connect();
    assert_eq!(idle.post("/publisher/b", b"m").answer().status, 202);
    assert_eq!(daemon.publish("a", "for who waits").status, 201);
    assert!(idle.ends());
    assert_eq!(held.answer().text(), "for who waits");
}

#[test]
fn at_the_limit_of_connections_nobody_goes_before_somebody_comes_and_the_longest_idle_first() {
    const IDLE: usize = 6;
    let daemon = Daemon::start(BINARY, limits(json!({"connections": IDLE + 2})));
    let mut held = daemon.poll("a");
    let mut publisher = daemon.begin_publishing("b", 3);
    let mut idle: Vec<Client> = (0..IDLE).map(|_| daemon.connect()).collect();
    // Not in the order of their places in the daemon's tables; a tick of its timers apart.
    idle.reverse();
    idle.rotate_left(2);
    for client in &mut idle {
        assert_eq!(client.post("/publisher/c", b"m").answer().status, 202);
        assert!(client.is_silent(Duration::from_millis(25)));
    }
    assert!(idle[0].is_silent(A_WHILE), "closed for nobody");
    assert_eq!(idle[1].post("/publisher/c", b"m").answer().status, 202);
    let mut newcomers = Vec::new();
    for longest in [0, 2, 3] {
        let mut newcomer = daemon.connect();
        assert_eq!(newcomer.post("/publisher/c", b"m").answer().status, 202);
        newcomers.push(newcomer);
        assert!(idle[longest].ends(), "{longest}");
    }
    for index in [1, 4, 5] {
        let client = &mut idle[index];
        assert_eq!(client.post("/publisher/c", b"m").answer().status, 202);
    }
    assert_eq!(publisher.send("one").answer().status, 202);
    assert_eq!(newcomers[0].post("/publisher/a", b"for who waits").answer().status, 201);
    assert_eq!(held.answer().text(), "for who waits");
    assert!(!daemon.log().iter().any(|line| line.contains("event=accept_paused")));
}

/// A new publisher on channel `a`, and how long it has waited for its answer, without the time for
/// which the daemon waited for a processor: a busy machine is not its fault.
#[track_caller]
fn newcomer(daemon: &Daemon, status: u16) -> (Client, Duration) {
    let (begin, queued) = (Instant::now(), daemon.vitals().queued());
    let mut newcomer = daemon.connect();
    assert_eq!(newcomer.post("/publisher/a", b"one").answer().status, status);
    let queued = daemon.vitals().queued().saturating_sub(queued);
    (newcomer, begin.elapsed().saturating_sub(queued))
}

#[test]
fn at_the_limit_of_connections_the_silent_make_room_before_whoever_was_served() {
    const HELD: usize = 20;
    let daemon = Start::within(BINARY, settings(), "ulimit -n 160").start();
    let mut held = daemon.hold("a", HELD);
    let mut publisher = daemon.connect();
    assert_eq!(publisher.post("/publisher/b", b"m").answer().status, 202);
    let mut silent: Vec<Client> = (0..600).map(|_| daemon.connect()).collect();
    let (_newcomer, took) = newcomer(&daemon, 201);
    println!("behind 600 silent connections: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    for client in &mut held {
        assert_eq!(client.answer().text(), "one");
    }
    assert_eq!(publisher.post("/publisher/b", b"m").answer().status, 202);
    // Whoever speaks at last is served, unless it has made room.
    let last = silent.last_mut().expect("there are 600");
    assert_eq!(last.post("/publisher/b", b"m").answer().status, 202);
}

#[test]
fn at_the_limit_of_connections_a_newcomer_that_says_nothing_keeps_nobody_out() {
    const IDLE: usize = 4;
    let daemon = Daemon::start(BINARY, limits(json!({"connections": IDLE})));
    let mut idle: Vec<Client> = (0..IDLE).map(|_| daemon.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.post("/publisher/a", b"m").answer().status, 202);
    }
    let mut silent: Vec<Client> = (0..100).map(|_| daemon.connect()).collect();
    let (_newcomer, took) = newcomer(&daemon, 202);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(idle.remove(0).ends(), "it has made room for the newcomer");
    for client in &mut idle {
        assert_eq!(client.post("/publisher/a", b"m").answer().status, 202);
    }
    assert!(silent.remove(0).ends());
}

#[test]
fn at_the_limit_of_connections_one_place_for_the_silent_does_not_slow_the_door() {
    const IDLE: usize = 4;
    let daemon = Daemon::start(BINARY, limits(json!({"connections": IDLE + 1})));
    let mut idle: Vec<Client> = (0..IDLE).map(|_| daemon.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.post("/publisher/a", b"m").answer().status, 202);
    }
    // One is let in, and makes room for the next one after a tenth of a second at the earliest.
    let _silent: Vec<Client> = (0..100).map(|_| daemon.connect()).collect();
    let (_newcomer, took) = newcomer(&daemon, 202);
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn at_the_limit_of_connections_heads_that_never_end_keep_nobody_out() {
    const HELD: usize = 20;
    let daemon = Start::within(BINARY, settings(), "ulimit -n 160").start();
    let mut held = daemon.hold("a", HELD);
    // So many wait for a second that each has only a tenth of one for its head.
    let _crowd: Vec<Client> = (0..600).map(|_| daemon.ask("GET /subscriber/a HT")).collect();
    let (_newcomer, took) = newcomer(&daemon, 201);
    println!("behind 600 heads that do not end: {took:?}");
    // A whole head may take 10 s.
    assert!(took < Duration::from_secs(4), "{took:?}");
    for client in &mut held {
        assert_eq!(client.answer().text(), "one");
    }
}

#[test]
fn at_the_limit_of_connections_the_refused_make_room_before_whoever_was_served() {
    let daemon = Daemon::start(BINARY, limits(json!({"connections": 2})));
    let mut publisher = daemon.connect();
    assert_eq!(publisher.post("/publisher/a", b"m").answer().status, 202);
    let mut refused = daemon.ask("nonsense\r\n\r\n");
    assert_eq!(refused.answer().status, 400);
    let begin = Instant::now();
    assert_eq!(daemon.publish("a", "m").status, 202);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(publisher.post("/publisher/a", b"m").answer().status, 202);
}

#[test]
fn at_the_limit_of_connections_a_crowd_at_one_address_does_not_keep_others_out() {
    const PLACES: usize = 4;
    let start = Start::with(BINARY, limits(json!({"connections": PLACES})));
    let path = start.file("socket");
    let unix = format!("unix:{}", path.display());
    let daemon = start.args(["--listen", "127.0.0.1:0", "--listen", &unix]).start();
    let mut held: Vec<Client> = (0..PLACES).map(|_| daemon.poll("a")).collect();
    let _crowd: Vec<Client> = (0..30).map(|_| daemon.poll("a")).collect();
    daemon.until_logged("event=accept_paused");
    let mut publisher = Client::unix(&path);
    publisher.post("/publisher/b", b"m");
    // One place for the client that waits to be accepted, one for the publisher.
    held.truncate(PLACES - 2);
    assert_eq!(publisher.answer().status, 202);
}

#[test]
fn one_that_falls_idle_while_others_wait_makes_room_too() {
    let daemon = Daemon::start(BINARY, limits(json!({"connections": 2})));
    let mut held = daemon.hold("a", 1).remove(0);
    let mut publisher = daemon.begin_publishing("b", 3);
    let mut waiting = daemon.connect();
    waiting.post("/publisher/a", b"for who waits");
    daemon.until_logged("event=accept_paused");
    assert!(waiting.is_silent(A_WHILE));
    assert_eq!(publisher.send("one").answer().status, 202);
    // Nobody else comes who would remind the daemon of who waits.
    assert_eq!(waiting.answer().status, 201);
    assert!(publisher.ends());
    assert_eq!(held.answer().text(), "for who waits");
}

#[test]
fn who_has_asked_again_amid_a_crowd_does_not_make_room() {
    // More than the loop hears of in one turn.
    const CROWD: usize = 1500;
    let daemon = Daemon::start(BINARY, limits(json!({"connections": CROWD + 1})));
    let mut publisher = daemon.connect();
    let until_held = |publisher: &mut Client| {
        let line = format!("active subscribers: {CROWD}\r\n");
        until("all are held", || publisher.get("/publisher/a").answer().text().contains(&line));
    };
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| daemon.poll("a")).collect();
    until_held(&mut publisher);
    let mut cursor = String::new();
    assert_eq!(publisher.post("/publisher/a", b"one").answer().status, 201);
    for client in &mut crowd {
        cursor = client.answer().cursor();
        client.send(request("GET /subscriber/a", &cursor));
    }
    until_held(&mut publisher);
    // All at once: a message, the next requests (of the clients that are served first, last), and a
    // newcomer.
    daemon.signal("STOP");
    publisher.post("/publisher/a", b"two");
    for client in crowd.iter_mut().rev() {
        client.send(request("GET /subscriber/a", &cursor));
    }
    let newcomer = daemon.poll("b");
    daemon.signal("CONT");
    for client in &mut crowd {
        for _ in 0..2 {
            let answer = client.try_answer().expect("an answer to each request");
            assert_eq!((answer.status, answer.text()), (200, "two"));
        }
    }
    drop(newcomer);
}

#[test]
fn heads_over_a_limit_name_the_setting_and_are_told_of_once() {
    let small = json!({"header_bytes": 400, "headers": 4, "uri_bytes": 50});
    for (sent, setting) in [
        (request("GET /subscriber/a", &format!("A: {}\r\n", "x".repeat(400))), "header_bytes"),
        (request("GET /subscriber/a", &"A: b\r\n".repeat(4)), "headers"),
        (request(&format!("GET /{}", "x".repeat(50)), ""), "uri_bytes"),
    ] {
        let daemon = Daemon::start(BINARY, limits(small.clone()));
        for _ in 0..3 {
            let answer = daemon.ask(&sent).answer();
            assert!(answer.text().contains(&format!("limits.{setting}\n")), "{}", answer.text());
        }
        let line = daemon.until_logged("event=head_refused");
        assert!(line.contains("peer=127.0.0.1 ") && line.contains(setting), "{line}");
        let log = daemon.log();
        let told = log.iter().filter(|line| line.contains("event=head_refused")).count();
        assert_eq!(told, 1, "{log:?}");
    }
}
