//! Refusing: Redis is there, and refuses all that is asked, or some of it.

use std::time::{Duration, Instant};

use serde_json::json;

use pushserver_testkit::redis::Connection;
use pushserver_testkit::{Daemon, Redis, Start, Stream, counters, merge, request, until};

use crate::BINARY;
use crate::crowd::{Crowd, Told};
use crate::proxy::{Manner, PASSES, Proxy, most_in_a_second};
use crate::scene::{
    SOON, ask, assert_at_once, assert_away, daemon, kept, settings, store, timed, until_up,
};

/// Sends a command whose answer comes when the state that it begins is over.
fn begin(redis: &Redis, words: &[&str]) -> Connection {
    let mut connection = redis.connect();
    let mut bytes = Vec::new();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    pushserver::store::redis::resp::write_command(&words, &mut bytes);
    connection.send(&bytes);
    connection
}

/// Waits until a server answers PING with an error that begins so.
#[track_caller]
fn until_refusing(redis: &Redis, code: &str) {
    until(code, || format!("{:?}", redis.answer(&["PING"])).contains(&bytes_of(code)));
}

/// As `Debug` shows them in a value.
fn bytes_of(text: &str) -> String {
    let all = format!("{:?}", text.as_bytes());
    all.trim_end_matches(']').to_owned()
}

#[test]
fn read_only() {
    let redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    let mut crowd = Crowd::gather(&daemon);
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    crowd.outlast(Told::AtOnce);
    redis.ask(&["REPLICAOF", "NO", "ONE"]);
    crowd.go_on(Instant::now());
}

#[test]
fn loading() {
    let redis = Redis::start(&[
        &["enable-debug-command", "yes"],
        &["rdbcompression", "no"],
        &["loading-process-events-interval-bytes", "1024"],
    ]);
    let daemon = daemon(redis.address());
    let mut crowd = Crowd::gather(&daemon);
    redis.ask(&["DEBUG", "POPULATE", "1000", "k", "2000"]);
    redis.ask(&["CONFIG", "SET", "key-load-delay", "20000"]);
    let mut loading = begin(&redis, &["DEBUG", "RELOAD"]);
    until_refusing(&redis, "LOADING");
    crowd.outlast(Told::AtOnce);
    redis.ask(&["CONFIG", "SET", "key-load-delay", "0"]);
    loading.receive();
    crowd.go_on(Instant::now());
}

#[test]
fn busy_with_a_script() {
    let redis = Redis::start(&[&["busy-reply-threshold", "50"]]);
    let daemon = daemon(redis.address());
    let mut crowd = Crowd::gather(&daemon);
    let mut script = begin(&redis, &["EVAL", "while true do end", "0"]);
    until_refusing(&redis, "BUSY");
    crowd.outlast(Told::AtOnce);
    redis.ask(&["SCRIPT", "KILL"]);
    script.receive();
    crowd.go_on(Instant::now());
}

#[test]
fn paused() {
    let redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    let mut crowd = Crowd::gather(&daemon);
    redis.ask(&["CLIENT", "PAUSE", "8000", "ALL"]);
    crowd.outlast(Told::AfterTimeout);
    // Answered when it is over.
    redis.ask(&["PING"]);
    crowd.go_on(Instant::now());
}

/// Lines that tell of a change of state.
fn told(daemon: &Daemon) -> Vec<String> {
    let is_told = |line: &String| line.contains("event=redis_");
    daemon.log().into_iter().filter(is_told).collect()
}

#[test]
fn with_another_password() {
    let redis = Redis::start(&[&["requirepass", "s3cret"]]);
    let proxy = Proxy::before(redis.address());
    let mut store = store(proxy.address());
    store["password"] = "s3cret".into();
    let daemon = Daemon::start(BINARY, settings(store));
    let mut crowd = Crowd::gather(&daemon);
    proxy.take_dials();
    let mut operator = redis.connect();
    operator.ask(&["AUTH", "s3cret"]);
    operator.ask(&["CONFIG", "SET", "requirepass", "another"]);
    operator.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    crowd.outlast(Told::AtOnce);
    let told = told(&daemon);
    assert!(
        told.last().is_some_and(|line| line.contains("check username and password")),
        "{told:?}"
    );
    assert!(told.len() <= 3, "{told:?}");
    assert!(!daemon.log().iter().any(|line| line.contains("s3cret")));
    operator.ask(&["CONFIG", "SET", "requirepass", "s3cret"]);
    crowd.go_on(Instant::now());
    let dials = most_in_a_second(&proxy.take_dials());
    // The second one a moment too soon, as the machine is busy.
    assert!((1..=2).contains(&dials), "{dials} in a second");
}

#[test]
fn with_another_password_until_the_settings_have_it() {
    let redis = Redis::start(&[&["requirepass", "another"]]);
    let mut with = store(redis.address());
    with["password"] = "s3cret".into();
    let daemon = Daemon::start(BINARY, settings(with.clone()));
    let mut held = daemon.poll("a");
    daemon.until_logged("check username and password");
    assert_away(&daemon.publish("a", "m"));
    with["password"] = "another".into();
    daemon.reload(settings(with));
    assert_at_once("is up", || until_up(&daemon));
    daemon.until_held("a", 1);
    assert_eq!(daemon.publish("a", "m").status, 201);
    assert_eq!(held.answer().text(), "m");
}

#[test]
fn without_a_right() {
    let redis = Redis::start(&[]);
    redis.ask(&["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all"]);
    let proxy = Proxy::before(redis.address());
    let mut store = store(proxy.address());
    merge(&mut store, json!({"username": "app", "password": "pass"}));
    let daemon = Daemon::start(BINARY, settings(store));
    let mut crowd = Crowd::gather(&daemon);
    proxy.take_dials();
    redis.ask(&["ACL", "SETUSER", "app", "-evalsha", "-eval"]);
    crowd.outlast(Told::AtOnce);
    let told = told(&daemon);
    assert!(told.iter().any(|line| line.contains("NOPERM")), "{told:?}");
    assert!(told.len() <= 8, "{told:?}");
    redis.ask(&["ACL", "SETUSER", "app", "+evalsha", "+eval"]);
    crowd.go_on(Instant::now());
    let dials = most_in_a_second(&proxy.take_dials());
    assert!((1..=2).contains(&dials), "{dials} in a second");
}

#[test]
fn out_of_memory() {
    let redis = Redis::start(&[&["maxmemory-policy", "noeviction"]]);
    let daemon = daemon(redis.address());
    daemon.publish("a", "before");
    let cursor = daemon.poll("a").answer().cursor();
    let mut held = daemon.ask(request("GET /subscriber/a", &cursor));
    daemon.until_held("a", 1);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..2 {
        for answer in [daemon.publish("a", "never"), ask(&daemon, "PUT /publisher/put")] {
            assert_eq!(answer.status, 507, "{}", answer.head);
            assert!(answer.text().contains("maxmemory"), "{}", answer.text());
        }
    }
    assert_eq!(ask(&daemon, "GET /publisher/a").status, 200);
    assert_eq!(ask(&daemon, "GET /now/a").text(), "before");
    assert_eq!(daemon.poll("a").answer().text(), "before");
    let mut new = daemon.poll("new");
    daemon.until_held("new", 1);
    assert_eq!(counters(&daemon)["default_redis_up"], 1);
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(daemon.publish("a", "after").status, 201);
    assert_eq!(held.answer().text(), "after");
    assert_eq!(daemon.publish("new", "after").status, 201);
    assert_eq!(new.answer().text(), "after");
    assert_eq!(kept(&daemon, "a"), ["before", "after"]);
    assert_eq!(ask(&daemon, "GET /publisher/put").status, 404);
}

#[test]
fn a_key_of_another_type_is_in_the_way_of_its_channel_alone() {
    let redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    redis.ask(&["SET", "{\0a}s", "in the way"]);
    for _ in 0..3 {
        assert_away(&daemon.publish("a", "never"));
        for line in ["GET /now/a", "GET /publisher/a", "DELETE /publisher/a", "GET /subscriber/a"] {
            assert_away(&ask(&daemon, line));
        }
    }
    let events = request("GET /subscriber/a", "Accept: text/event-stream\r\n");
    assert_away(&daemon.ask(events).answer());
    let mut held = daemon.hold("b", 1);
    assert_eq!(daemon.publish("b", "m").status, 201);
    assert_eq!(held[0].answer().text(), "m");
    let lines = daemon.log();
    let lines: Vec<_> = lines.iter().filter(|line| line.contains("redis_refused")).collect();
    assert!(lines.len() == 1 && lines[0].contains("channel=\"\\x00a\""), "{lines:?}");
    assert_eq!(counters(&daemon)["default_redis_up"], 1);
    redis.ask(&["DEL", "{\0a}s"]);
    assert_eq!(daemon.publish("a", "m").status, 202);
    assert_eq!(kept(&daemon, "a"), ["m"]);
}

#[test]
fn rubbish_instead_of_its_protocol() {
    let long = vec![b'x'; 64 << 10].leak();
    for rubbish in [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$99999999999\r\n", &*long] as [&[u8]; 3]
    {
        let redis = Redis::start(&[]);
        let proxy = Proxy::before(redis.address());
        let daemon = daemon(proxy.address());
        let mut crowd = Crowd::gather(&daemon);
        let before_kib = daemon.vitals().anonymous_kib();
        proxy.take_dials();
        proxy.set(Manner::Talks(rubbish));
        crowd.outlast(Told::AtOnce);
        let grown_kib = daemon.vitals().anonymous_kib().saturating_sub(before_kib);
        assert!(grown_kib < 8 << 10, "{grown_kib} KiB");
        proxy.set(PASSES);
        crowd.go_on(Instant::now());
        let dials = most_in_a_second(&proxy.take_dials());
        assert!((1..=12).contains(&dials), "{dials} in a second");
    }
}

#[test]
fn a_daemon_starts_while_redis_is_away_and_says_so() {
    let mut redis = Redis::start(&[]);
    redis.kill(pushserver_testkit::redis::Data::Lost);
    let (daemon, took) = timed(|| Start::with(BINARY, settings(store(redis.address()))).start());
    assert!(took < SOON, "{took:?}");
    daemon.until_logged("event=redis_away store=default");
    assert_away(&daemon.publish("a", "never"));
    assert!(daemon.connect().post("/here/publisher/a", b"m").answer().status < 300);
    let mut held = daemon.poll("a");
    let mut stream = Stream::events(daemon.connect(), "/subscriber/a");
    redis.revive();
    let (_, took) = timed(|| until_up(&daemon));
    assert!(took < Duration::from_secs(3), "{took:?}");
    daemon.until_held("a", 2);
    assert_eq!(daemon.publish("a", "m").status, 201);
    assert_eq!(held.answer().text(), "m");
    assert_eq!(stream.message().body, b"m");
}

#[test]
fn a_server_that_evicts_is_warned_of_once() {
    let redis = Redis::start(&[&["maxmemory-policy", "allkeys-lru"]]);
    let daemon = daemon(redis.address());
    redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    daemon.until_logged("maxmemory-policy is allkeys-lru");
    until_up(&daemon);
    let warned = |line: &&String| line.contains("redis_evicts");
    assert_eq!(daemon.log().iter().filter(warned).count(), 1);
}

/// All daemons would go at once, and what they hold with them.
#[test]
fn a_daemon_whose_redis_is_away_is_ready_and_its_metrics_say_so() {
    let mut redis = Redis::start(&[]);
    let mut settings = settings(store(redis.address()));
    let status = json!({"type": "status", "prefix": "/pushserver/"});
    settings["locations"].as_array_mut().expect("a list").push(status);
    let daemon = Daemon::start(BINARY, settings);
    let ask = |name: &str| daemon.ask(request(&format!("GET /pushserver/{name}"), "")).answer();
    let is_up = |value: u8| {
        let metrics = ask("metrics").text().to_owned();
        metrics.lines().any(|line| {
            line.starts_with("pushserver_redis_up{") && line.ends_with(&format!(" {value}"))
        })
    };
    until("Redis is known to be there", || is_up(1));
    redis.kill(pushserver_testkit::redis::Data::Lost);
    until("Redis is known to be away", || is_up(0));
    for name in ["healthz", "readyz"] {
        assert_eq!(ask(name).status, 200, "{name}");
    }
}
