//! Restarts: another Redis answers, with the data of the one before, with some of it or without;
//! and a sentinel says where.

use std::time::{Duration, Instant};

use serde_json::json;

use pushserver::store::redis::resp::Value;
use pushserver_testkit::redis::{Data, Sentinel};
use pushserver_testkit::{Daemon, Redis, Stream, request, until};

use crate::BINARY;
use crate::crowd::{Crowd, RECOVERY, until_away};
use crate::scene::{ask, daemon, kept, settings, until_published};

/// So long a server may take to greet.
const GREETING: Duration = Duration::from_secs(2);

#[test]
fn without_its_data() {
    let mut redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    let crowd = Crowd::gather(&daemon);
    until_published(&daemon, "gone", "1");
    let before = daemon.poll("gone").answer();
    redis.kill(Data::Lost);
    until_away(&daemon);
    redis.revive();
    crowd.go_on(Instant::now());
    assert_eq!(kept(&daemon, "a"), ["after"]);
    for line in ["GET /now/gone", "GET /publisher/gone", "DELETE /publisher/gone"] {
        assert_eq!(ask(&daemon, line).status, 404, "{line}");
    }
    // A new poll is well, and its place is before what comes: ids go on.
    let mut held = daemon.ask(request("GET /subscriber/gone", &before.cursor()));
    daemon.until_held("gone", 1);
    assert_eq!(daemon.publish("gone", "2").status, 201);
    let after = held.answer();
    assert_eq!(after.text(), "2");
    assert_ne!(after.cursor(), before.cursor());
    assert_eq!(kept(&daemon, "gone"), ["2"]);
}

#[test]
fn with_what_it_wrote_down_before_it_was_killed() {
    let mut redis = Redis::start(&[&["appendonly", "yes"], &["appendfsync", "always"]]);
    let daemon = daemon(redis.address());
    let crowd = Crowd::gather(&daemon);
    for number in 0..100 {
        assert_eq!(daemon.publish("b", number.to_string()).status, 202);
    }
    redis.kill(Data::Written);
    until_away(&daemon);
    redis.revive();
    crowd.go_on(Instant::now());
    assert_eq!(kept(&daemon, "a"), ["before", "after"]);
    let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(kept(&daemon, "b"), all);
}

#[test]
fn again_and_again_while_messages_come() {
    let mut redis = Redis::start(&[&["appendonly", "yes"], &["appendfsync", "always"]]);
    let daemon = daemon(redis.address());
    let mut streams = [
        Stream::events(daemon.connect(), "/subscriber/a"),
        Stream::socket_with_ids(daemon.connect(), "/subscriber/a"),
        Stream::events(daemon.connect(), "/list/a,b"),
    ];
    let (mut cursor, mut client) = (String::new(), daemon.connect());
    daemon.until_held("a", 3);
    for number in 0..60 {
        if number % 20 == 10 {
            redis.kill(Data::Written);
            redis.revive();
        }
        // One that was not answered was perhaps published: so each has a name of its own.
        let mut tries = 0;
        until("it is published", || {
            tries += 1;
            daemon.publish("a", format!("{number} {tries}")).status < 300
        });
        let last = format!("{number} {tries}");
        for stream in &mut streams {
            while stream.message().body != last.as_bytes() {}
        }
        loop {
            let answer = client.send(request("GET /subscriber/a", &cursor)).answer();
            assert_eq!((answer.status, answer.header("X-Push-Gap")), (200, None));
            cursor = answer.cursor();
            if answer.text() == last {
                break;
            }
        }
    }
}

/// A store in what the sentinel calls `m`.
fn found_by(sentinel: &Sentinel) -> serde_json::Value {
    let node = sentinel.tcp().to_string();
    // One that is not there is passed over.
    let absent = pushserver_testkit::redis::refusing().to_string();
    json!({"type": "redis", "sentinel": {"master": "m", "nodes": [absent, node]}})
}

fn is_master(redis: &Redis) -> bool {
    let Value::List(role) = redis.answer(&["ROLE"]) else { return false };
    matches!(&role[..], [Value::Text(role), ..] if **role == *b"master")
}

/// Waits until one that was a master is a replica. It ends connections meanwhile.
#[track_caller]
fn until_following(redis: &Redis) {
    until("it follows", || redis.log().contains("turning into a replica"));
}

#[test]
fn a_failover_is_followed() {
    let mut master = Redis::start(&[]);
    let replica = master.replica();
    let sentinel = Sentinel::of("m", master.address());
    let daemon = Daemon::start(BINARY, settings(found_by(&sentinel)));
    let crowd = Crowd::gather(&daemon);
    master.kill(Data::Lost);
    until_away(&daemon);
    // It takes the sentinel longer than this: half a second to see it, and the promotion.
    until("it is promoted", || is_master(&replica));
    crowd.go_on(Instant::now());
    assert_eq!(kept(&daemon, "a"), ["before", "after"]);
    let log = daemon.until_logged(&format!("node={}", replica.address()));
    assert!(log.contains("event=redis_up"), "{log}");
}

#[test]
fn a_frozen_master_is_left_for_the_next_and_says_nothing_when_it_wakes() {
    let master = Redis::start(&[]);
    let replica = master.replica();
    let sentinel = Sentinel::of("m", master.address());
    let daemon = Daemon::start(BINARY, settings(found_by(&sentinel)));
    let crowd = Crowd::gather(&daemon);
    master.signal("STOP");
    for _ in 0..3 {
        assert_eq!(daemon.publish("a", "never").status, 503);
    }
    until("it is promoted", || is_master(&replica));
    // It may just have been dialled: for a greeting, and a sentinel that names the next one later.
    crowd.go_on_within(RECOVERY + 3 * GREETING / 2, Instant::now());
    master.signal("CONT");
    // It does what it was asked while it was a master, and then follows the next one.
    until_following(&master);
    assert_eq!(kept(&daemon, "a"), ["before", "after"]);
    let mut held = daemon.hold("b", 1);
    assert_eq!(daemon.publish("b", "m").status, 201);
    assert_eq!(held[0].answer().text(), "m");
}

#[test]
fn a_master_that_steps_down_is_left_at_once() {
    let master = Redis::start(&[]);
    let replica = master.replica();
    let sentinel = Sentinel::of("m", master.address());
    let daemon = Daemon::start(BINARY, settings(found_by(&sentinel)));
    let crowd = Crowd::gather(&daemon);
    sentinel.fail_over("m");
    // Until the sentinel has told it, which may take its ten seconds, the old one is a master, too.
    until_following(&master);
    assert!(is_master(&replica));
    crowd.go_on(Instant::now());
    assert_eq!(kept(&daemon, "a"), ["before", "after"]);
}
