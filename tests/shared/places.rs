//! Places: where Redis is and who may do what there; and other settings while the daemon runs.

use std::fs;
use std::time::Duration;

use serde_json::json;

use pushserver_testkit::{Daemon, Redis, Start, Stream, merge, request, until};

use crate::BINARY;
use crate::scene::{ask, daemon, kept, settings, store, until_published, until_up};

/// Whether all that clients do is done there.
#[track_caller]
fn assert_serves(daemon: &Daemon) {
    until_up(daemon);
    let mut held = daemon.hold("serves", 1);
    let mut stream = Stream::events(daemon.connect(), "/list/serves,another");
    daemon.until_held("serves", 2);
    assert_eq!(daemon.publish("serves", "1").status, 201);
    assert_eq!(held[0].answer().text(), "1");
    assert_eq!(stream.message().number(), 1);
    assert_eq!(daemon.connect().post("/passing/another", b"2").answer().status, 201);
    assert_eq!(stream.message().number(), 2);
    assert_eq!(kept(daemon, "serves"), ["1"]);
    assert_eq!(ask(daemon, "GET /lasts/serves,another").text(), "1");
    for line in ["PUT /publisher/serves", "GET /publisher/serves", "DELETE /publisher/serves"] {
        assert_eq!(ask(daemon, line).status, 200, "{line}");
    }
    let refused = |line: &String| line.contains("redis_refused");
    assert!(!daemon.log().iter().any(refused), "{:?}", daemon.log());
}

#[test]
fn a_unix_socket() {
    let redis = Redis::start(&[&["port", "0"]]);
    let host = format!("unix:{}", redis.socket().display());
    let daemon = Daemon::start(BINARY, settings(json!({"type": "redis", "host": host})));
    assert_serves(&daemon);
}

#[test]
fn a_host_by_its_name() {
    let redis = Redis::start(&[&["bind", "127.0.0.1"]]);
    let port = redis.address().port();
    let store = json!({"type": "redis", "host": "localhost", "port": port});
    let daemon = Daemon::start(BINARY, settings(store));
    assert_serves(&daemon);
    // And again at each dial.
    redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_serves(&daemon);
}

#[test]
fn a_host_by_a_name_that_nobody_knows_is_said_and_asked_again() {
    let store = json!({"type": "redis", "host": "nowhere.invalid"});
    let daemon = Daemon::start(BINARY, settings(store));
    daemon.until_logged("event=redis_away store=default node=nowhere.invalid:6379");
    assert_eq!(daemon.publish("a", "m").status, 503);
}

/// The line of the documentation.
fn documented_rights() -> String {
    let text = fs::read_to_string("docs/operations.md").unwrap();
    let line = text.lines().find(|line| line.contains("+evalsha")).expect("it is there");
    line.to_owned()
}

#[test]
fn a_user_with_no_more_than_the_documented_rights() {
    let redis = Redis::start(&[]);
    let line = documented_rights();
    let words = line.trim().trim_start_matches("user ").trim_start_matches("ACL SETUSER ");
    let words: Vec<&str> = words.split_whitespace().skip(1).collect();
    let prefix = words.iter().find_map(|word| word.strip_prefix('~')).expect("keys");
    let prefix = prefix.trim_end_matches('*');
    let rights = words.iter().filter(|word| !word.starts_with('>') && **word != "on");
    let mut command = vec!["ACL", "SETUSER", "app", "reset", "on", ">pass"];
    command.extend(rights);
    redis.ask(&command);
    redis.ask(&["ACL", "SETUSER", "default", "off"]);
    let mut store = store(redis.address());
    merge(&mut store, json!({"username": "app", "password": "pass", "key_prefix": prefix}));
    let daemon = Daemon::start(BINARY, settings(store));
    assert_serves(&daemon);
}

#[test]
fn a_password_in_a_file_and_in_a_variable() {
    let redis = Redis::start(&[&["requirepass", "s3cret"]]);
    let with = |password| {
        let mut store = store(redis.address());
        store["password"] = password;
        settings(store)
    };
    let daemon =
        Start::with(BINARY, with(json!({"env": "SECRET"}))).env("SECRET", "s3cret").start();
    assert_serves(&daemon);
    let file = redis.file("password");
    fs::write(&file, "s3cret\n").unwrap();
    let daemon = Daemon::start(BINARY, with(json!({"file": file})));
    assert_serves(&daemon);
}

#[test]
fn databases_and_prefixes_are_apart() {
    let redis = Redis::start(&[]);
    let with = |more| {
        let mut store = store(redis.address());
        merge(&mut store, more);
        let daemon = Daemon::start(BINARY, settings(store));
        until_up(&daemon);
        daemon
    };
    let all = [json!({}), json!({"database": 1}), json!({"key_prefix": "b:"})].map(with);
    let mut held: Vec<_> = all.iter().map(|daemon| daemon.hold("a", 1).remove(0)).collect();
    for (index, daemon) in all.iter().enumerate() {
        assert_eq!(daemon.publish("a", index.to_string()).status, 201);
        assert_eq!(held[index].answer().text(), index.to_string());
        assert_eq!(kept(daemon, "a"), [index.to_string()]);
    }
}

#[test]
fn another_server_in_the_settings_is_dialled_and_who_waits_goes_on() {
    let (one, two) = (Redis::start(&[]), Redis::start(&[]));
    let daemon = daemon(one.address());
    until_published(&daemon, "a", "1");
    let first = daemon.poll("a").answer();
    let mut held = daemon.ask(request("GET /subscriber/a", &first.cursor()));
    let mut stream = Stream::events(daemon.connect(), "/subscriber/a");
    assert_eq!(stream.message().number(), 1);
    daemon.until_held("a", 2);
    daemon.reload(settings(store(two.address())));
    until_up(&daemon);
    daemon.until_held("a", 2);
    assert_eq!(daemon.publish("a", "2").status, 201);
    assert_eq!(held.answer().text(), "2");
    assert_eq!(stream.message().number(), 2);
    assert_eq!(kept(&daemon, "a"), ["2"]);
}

#[test]
fn other_limits_in_the_settings_hold_from_now_on() {
    let redis = Redis::start(&[]);
    let daemon = daemon(redis.address());
    let mut held = daemon.hold("other", 1);
    for number in 0..5 {
        daemon.publish("a", number.to_string());
    }
    let mut store = store(redis.address());
    store["max_messages"] = 2.into();
    daemon.reload(settings(store));
    daemon.publish("a", "5");
    assert_eq!(kept(&daemon, "a"), ["4", "5"]);
    // The connection was kept, and who waits.
    assert_eq!(daemon.publish("other", "m").status, 201);
    assert_eq!(held[0].answer().text(), "m");
    let ups = daemon.log().iter().filter(|line| line.contains("event=redis_up")).count();
    assert_eq!(ups, 1);
}

#[test]
fn a_user_may_be_served_for_long_without_traffic() {
    // Whoever asks nothing is asked: neither side ends a connection that is silent.
    let redis = Redis::start(&[&["timeout", "2"]]);
    let daemon = daemon(redis.address());
    let mut held = daemon.hold("a", 1);
    assert!(held[0].is_silent(Duration::from_millis(3500)));
    assert_eq!(daemon.publish("a", "m").status, 201);
    assert_eq!(held[0].answer().text(), "m");
    let ups = daemon.log().iter().filter(|line| line.contains("event=redis_up")).count();
    assert_eq!(ups, 1);
    until("it is up", || ask(&daemon, "GET /publisher/a").status == 200);
}
