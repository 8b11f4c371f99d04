//! Secrets of the settings and of requests are shown to nobody: not in the log at its fullest, not
//! in an answer, not in a message about wrong settings.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use pushserver_testkit::{Backend, Daemon, Manner, Redis, Start, until};

use crate::BINARY;

const SECRET: &str = "hush-publisher";
const PASSTHROUGH: &str = "hush-passthrough";

fn settings(passthrough: &str) -> Value {
    json!({"locations": [
        {"type": "publisher", "prefix": "/publisher/", "secret": SECRET},
        {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true,
         "passthrough": format!("{passthrough}?token=hush-query"),
         "passthrough_secret": PASSTHROUGH},
    ]})
}

fn has_secret(text: &str) -> bool {
    text.contains("hush")
}

fn shows_no_secret(daemon: &Daemon) {
    for line in daemon.log() {
        assert!(!has_secret(&line), "{line}");
    }
}

#[test]
fn no_answer_and_no_log_line_shows_a_secret() {
    let backend = Backend::that(Manner::Answers(500));
    let start = Start::with(BINARY, settings(&backend.url())).args(["-v", "--access-log"]);
    let daemon = start.env("RUST_LOG", "trace").start();
    let mut client = daemon.connect();
    for (authorization, status) in [
        ("Bearer hush-wrong", 401),
        ("Bearer hush-publishe", 401),
        ("Basic aHVzaA==", 401),
        (&*format!("Bearer {SECRET}"), 202),
    ] {
        let answer = client
            .send(format!(
                "POST /publisher/a?access_token=hush HTTP/1.1\r\nHost: a\r\n\
                 Authorization: {authorization}\r\nCookie: hush\r\nContent-Length: 4\r\n\r\nhush"
            ))
            .answer();
        assert_eq!(answer.status, status, "{authorization}");
        assert!(!has_secret(&answer.head) && !has_secret(answer.text()), "{answer:?}");
    }
    // A notice that is refused, and a request that cannot be read.
    drop(daemon.poll("held"));
    daemon.until_logged("event=passthrough_refused");
    let mut client = daemon.connect();
    let answer = client.send("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization : hush\r\n\r\n").answer();
    assert!(answer.status == 400 && !has_secret(answer.text()), "{answer:?}");
    shows_no_secret(&daemon);
}

#[test]
fn a_password_that_redis_refuses_is_in_no_log_line() {
    let redis = Redis::start(&[]);
    redis.ask(&["CONFIG", "SET", "requirepass", "another"]);
    let (host, port) = (redis.address().ip(), redis.address().port());
    let store = json!({"type": "redis", "host": host, "port": port, "message_timeout": 60,
        "username": "default", "password": "hush-redis"});
    let mut settings = settings("http://127.0.0.1:1/");
    settings["store"] = store;
    let start = Start::with(BINARY, settings).args(["-v"]).env("RUST_LOG", "trace");
    let daemon = start.start();
    daemon.until_logged("cause=\"refused, check username and password: WRONGPASS");
    shows_no_secret(&daemon);
}

#[test]
fn settings_that_are_refused_while_running_show_no_secret() {
    let daemon = Daemon::start(BINARY, settings("http://127.0.0.1:1/"));
    let mut wrong = settings("http://127.0.0.1:1/");
    for (key, value) in [
        ("secret", json!(["hush"])),
        ("secret", json!("hush hush")),
        ("secert", json!("hush")),
        ("type", json!("subscriber")),
    ] {
        wrong["locations"][0] = json!({"type": "publisher", "prefix": "/", "secret": SECRET});
        wrong["locations"][0][key] = value;
        let file = daemon.file("settings.json");
        fs::write(&file, wrong.to_string()).unwrap();
        let refused = || daemon.log().iter().filter(|line| line.contains("refused")).count();
        let before = refused();
        daemon.signal("HUP");
        until("it is refused", || refused() > before);
    }
    shows_no_secret(&daemon);
}

#[test]
fn settings_that_are_refused_at_the_start_show_no_secret() {
    let publisher = |secret: Value| json!({"locations": [{"type": "publisher", "prefix": "/", "secret": secret}]});
    let subscriber = |key: &str, value: &str| {
        let mut location = json!({"type": "subscriber", "prefix": "/"});
        location[key] = value.into();
        json!({"locations": [location]})
    };
    let redis = |key: &str, value: Value| {
        let mut store = json!({"type": "redis", "password": "hush-redis"});
        store[key] = value;
        json!({ "store": store })
    };
    for settings in [
        redis("host", json!("redis://:hush@127.0.0.1")),
        redis("password", json!(["hush"])),
        redis("password", json!({"value": "hush"})),
        redis("password", json!({"env": "hush!"})),
        redis("port", json!(0)),
        redis("sentinel", json!({"master": "m", "nodes": [], "password": "hush"})),
        publisher(json!(["hush"])),
        publisher(json!({"hush": "hush"})),
        publisher(json!("hush\r\nhush")),
        subscriber("passthrough_secret", "hush hush"),
        subscriber("passthrough", "http://me:hush@127.0.0.1/"),
        subscriber("passthrough", "http://127.0.0.1/ ?hush"),
        json!({"allrequests": "http://me:hush@127.0.0.1:1"}),
        json!({"allrequests": "http://127.0.0.1:1", "allrequests_secret": ["hush"]}),
        json!({"allrequests": "http://127.0.0.1:1", "allrequests_secret": "hush hush"}),
        json!({"publisher_host": "http://me:hush@127.0.0.1:1"}),
    ] {
        let Output { status, stdout, stderr } = Start::with(BINARY, settings.clone()).output();
        assert_eq!(status.code(), Some(2), "{settings}");
        for text in [stdout, stderr] {
            let text = String::from_utf8(text).unwrap();
            assert!(!has_secret(&text), "{text}");
        }
    }
}
