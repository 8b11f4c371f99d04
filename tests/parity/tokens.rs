//! Signed locations: nginx asks the application, which here lets in who has the token `good`, and
//! is answered as the daemon answers. What the real view says is tested with Django.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use pushserver_testkit::backend::Seen;
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::transcripts::targets::{Server, complete};
use pushserver_testkit::{Daemon, Upstream};
use serde_json::{Value, json};

use crate::BINARY;
use crate::nginx::{Nginx, configuration};

fn settings(passthrough: Option<&str>) -> Value {
    let mut subscriber = json!({"type": "subscriber", "prefix": "/s/", "create_on_get": true, "signed": true,
               "polling": "interval"});
    if let Some(url) = passthrough {
        subscriber["passthrough"] = url.into();
    }
    json!({"signing_keys": SIGNING_KEYS, "locations": [
        subscriber,
        {"type": "publisher", "prefix": "/p/", "signed": true},
        {"type": "publisher", "prefix": "/both/", "signed": true, "secret": "word"},
        {"type": "publisher", "prefix": "/open/"},
    ]})
}

/// An application that lets in who has this token or the word, and tells of each request.
fn application(good: &str) -> (String, Receiver<Seen>) {
    let upstream = Upstream::start();
    let url = upstream.url();
    let (good, (tell, seen)) = (good.to_owned(), channel());
    thread::spawn(move || {
        for client in upstream.connections {
            let (good, tell): (String, Sender<Seen>) = (good.clone(), tell.clone());
            thread::spawn(move || {
                let mut client = client;
                while let Some(request) = Seen::of(&mut client) {
                    let named = |name| request.header(name).unwrap_or_default().to_owned();
                    let is_good = named("X-Original-URI").contains(&good)
                        || named("Authorization").contains(&good)
                        || named("X-Original-URI").starts_with("/both/")
                            && named("Authorization") == "Bearer word";
                    let status = match is_good {
                        true => "200 OK",
                        false => "401 Unauthorized\r\nWWW-Authenticate: Bearer",
                    };
                    client.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
                    if tell.send(request).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

/// The statuses of the answers to these requests.
fn statuses(server: &impl Server, requests: &[String]) -> Vec<u16> {
    let status = |request: &String| {
        let answer = server.connect().send(request).answer();
        let says_why = answer.header("WWW-Authenticate").is_some_and(|why| why.contains("Bearer"));
        assert_eq!(says_why, answer.status == 401, "{}", answer.head);
        answer.status
    };
    requests.iter().map(status).collect()
}

#[test]
fn nginx_asks_the_application_and_answers_as_the_daemon() {
    let now_s = pushserver::clock::unix_time().0;
    let good = sign(SIGNING_KEYS[0], &json!({"c": "a", "e": 600, "a": "pub"}), now_s);
    let to_read = sign(SIGNING_KEYS[0], &json!({"c": "a", "e": 600}), now_s);
    let get = |path: &str, lines: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n")
    };
    let post = |path: &str, lines: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\
             Content-Length: 2\r\n\r\nhi"
        )
    };
    let bearer = format!("Authorization: Bearer {good}\r\n");
    for (token, requests, wanted) in [
        (
            &good,
            vec![
                post("/p/a", ""),
                post("/p/a?token=x", ""),
                post(&format!("/p/a?token={good}"), ""),
                post("/p/a", &bearer),
                post("/both/a", ""),
                post("/both/a", "Authorization: Bearer word\r\n"),
                post("/both/a", &bearer),
            ],
            vec![401, 401, 202, 202, 401, 202, 202],
        ),
        (
            &to_read,
            vec![
                post("/open/a", ""),
                get("/s/a", ""),
                get("/s/a?token=x", ""),
                get(
                    &format!("/s/a?_=1&token={to_read}"),
                    "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
                ),
                get(&format!("/s/a?_=1&token={to_read}"), "If-None-Match: \"0\"\r\n"),
            ],
            vec![202, 401, 401, 200, 200],
        ),
    ] {
        let (url, seen) = application(token);
        let settings = settings(Some(&format!("{url}/push/")));
        let daemon = Daemon::start(BINARY, complete(&settings));
        assert_eq!(statuses(&daemon, &requests), wanted, "the daemon");
        let nginx = Nginx::start(complete(&settings));
        assert_eq!(statuses(&nginx, &requests), wanted, "nginx: {}", nginx.log());
        for request in seen.try_iter().filter(|one| one.head.contains("X-Original-URI")) {
            assert!(
                request.head.starts_with("GET /push/authorize HTTP/1.1\r\n"),
                "{}",
                request.head
            );
            assert!(request.header("If-Modified-Since").is_none(), "{}", request.head);
            let method = request.header("X-Original-Method").expect("the method").to_owned();
            let is_read = request.header("X-Original-URI").expect("a target").starts_with("/s/");
            assert_eq!(method, if is_read { "GET" } else { "POST" });
        }
    }
}

#[test]
fn where_nobody_can_be_asked_nobody_gets_in() {
    let settings = settings(None);
    let mut fixed = settings.clone();
    fixed["port"] = json!(1);
    let text = configuration(&fixed.to_string());
    assert!(text.contains("return 403.\n    location = /pushserver-authorize {\n        internal;\n        return 403;"), "{text}");
    let nginx = Nginx::start(complete(&settings));
    let request = "GET /s/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned();
    let inside = request.replace("/s/a", "/pushserver-authorize");
    assert_eq!(statuses(&nginx, &[request, inside]), [403, 404]);
}
