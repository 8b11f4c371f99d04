//! The inspector on the real binary: where it opens, what its page may do, and that the data need
//! the secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use pushserver_testkit::{Backend, Daemon, Manner, until};

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

/// The events of the daemon, of this kind.
fn events(daemon: &Daemon, kind: &str) -> Vec<Value> {
    let head = "GET /pushserver/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer word\r\n\r\n";
    let answer: Value = serde_json::from_str(daemon.ask(head).answer().text()).unwrap();
    let events = answer["events"].as_array().unwrap().iter();
    events.filter(|event| event["k"] == kind).cloned().collect()
}

#[test]
fn what_became_of_notices_is_shown_with_what_to_do() {
    for (manner, result, fix) in [
        (Some(Manner::Answers(204)), "204", None),
        (Some(Manner::Answers(403)), "403", Some("check passthrough_secret (or INTERNAL_IPS)")),
        (Some(Manner::Answers(400)), "400", Some("add the host of passthrough to ALLOWED_HOSTS")),
        (Some(Manner::Answers(404)), "404", Some("check passthrough: include(")),
        (Some(Manner::Answers(302)), "302", Some("set passthrough to the URL")),
        (Some(Manner::Answers(500)), "500", Some("see the application's log: its view")),
        (Some(Manner::Answers(409)), "409", Some("see the application's log: it refuses")),
        (None, "failed", Some("start the application, or check passthrough")),
    ] {
        let backend = manner.map(Backend::that);
        let url = backend.as_ref().map_or("http://127.0.0.1:1/told".to_owned(), Backend::url);
        let daemon = Daemon::start(
            BINARY,
            json!({"locations": [
                {"type": "status", "prefix": "/pushserver/", "secret": "word", "inspector": true},
                {"type": "publisher", "prefix": "/publisher/"},
                {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true,
                 "passthrough": format!("{url}?key=hush"), "passthrough_secret": "hush"}]}),
        );
        let held = daemon.poll("room");
        until("the notice is shown", || !events(&daemon, "notice").is_empty());
        let notice = &events(&daemon, "notice")[0];
        assert_eq!((&notice["ch"], &notice["what"]), (&json!("room"), &json!("subscribe")));
        assert_eq!((&notice["result"], &notice["url"]), (&json!(result), &json!(url)));
        match fix {
            None => assert_eq!(notice.get("fix"), None),
            Some(fix) => assert!(notice["fix"].as_str().unwrap().starts_with(fix), "{notice}"),
        }
        drop(held);
        until("the other end is told", || events(&daemon, "notice").len() == 2);
        assert_eq!(events(&daemon, "notice")[1]["what"], "unsubscribe");
        assert!(!format!("{:?}", events(&daemon, "notice")).contains("hush"));
    }
}

#[test]
fn who_reads_goes_on_where_it_was_though_recording_ends_and_begins_anew() {
    let settings = |inspector: bool| {
        json!({"locations": [
            {"type": "status", "prefix": "/pushserver/", "secret": "word", "inspector": inspector},
            {"type": "publisher", "prefix": "/publisher/"}]})
    };
    let daemon = Daemon::start(BINARY, settings(true));
    let ask = |name: &str| {
        let head = "HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer word\r\n\r\n";
        daemon.ask(format!("GET /pushserver/{name} {head}")).answer()
    };
    let events = |after: u64| -> Value {
        serde_json::from_str(ask(&format!("events?after={after}")).text()).expect("it is JSON")
    };
    for _ in 0..3 {
        daemon.publish("room", "seen");
    }
    let seen = events(0)["next"].as_u64().expect("a number");
    daemon.publish("room", "not read");
    daemon.reload(settings(false));
    assert_eq!(ask("events").status, 404);
    daemon.publish("room", "not recorded");
    daemon.reload(settings(true));
    daemon.publish("room", "new");
    let told = events(seen);
    let previews: Vec<_> =
        told["events"].as_array().expect("a list").iter().map(|event| &event["preview"]).collect();
    assert_eq!((previews, &told["lost"]), (vec![&json!("new")], &json!(1)), "{told}");
    // Nor does a counter begin anew.
    let metrics = ask("metrics");
    assert!(metrics.text().contains("\npushserver_messages_published_total 6\n"));
}
