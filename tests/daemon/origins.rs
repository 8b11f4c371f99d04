//! Web pages whose origin is not listed: the browser keeps the answer from them and does not say
//! why, so the log does.

use serde_json::{Value, json};

use pushserver_testkit::{Daemon, settings};

use crate::BINARY;

fn with(publisher: Value, subscriber: Value) -> Daemon {
    let mut settings = settings();
    settings["locations"] = json!([
        {"type": "publisher", "prefix": "/publisher/", "allow_origin": publisher},
        {"type": "subscriber", "prefix": "/subscriber/", "polling": "interval",
         "create_on_get": true, "allow_origin": subscriber},
        {"type": "publisher", "prefix": "/nobody/"},
        {"type": "publisher", "prefix": "/elsewhere/", "allow": ["192.0.2.1"]},
    ]);
    Daemon::start(BINARY, settings)
}

fn ask(daemon: &Daemon, line: &str, origin: &str) -> u16 {
    let head = format!("{line} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n\r\n");
    daemon.connect().send(head).answer().status
}

/// The lines that tell of an origin, once the daemon has logged all.
fn told(daemon: &Daemon) -> Vec<String> {
    daemon.signal("USR1");
    daemon.until_logged("event=counters");
    daemon.log().iter().filter(|line| line.contains("event=origin_not_listed")).cloned().collect()
}

#[test]
fn a_subscriber_from_another_origin_is_logged_once_with_what_is_allowed() {
    let daemon = with(json!("http://a.example"), json!(["http://a.example", "http://b.example"]));
    assert_eq!(ask(&daemon, "GET /subscriber/a", "http://a.example"), 304);
    assert_eq!(ask(&daemon, "GET /subscriber/a", "http://A.example"), 304);
    assert_eq!(ask(&daemon, "OPTIONS /subscriber/a", "http://c.example"), 204);
    assert_eq!(ask(&daemon, "PUT /nobody/a", "http://c.example"), 403);
    let lines = told(&daemon);
    // One for each reason: pages that publish are another matter.
    assert_eq!(lines.len(), 2, "{lines:?}");
    let what = "origin=\"http://A.example\" allowed=\"http://a.example http://b.example\" \
                location=subscriber times=1 \
                fix=\"add \\\"http://A.example\\\" to locations[1].allow_origin\"";
    assert!(lines[0].contains(what), "{}", lines[0]);
    let what = "origin=\"http://c.example\" allowed=\"\" location=publisher times=1 \
                fix=\"set locations[2].allow_origin to [\\\"http://c.example\\\"], if its pages may\"";
    assert!(lines[1].contains(what), "{}", lines[1]);
}

#[test]
fn a_page_that_may_not_publish_is_logged() {
    for (line, allowed) in [
        ("POST /publisher/a", "http://a.example"),
        ("OPTIONS /publisher/a", "http://a.example"),
        ("PUT /nobody/a", ""),
    ] {
        let daemon = with(json!("http://a.example"), json!("*"));
        // Neither is for want of an origin.
        assert_eq!(ask(&daemon, "GET /subscriber/a", "http://c.example"), 304);
        assert_eq!(ask(&daemon, "PUT /elsewhere/a", "http://c.example"), 403);
        ask(&daemon, line, "null");
        let lines = told(&daemon);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let what = format!("origin=\"null\" allowed=\"{allowed}\" location=publisher times=1 ");
        assert!(lines[0].contains(&what), "{}", lines[0]);
    }
}

#[test]
fn what_is_logged_of_origins_is_escaped_and_short() {
    let many: Vec<String> = (0..40).map(|n| format!("http://h{n}.example")).collect();
    let daemon = with(json!("*"), json!(many));
    let origin = format!("x\" event=stop \u{e9}{}", "y".repeat(5_000));
    assert_eq!(ask(&daemon, "GET /subscriber/a", &origin), 304);
    let lines = told(&daemon);
    assert!(lines[0].contains("origin=\"x\\\" event=stop \\xc3\\xa9yyy"), "{}", lines[0]);
    assert!(lines[0].contains("http://h4.example …\" location="), "{}", lines[0]);
    assert!(lines[0].len() < 600, "{} bytes", lines[0].len());
}
