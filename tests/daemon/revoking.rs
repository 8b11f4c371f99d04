//! Access that is taken back: who has it loses it at once, and has it no more after a reload.

use serde_json::{Value, json};

use pushserver::clock::unix_time;
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::{Answer, Client, Daemon, counters, request, until};

use crate::BINARY;

fn settings() -> Value {
    json!({
        "signing_keys": SIGNING_KEYS,
        "limits": {"revocations": 2},
        "locations": [
            {"type": "status", "prefix": "/", "secret": "a-secret-word"},
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/", "signed": true, "create_on_get": true},
        ],
    })
}

/// The path of a channel, with a token that was signed now.
fn path(channel: &str, user: &str) -> String {
    let claims = json!({"c": channel, "u": user, "e": 600});
    format!("/subscriber/{channel}?token={}", sign(SIGNING_KEYS[0], &claims, unix_time().0))
}

fn revoke(daemon: &Daemon, form: &str) -> Answer {
    let length = form.len();
    let lines = format!(
        "Authorization: Bearer a-secret-word\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n"
    );
    daemon.connect().send(request("POST /revoke", &lines) + form).answer()
}

#[test]
fn thousands_of_requests_of_a_user_end_and_nobody_elses() {
    const MANY: usize = 2_000;
    let daemon = Daemon::start(BINARY, settings());
    let (path_of_user, path_of_other) = (path("a", "42"), path("a", "43"));
    let hold = |path: &str| {
        let mut client = daemon.connect();
        client.get(path);
        client
    };
    let mut clients: Vec<Client> = (0..MANY).map(|_| hold(&path_of_user)).collect();
    let mut other = hold(&path_of_other);
    daemon.until_held("a", MANY + 1);
    assert_eq!(revoke(&daemon, "user=42").text(), format!("{{\"ended\": {MANY}}}"));
    assert_eq!(daemon.publish("a", "secret").status, 201);
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (403, false), "{}", answer.head);
    }
    assert_eq!(other.answer().text(), "secret");
    // They come back within milliseconds, on the connections that they have.
    for client in &mut clients {
        assert_eq!(client.get(&path_of_user).answer().status, 403);
    }
    assert_eq!(daemon.held("a"), 0);
    let counters = counters(&daemon);
    assert_eq!((counters["revocations"], counters["token_refusals_revoked"]), (1, MANY as u64));
    let line = daemon.until_logged("event=revoked");
    assert!(line.contains("scope=user ended=2000") && !line.contains("42"), "{line}");
}

#[test]
fn a_reload_forgets_no_revocation() {
    let daemon = Daemon::start(BINARY, settings());
    let mine = path("a", "42");
    assert_eq!(revoke(&daemon, "user=42&channel=a").text(), "{\"ended\": 0}");
    let mut other = settings();
    other["servername"] = "other".into();
    daemon.reload(other);
    let answer = daemon.connect().get(&mine).answer();
    assert_eq!((answer.status, answer.header("Server")), (403, Some("other")));
    assert_eq!(answer.text(), "access to this channel was taken back\n");
    let now_s = unix_time().0;
    until("the second is over", || unix_time().0 > now_s);
    let mut later = daemon.connect();
    later.get(&path("a", "42"));
    daemon.until_held("a", 1);
}

#[test]
fn the_log_tells_of_a_revocation_that_went_before_its_time_and_names_no_user() {
    let daemon = Daemon::start(BINARY, settings());
    let mine = path("a", "some-user");
    for user in ["some-user", "another-user", "a-third-user"] {
        assert_eq!(revoke(&daemon, &format!("user={user}")).status, 200);
    }
    daemon.until_logged("event=revocation_forgotten times=1");
    let mut held = daemon.connect();
    held.get(&mine);
    daemon.until_held("a", 1);
    assert_eq!(revoke(&daemon, "user=some-user").text(), "{\"ended\": 1}");
    assert_eq!(held.answer().status, 403);
    let log = daemon.log().join("\n");
    assert!(!log.contains("some-user") && !log.contains("a-secret-word"), "{log}");
}
