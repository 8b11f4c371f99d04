//! Many: more than may be under way at once, of commands and of bytes, and publishers that do not
//! wait for their answer.

use std::time::Instant;

use serde_json::json;

use pushserver_testkit::{Daemon, Redis, counters, merge, post, until};

use crate::BINARY;
use crate::crowd::TIMEOUT;
use crate::proxy::{Manner, PASSES, Proxy};
use crate::scene::{SOON, assert_away, daemon, kept, settings, store, timed, until_published};

#[test]
fn more_publishers_than_may_wait_are_refused_at_once() {
    let redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    // From now on Redis knows the script.
    daemon.publish("b", "before");
    redis.signal("STOP");
    let begin = Instant::now();
    let mut waiting: Vec<_> =
        (0..1024).map(|_| daemon.ask(post("/publisher/a", b"never"))).collect();
    // The signal takes its time: until then some are published.
    let (answer, took) = timed(|| daemon.publish("a", "never"));
    assert_away(&answer);
    let is_before_the_first = begin.elapsed() < TIMEOUT;
    assert!(took <= SOON || !is_before_the_first, "{took:?}");
    let answers: Vec<_> = waiting.iter_mut().map(|publisher| publisher.answer()).collect();
    answers.iter().for_each(assert_away);
    assert!(begin.elapsed() <= 2 * TIMEOUT, "{:?}", begin.elapsed());
    redis.signal("CONT");
    until_published(&daemon, "a", "after");
    assert_eq!(kept(&daemon, "a"), ["after"]);
}

#[test]
fn more_bytes_than_may_wait_are_refused_and_not_kept() {
    let redis = Redis::start(&[]);
    let mut with = settings(store(redis.address()));
    merge(&mut with, json!({"limits": {"body_bytes": 8 << 20}}));
    let daemon = Daemon::start(BINARY, with);
    until_published(&daemon, "b", "before");
    redis.signal("STOP");
    let before_kib = daemon.vitals().resident_kib();
    let body = vec![b'x'; 4 << 20];
    for _ in 0..4 {
        let mut all: Vec<_> = (0..10).map(|_| daemon.ask(post("/publisher/a", &body))).collect();
        all.iter_mut().for_each(|publisher| assert_away(&publisher.answer()));
    }
    let grown_kib = daemon.vitals().peak_kib().saturating_sub(before_kib);
    // What waits is there twice: as it goes out, and to be sent again; and one upload of each.
    assert!(grown_kib < 160 << 10, "{grown_kib} KiB");
    redis.signal("CONT");
    until_published(&daemon, "a", "after");
    assert_eq!(kept(&daemon, "a"), ["after"]);
    until("nothing is left of it", || {
        let counted = counters(&daemon);
        (counted["uploads"], counted["default_redis_in_flight"]) == (0, 0)
    });
}

#[test]
fn a_publisher_that_goes_does_not_undo_its_message() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::before(redis.address());
    let daemon = daemon(proxy.address());
    let mut held = daemon.hold("a", 1);
    proxy.set(Manner::Holds);
    let in_flight = || counters(&daemon)["default_redis_in_flight"];
    let publisher = daemon.ask(post("/publisher/a", b"m"));
    until("it is on its way", || in_flight() == 1);
    publisher.reset();
    proxy.set(PASSES);
    assert_eq!(held[0].answer().text(), "m");
    assert_eq!(kept(&daemon, "a"), ["m"]);
}
