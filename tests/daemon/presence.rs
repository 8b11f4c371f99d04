//! Who is on a channel, as Django is told and as a status location says: with polls that come and
//! go, and a Django that does.

use std::time::Duration;

use serde_json::{Value, json};

use pushserver::clock::unix_time;
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::{
    Answer, Backend, Client, Daemon, Manner, Start, Stream, counters, merge, request, until,
};

use crate::BINARY;

/// Long enough for a member to come back within it on a busy machine.
const GRACE_S: f64 = 1.0;

fn settings(backend: &Backend, more: Value) -> Value {
    let mut location = json!({"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true,
        "passthrough": backend.url(), "passthrough_events": "debounced",
        "passthrough_secret": "django", "presence_grace": GRACE_S});
    merge(&mut location, more);
    json!({
        "signing_keys": SIGNING_KEYS,
        "locations": [
            {"type": "status", "prefix": "/", "secret": "status"},
            {"type": "publisher", "prefix": "/publisher/"},
            location,
            {"type": "subscriber", "prefix": "/signed/", "create_on_get": true, "signed": true,
                "passthrough": backend.url(), "passthrough_events": "debounced",
                "passthrough_secret": "django", "presence_grace": GRACE_S},
        ],
    })
}

fn daemon(backend: &Backend, more: Value) -> Daemon {
    Daemon::start(BINARY, settings(backend, more))
}

/// Asks for the next message behind a cursor, with a session.
fn ask(client: &mut Client, channel: &str, session: &str, cursor: Option<&str>) {
    let mut lines = format!("Cookie: sessionid={session}\r\n");
    if let Some((time, tag)) = cursor.and_then(|cursor| cursor.split_once('|')) {
        lines.push_str(&format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n"));
    }
    client.send(request(&format!("GET /subscriber/{channel}"), &lines));
}

fn hold(daemon: &Daemon, channel: &str, session: &str) -> Client {
    let mut client = daemon.connect();
    ask(&mut client, channel, session, None);
    client
}

fn status(daemon: &Daemon, query: &str) -> Value {
    let line = "Authorization: Bearer status\r\n";
    let answer = daemon.connect().send(request(&format!("GET /presence?{query}"), line)).answer();
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

/// The next notice: the value of its first field, what it says, and the others.
#[track_caller]
fn told(backend: &Backend) -> (String, String) {
    let seen = backend.next();
    assert_eq!(seen.header("X-Pushserver-Secret"), Some("django"));
    let (body, instance) = seen.body.rsplit_once("&instance=").expect("each names this run");
    let (_, instance) = (assert_eq!(instance.len(), 8), instance);
    (without_member(body), instance.to_owned())
}

/// A form without the hash of a session.
fn without_member(body: &str) -> String {
    let fields = body.split('&').map(|field| match field.starts_with("member=s%3A") {
        true => "member=s",
        false => field,
    });
    fields.collect::<Vec<_>>().join("&")
}

#[track_caller]
fn assert_told(backend: &Backend, expected: &str) {
    assert_eq!(told(backend).0, expected);
}

#[track_caller]
fn assert_reset(backend: &Backend) -> String {
    let (body, instance) = told(backend);
    assert_eq!(body, "reset=1");
    instance
}

fn revoke(daemon: &Daemon, form: &str) -> Answer {
    let lines = format!(
        "Authorization: Bearer status\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n",
        form.len()
    );
    daemon.connect().send(request("POST /revoke", &lines) + form).answer()
}

#[test]
fn a_hundred_messages_to_a_member_are_one_join_and_no_leave() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({}));
    let mut client = hold(&daemon, "a", "x");
    assert_reset(&backend);
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
    for number in 0..100 {
        daemon.until_held("a", 1);
        assert_eq!(daemon.publish("a", format!("{number}")).status, 201);
        let answer = client.answer();
        assert_eq!(answer.text(), format!("{number}"));
        let cursor = format!(
            "{}|{}",
            answer.header("Last-Modified").unwrap(),
            answer.header("Etag").unwrap()
        );
        ask(&mut client, "a", "x", Some(&cursor));
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.until_held("a", 1);
    assert!(backend.poll().is_none());
    let members = status(&daemon, "channel=a");
    assert_eq!((&members["count"], &members["members"][0]["holds"]), (&json!(1), &json!(1)));
    drop(client);
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=0&reason=gone");
    assert_eq!(status(&daemon, "channel=a")["count"], 0);
}

#[test]
fn a_page_that_is_loaded_anew_and_one_of_two_tabs_that_is_closed_are_told_to_nobody() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({}));
    let first = hold(&daemon, "a", "x");
    assert_reset(&backend);
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
    drop(first);
    daemon.until_held("a", 0);
    assert_eq!(status(&daemon, "channel=a")["members"][0]["here"], false);
    let second = hold(&daemon, "a", "x");
    daemon.until_held("a", 1);
    let third = hold(&daemon, "a", "x");
    daemon.until_held("a", 2);
    assert_eq!(status(&daemon, "channel=a")["members"][0]["holds"], 2);
    drop(second);
    daemon.until_held("a", 1);
    // Whatever the first two had brought would have come by then.
    let other = hold(&daemon, "a", "y");
    assert_told(&backend, "channel_id=a&join=1&member=s&members=2");
    drop(other);
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=1&reason=gone");
    drop(third);
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=0&reason=gone");
}

#[test]
fn a_leave_that_django_was_not_there_for_is_told_once_and_late() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({"presence_grace": 0.1}));
    let client = hold(&daemon, "a", "x");
    assert_reset(&backend);
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
    backend.becomes(Manner::Answers(503));
    drop(client);
    let leave = "channel_id=a&leave=1&member=s&members=0&reason=gone";
    // At once, and a second and two more later.
    assert_told(&backend, leave);
    assert_told(&backend, leave);
    backend.becomes(Manner::Answers(200));
    assert_told(&backend, leave);
    until("it is over", || counters(&daemon)["presence_members"] == 0);
    assert!(backend.poll().is_none());
    // What was undone before it was told is not told.
    backend.becomes(Manner::Answers(503));
    let client = hold(&daemon, "a", "x");
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
    drop(client);
    until("it is over", || counters(&daemon)["presence_members"] == 0);
    assert!(backend.poll().is_none());
}

#[test]
fn each_way_to_leave_has_its_reason_and_two_of_them_wait_for_nobody() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({"presence_grace": 0.1, "concurrency": "last"}));
    let first = hold(&daemon, "a", "x");
    assert_reset(&backend);
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
    let mut second = hold(&daemon, "a", "y");
    assert_told(&backend, "channel_id=a&join=1&member=s&members=2");
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=1&reason=displaced");
    daemon.publish("a", "last");
    assert_eq!(second.answer().text(), "last");
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=0&reason=silent");
    drop(first);
    // With a grace that nobody waits for.
    daemon.reload(settings(&backend, json!({"presence_grace": 300})));
    let stream = Stream::events(daemon.connect(), "/subscriber/b");
    let (joined, _) = told(&backend);
    assert!(joined.starts_with("channel_id=b&join=1&member=c%3A"), "{joined}");
    daemon.connect().send("DELETE /publisher/b HTTP/1.1\r\nHost: a\r\n\r\n").answer();
    let (left, _) = told(&backend);
    assert!(left.ends_with("&members=0&reason=deleted"), "{left}");
    drop(stream);
    // A member is let in no more, with whatever connection.
    let _third = hold(&daemon, "d", "z");
    assert_told(&backend, "channel_id=d&join=1&member=s&members=1");
    let member = status(&daemon, "channel=d")["members"][0]["member"].clone();
    let form = format!("member={}", member.as_str().unwrap());
    assert_eq!(revoke(&daemon, &form).text(), "{\"ended\": 1}");
    assert_told(&backend, "channel_id=d&leave=1&member=s&members=0&reason=revoked");
    assert_eq!(hold(&daemon, "d", "z").answer().status, 403);
    let mut other = hold(&daemon, "d", "zz");
    assert_told(&backend, "channel_id=d&join=1&member=s&members=1");
    assert!(other.is_silent(Duration::ZERO));
}

#[test]
fn the_user_of_a_token_is_the_member_with_all_connections_and_channels() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({}));
    let path = |channel: &str| {
        let claims = json!({"c": channel, "u": "ä 4&2", "e": 600});
        format!("/signed/{channel}?token={}", sign(SIGNING_KEYS[0], &claims, unix_time().0))
    };
    let mut clients: Vec<Client> = ["a", "a", "b"]
        .into_iter()
        .map(|channel| {
            let mut client = daemon.connect();
            client.send(request(&format!("GET {}", path(channel)), "Cookie: sessionid=x\r\n"));
            client
        })
        .collect();
    assert_reset(&backend);
    let of = |channel: &str| {
        format!(
            "channel_id={channel}&join=1&member=u%3A%C3%A4%204%262&user=%C3%A4%204%262&members=1"
        )
    };
    let mut joins = [told(&backend).0, told(&backend).0];
    joins.sort();
    assert_eq!(joins, [of("a"), of("b")]);
    until("all are there", || status(&daemon, "channel=a")["members"][0]["holds"] == 2);
    let user = status(&daemon, "user=%C3%A4%204%262");
    let ids: Vec<_> =
        user["channels"].as_array().unwrap().iter().map(|one| &one["channel"]).collect();
    assert_eq!((ids.len(), &user["next"]), (2, &Value::Null));
    assert!(ids.contains(&&json!("a")) && ids.contains(&&json!("b")));
    assert_eq!(revoke(&daemon, "member=u:%C3%A4%204%262").text(), "{\"ended\": 3}");
    for client in &mut clients {
        assert_eq!(client.answer().status, 403);
    }
}

#[test]
fn a_daemon_that_was_killed_is_followed_by_a_reset_and_whoever_is_there_joins() {
    let backend = Backend::that(Manner::Answers(200));
    let mut daemon = daemon(&backend, json!({}));
    let _client = hold(&daemon, "a", "x");
    let instance = assert_reset(&backend);
    let join = "channel_id=a&join=1&member=s&members=1";
    assert_told(&backend, join);
    daemon.signal("KILL");
    daemon.wait();
    // A reset that is not taken is told again before anything else.
    backend.becomes(Manner::Answers(500));
    let daemon = Start::with(BINARY, settings(&backend, json!({}))).start();
    let client = hold(&daemon, "a", "x");
    assert_ne!(assert_reset(&backend), instance);
    backend.becomes(Manner::Answers(200));
    assert_reset(&backend);
    assert_told(&backend, join);
    // One that stops in good order says of nobody that he leaves.
    let mut daemon = daemon;
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    drop(client);
    assert!(backend.poll().is_none());
}

#[test]
fn members_and_their_grace_outlast_a_reload() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({}));
    let (gone, stays) = (hold(&daemon, "a", "x"), hold(&daemon, "b", "y"));
    assert_reset(&backend);
    told(&backend);
    told(&backend);
    drop(gone);
    daemon.until_held("a", 0);
    daemon.reload(settings(&backend, json!({"timeout": 7})));
    assert_told(&backend, "channel_id=a&leave=1&member=s&members=0&reason=gone");
    assert_eq!(status(&daemon, "channel=b")["count"], 1);
    drop(stays);
    assert_told(&backend, "channel_id=b&leave=1&member=s&members=0&reason=gone");
}

#[test]
fn beyond_the_limit_new_members_are_counted_and_not_told_of() {
    let backend = Backend::that(Manner::Answers(200));
    let mut settings = settings(&backend, json!({"presence_grace": 0.1}));
    settings["limits"] = json!({"presence_members": 2});
    let daemon = Daemon::start(BINARY, settings);
    let clients: Vec<Client> = (0..5).map(|n| hold(&daemon, "a", &n.to_string())).collect();
    daemon.until_held("a", 5);
    assert_reset(&backend);
    told(&backend);
    told(&backend);
    let counted = counters(&daemon);
    assert_eq!((counted["presence_members"], counted["presence_untracked"]), (2, 3));
    let line = daemon.until_logged("event=presence_full");
    assert!(line.contains("limits.presence_members"), "{line}");
    drop(clients);
    told(&backend);
    told(&backend);
    until("all have left", || counters(&daemon)["presence_members"] == 0);
    let _client = hold(&daemon, "a", "new");
    assert_told(&backend, "channel_id=a&join=1&member=s&members=1");
}

#[test]
fn without_a_passthrough_members_are_known_and_nobody_is_told() {
    let daemon = Daemon::start(
        BINARY,
        json!({"locations": [
            {"type": "status", "prefix": "/", "secret": "status"},
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true,
                "presence": true, "presence_grace": 0.1},
        ]}),
    );
    let client = hold(&daemon, "a", "x");
    daemon.until_held("a", 1);
    assert_eq!(status(&daemon, "channel=a")["count"], 1);
    drop(client);
    until("it has left", || counters(&daemon)["presence_members"] == 0);
    assert_eq!(counters(&daemon)["passthrough_sent"], 0);
}

#[test]
fn names_of_any_bytes_are_told_and_shown_as_they_are() {
    let backend = Backend::that(Manner::Answers(200));
    let daemon = daemon(&backend, json!({}));
    let id = "a%26b%3D%2B%25%FF";
    let _held = hold(&daemon, id, "x");
    assert_reset(&backend);
    assert_told(&backend, &format!("channel_id={id}&join=1&member=s&members=1"));
    let shown = status(&daemon, &format!("channel={id}"));
    assert_eq!((&shown["channel_base64"], &shown["count"]), (&json!("YSZiPSsl/w=="), &json!(1)));
    let claims = json!({"c": ["b"], "u": "Zo\u{eb} & 5%+=", "e": 3600});
    let token = sign(SIGNING_KEYS[0], &claims, unix_time().0);
    let mut client = daemon.connect();
    client.send(request(&format!("GET /signed/b?token={token}"), ""));
    let user = "Zo%C3%AB%20%26%205%25%2B%3D";
    let join = format!("channel_id=b&join=1&member=u%3A{user}&user={user}&members=1");
    assert_told(&backend, &join);
    assert_eq!(status(&daemon, &format!("user={user}"))["channels"][0]["channel"], "b");
}
