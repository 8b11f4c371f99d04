//! The inspector on the real binary: where it opens, what its page may do, and that the data need
//! the secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use pushserver_testkit::Daemon;

use crate::BINARY;

/// What stands between the tags of the one element of this name.
fn content<'p>(page: &'p str, tag: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

#[test]
fn the_page_may_run_its_own_script_and_style_and_ask_its_own_server() {
    let settings = json!({"locations": [
        {"type": "status", "prefix": "/pushserver/", "secret": "word", "inspector": true},
        {"type": "publisher", "prefix": "/publisher/"}]});
    let daemon = Daemon::start(BINARY, settings);
    let answer = daemon.ask("GET /pushserver/ HTTP/1.1\r\nHost: a\r\n\r\n").answer();
    assert_eq!(answer.status, 200);
    let page = answer.text();
    let [script, style] =
        ["script", "style"].map(|tag| STANDARD.encode(Sha256::digest(content(page, tag))));
    let policy = format!(
        "Content-Security-Policy: default-src 'none'; script-src 'sha256-{script}'; style-src \
         'sha256-{style}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\n"
    );
    for line in [
        &*policy,
        "X-Content-Type-Options: nosniff\r\n",
        "Referrer-Policy: no-referrer\r\n",
        "Cache-Control: no-store\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
    ] {
        assert!(answer.head.contains(line), "{line} is not in {}", answer.head);
    }
    assert!(!answer.head.contains("Access-Control"), "{}", answer.head);
    daemon.publish("room", "one");
    let ask = |authorization: &str| {
        let line = format!("GET /pushserver/events HTTP/1.1\r\nHost: a\r\n{authorization}\r\n\r\n");
        daemon.ask(line).answer()
    };
    assert_eq!(ask("Accept: */*").status, 401);
    assert_eq!(ask("Authorization: Bearer other").status, 401);
    let events: Value = serde_json::from_str(ask("Authorization: Bearer word").text()).unwrap();
    let events = events["events"].as_array().unwrap();
    let published = events.iter().find(|event| event["k"] == "publish").unwrap();
    assert_eq!((&published["ch"], &published["preview"]), (&json!("room"), &json!("one")));
    assert!(published["t"].as_f64().unwrap() > 1_700_000_000.0);
    assert_eq!(events.iter().filter(|event| event["why"] == "secret").count(), 2);
}

#[test]
fn an_option_prints_once_where_the_inspector_opens() {
    let mut child = Command::new(BINARY)
        .args(["--port", "0", "--inspect"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let [listening, link] = [(); 2].map(|()| lines.next().unwrap().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let address = listening.strip_prefix("listening on ").unwrap();
    let secret = link.strip_prefix(&format!("Inspector: {address}/pushserver/#token=")).unwrap();
    assert!(secret.len() == 43 && !secret.contains(['+', '/', '=']), "{link}");
    assert!(lines.next().is_none(), "nothing else is printed");
}
