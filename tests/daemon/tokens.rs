//! Signed URLs on sockets: what Django is told of a token's user, what becomes of tokens when the
//! keys are changed, what is counted, and that nobody is shown a token or a key.

use serde_json::{Value, json};

use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::{Backend, Daemon, Manner, Start};

use crate::BINARY;

/// A key that the daemon has after a reload.
const NEXT_KEY: &str = "bmV4dCBuZXh0IG5leHQgbmV4dCBuZXh0IG5leHQgISE";

fn settings(keys: &[&str], passthrough: &str) -> Value {
    json!({
        "signing_keys": keys,
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true,
             "signed": true, "passthrough": passthrough},
            {"type": "subscriber", "prefix": "/several/", "create_on_get": true, "signed": true,
             "delimiter": ",", "passthrough": passthrough},
        ]
    })
}

fn token(key: &str, claims: &Value) -> String {
    sign(key, claims, pushserver::clock::unix_time().0)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")
}

#[test]
fn the_user_of_a_token_goes_to_django() {
    let backend = Backend::that(Manner::Answers(200));
    let start = Start::with(BINARY, settings(&SIGNING_KEYS, &backend.url()));
    let daemon = start.start();
    let forged = "X-Pushserver-User: 1\r\nx-pushserver-user: 1\r\nX_Pushserver_User: 1\r\n\
        X-Pushserver_User: 1\r\n";
    for (user, told) in [
        (json!("42"), Some("42")),
        (json!("j@example.com:1+2"), Some("j@example.com:1+2")),
        (json!("jö 100%\r\nX-Evil: 1"), Some("j%C3%B6%20100%25%0D%0AX-Evil:%201")),
        (json!(null), None),
    ] {
        let mut claims = json!({"c": ["a", "b"], "e": 60});
        if user.is_string() {
            claims["u"] = user;
        }
        let token = token(SIGNING_KEYS[0], &claims);
        let bearer = format!("{forged}Authorization: Bearer {token}\r\n");
        let basic = format!("{forged}Authorization: Basic dTpw\r\n");
        let in_query = |path: &str| get(&format!("{path}?token={token}&x=1"), &basic);
        let requests = [
            (in_query("/subscriber/a"), 1, Some("Basic dTpw")),
            (get("/subscriber/a", &bearer), 1, None),
            (in_query("/several/a,b"), 2, Some("Basic dTpw")),
            (get("/several/a,b", &format!("Accept: text/event-stream\r\n{bearer}")), 2, None),
        ];
        for (request, channels, authorization) in requests {
            let client = daemon.ask(request);
            let mut client = Some(client);
            for notice in 0..2 * channels {
                let seen = backend.next();
                assert_eq!(seen.header("X-Pushserver-User"), told, "{}", seen.head);
                assert_eq!(seen.header("Authorization"), authorization, "{}", seen.head);
                let lower = seen.head.to_lowercase();
                assert_eq!(lower.matches("pushserver").count(), usize::from(told.is_some()));
                assert!(!lower.contains("\r\nx-evil"), "{}", seen.head);
                assert!(!seen.head.contains(&token) && !seen.body.contains("token"));
                if notice + 1 == channels {
                    drop(client.take());
                }
            }
        }
    }
}

#[test]
fn keys_that_are_gone_after_a_reload_open_nothing_more_and_who_is_held_stays() {
    let start = Start::with(BINARY, settings(&SIGNING_KEYS[..1], "http://127.0.0.1:9/"));
    let daemon = start.start();
    let (old, new) = (
        token(SIGNING_KEYS[0], &json!({"c": "a", "e": 600})),
        token(NEXT_KEY, &json!({"c": "a", "e": 600})),
    );
    let ask = |daemon: &Daemon, token: &str| {
        let mut client = daemon.ask(get(&format!("/subscriber/none?token={token}"), ""));
        client.answer().status
    };
    let mut held = daemon.ask(get(&format!("/subscriber/a?token={old}"), ""));
    daemon.until_held("a", 1);
    daemon.reload(settings(&[NEXT_KEY, SIGNING_KEYS[0]], "http://127.0.0.1:9/"));
    let mut second = daemon.ask(get(&format!("/subscriber/a?token={new}"), ""));
    daemon.until_held("a", 2);
    daemon.reload(settings(&[NEXT_KEY], "http://127.0.0.1:9/"));
    assert_eq!(ask(&daemon, &old), 401);
    daemon.publish("a", "hello");
    assert_eq!((held.answer().status, second.answer().status), (200, 200));
    assert_eq!(held.send(get(&format!("/subscriber/a?token={old}"), "")).answer().status, 401);
}

#[test]
fn refused_tokens_are_counted_by_what_is_wrong_and_shown_to_nobody() {
    let start = Start::with(BINARY, settings(&SIGNING_KEYS, "http://127.0.0.1:9/"));
    let daemon = start.args(["-v", "--access-log"]).env("RUST_LOG", "trace").start();
    let now_s = pushserver::clock::unix_time().0;
    let good = token(SIGNING_KEYS[0], &json!({"c": "a", "e": 600, "u": "hush-user"}));
    let other = token(SIGNING_KEYS[0], &json!({"c": "b", "e": 600}));
    let late = sign(SIGNING_KEYS[1], &json!({"c": "a", "e": 5}), now_s - 60);
    let mut client = daemon.connect();
    for (path, header) in [
        ("/subscriber/a".to_owned(), String::new()),
        (format!("/subscriber/a?token={other}"), String::new()),
        (format!("/subscriber/a?token=x{good}"), String::new()),
        ("/subscriber/a".to_owned(), format!("Authorization: Bearer {other}\r\n")),
        (format!("/subscriber/a?token={late}"), String::new()),
        (format!("/subscriber/a?token={late}"), "Accept: text/event-stream\r\n".to_owned()),
    ] {
        let answer = client.send(get(&path, &header)).answer();
        assert_eq!(answer.status, 401, "{path}");
        for shown in [&answer.head, answer.text()] {
            assert!(!shown.contains("eyJ"), "{shown}");
        }
    }
    let held = daemon.ask(get(&format!("/subscriber/a?token={good}"), ""));
    daemon.until_held("a", 1);
    // A request that cannot be read, with a token in its target and in its head.
    let mut broken = daemon.ask(format!(
        "GET /subscriber/a?token={good} HTTP/1.1\r\nHost: a\r\nAuthorization : {good}\r\n\r\n"
    ));
    assert_eq!(broken.answer().status, 400);
    drop(held);
    daemon.signal("USR1");
    let line = daemon.until_logged("event=counters");
    let figures = " token_refusals_none=1 token_refusals_invalid=3 token_refusals_expired=2 ";
    assert!(line.contains(figures), "{line}");
    for line in daemon.log() {
        for secret in ["eyJ", "hush-user", "?token", SIGNING_KEYS[0], SIGNING_KEYS[1]] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn who_is_at_the_wrong_host_or_address_hears_nothing_of_tokens() {
    let far = json!({"type": "publisher", "prefix": "/far/", "signed": true,
        "allow": ["192.0.2.0/24"]});
    let mut settings = settings(&SIGNING_KEYS, "http://127.0.0.1:9/");
    settings["locations"].as_array_mut().expect("a list").push(far);
    let daemon = Start::with(BINARY, settings).start();
    let host = format!("Host: evil.example:{}", daemon.address().port());
    let good = token(SIGNING_KEYS[0], &json!({"c": "a", "e": 60}));
    let publishes = token(SIGNING_KEYS[0], &json!({"c": "a", "e": 60, "a": "pub"}));
    for query in [String::new(), "?token=x".to_owned(), format!("?token={good}")] {
        let elsewhere = get(&format!("/subscriber/a{query}"), "");
        let elsewhere = elsewhere.replace("Host: a", &host);
        assert_eq!(daemon.ask(elsewhere).answer().status, 421, "{query}");
    }
    for query in [String::new(), "?token=x".to_owned(), format!("?token={publishes}")] {
        assert_eq!(daemon.ask(get(&format!("/far/a{query}"), "")).answer().status, 403, "{query}");
    }
}
