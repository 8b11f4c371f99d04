//! Slow: every byte takes 80 ms to Redis, and as long back.

use std::time::Duration;

use pushserver_testkit::{Daemon, Redis, Stream, counters, request};

use crate::BINARY;
use crate::proxy::{Manner, Proxy};
use crate::scene::{SOON, ask, daemon, settings, store, timed, until_published};

/// One way.
const WAY: Duration = Duration::from_millis(80);

#[test]
fn each_question_takes_a_round_trip_and_what_is_known_none() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::before(redis.address());
    let daemon = daemon(proxy.address());
    proxy.set(Manner::Passes(WAY));
    let a_round_trip = 2 * WAY..2 * WAY + SOON;
    let (answer, took) = timed(|| daemon.publish("a", "1"));
    assert_eq!(answer.status, 202);
    assert!(a_round_trip.contains(&took), "{took:?}");
    let (first, took) = timed(|| daemon.poll("a").answer());
    assert!(a_round_trip.contains(&took), "a new poll: {took:?}");
    let mut held = daemon.ask(request("GET /subscriber/a", &first.cursor()));
    let mut stream = Stream::events(daemon.connect(), "/subscriber/a");
    assert_eq!(stream.message().number(), 1);
    daemon.until_held("a", 2);
    let (answer, took) = timed(|| daemon.publish("a", "2"));
    assert_eq!(answer.status, 201);
    assert!(a_round_trip.contains(&took), "{took:?}");
    // They were sent it no later than its publisher was told.
    let (second, took) = timed(|| held.answer());
    assert!(second.text() == "2" && took < WAY, "{took:?}");
    assert_eq!(stream.message().number(), 2);
    let hits = || counters(&daemon)["default_redis_mirror_hits"];
    let before = hits();
    let (answer, took) =
        timed(|| daemon.ask(request("GET /subscriber/a", &first.cursor())).answer());
    assert_eq!((answer.text(), hits()), ("2", before + 1));
    assert!(took < 2 * WAY, "a poll that is behind: {took:?}");
    for line in ["GET /now/a", "GET /publisher/a", "PUT /publisher/b", "DELETE /publisher/b"] {
        let (answer, took) = timed(|| ask(&daemon, line));
        assert_eq!(answer.status, 200);
        assert!(a_round_trip.contains(&took), "{line}: {took:?}");
    }
}

#[test]
fn publishers_do_not_wait_for_each_other() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::before(redis.address());
    // A busy machine may need longer than Redis is waited for.
    let mut with = store(proxy.address());
    with["timeout"] = 10.into();
    let daemon = Daemon::start(BINARY, settings(with));
    until_published(&daemon, "a", "m");
    proxy.set(Manner::Passes(WAY));
    let mut publishers: Vec<_> = (0..200).map(|_| daemon.connect()).collect();
    let (_, took) = timed(|| {
        for publisher in &mut publishers {
            publisher.post("/publisher/a", b"m");
        }
        publishers.iter_mut().for_each(|publisher| assert_eq!(publisher.answer().status, 202));
    });
    assert!(took < Duration::from_secs(5), "{took:?}, and not 32 s");
}

#[test]
fn who_does_not_wait_is_told_of_what_another_daemon_has_just_answered_for() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::before(redis.address());
    let [late, other] = [proxy.address(), redis.address()].map(daemon);
    other.publish("a", "0");
    let first = late.poll("a").answer();
    let mut held = late.ask(request("GET /subscriber/a", &first.cursor()));
    late.until_held("a", 1);
    proxy.set(Manner::Passes(WAY));
    assert_eq!(other.publish("a", "1").status, 201);
    let answer = late.ask(request("GET /now/a", &first.cursor())).answer();
    assert_eq!((answer.status, answer.text()), (200, "1"));
    assert_eq!(held.answer().text(), "1");
}
