//! Scene: settings of a daemon whose store is in Redis, and short ways to ask it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use pushserver_testkit::{Answer, Daemon, request, until};

use crate::BINARY;

/// At once, as a client sees it.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(50);
/// No single answer that comes at once takes so long, be the machine as busy as it likes; half of
/// what Redis is waited for.
pub(crate) const SOON: Duration = Duration::from_millis(750);

/// A store in a server there.
pub(crate) fn store(at: SocketAddr) -> Value {
    json!({"type": "redis", "host": at.ip().to_string(), "port": at.port()})
}

/// Settings with such a store, and with another one in memory.
pub(crate) fn settings(store: Value) -> Value {
    let subscriber = |prefix: &str, more: Value| {
        let mut location = json!({"type": "subscriber", "prefix": prefix, "create_on_get": true});
        pushserver_testkit::merge(&mut location, more);
        location
    };
    json!({
        "store": {"default": store, "here": {"type": "memory"}},
        "locations": [
            {"type": "publisher", "prefix": "/publisher/"},
            {"type": "publisher", "prefix": "/passing/", "store_messages": false},
            {"type": "publisher", "prefix": "/here/publisher/", "store": "here"},
            subscriber("/subscriber/", json!({})),
            subscriber("/here/subscriber/", json!({"store": "here"})),
            subscriber("/brief/", json!({"timeout": 1})),
            subscriber("/newest/", json!({"first_message": "newest"})),
            subscriber("/last/", json!({"first_message": -2})),
            {"type": "subscriber", "prefix": "/made/"},
            {"type": "subscriber", "prefix": "/now/", "polling": "interval"},
            {"type": "subscriber", "url": "/list/(.+)", "delimiter": ",", "create_on_get": true},
            {"type": "subscriber", "url": "/lasts/(.+)", "delimiter": ",", "create_on_get": true,
                "first_message": -2},
        ],
    })
}

/// A daemon with such a store, which is up.
#[track_caller]
pub(crate) fn daemon(at: SocketAddr) -> Daemon {
    let daemon = Daemon::start(BINARY, settings(store(at)));
    until_up(&daemon);
    daemon
}

/// A request without a body, on a connection of its own.
#[track_caller]
pub(crate) fn ask(daemon: &Daemon, line: &str) -> Answer {
    daemon.ask(request(line, "")).answer()
}

/// Everything that is kept of a channel, from its beginning; nothing of one that does not exist.
#[track_caller]
pub(crate) fn kept(daemon: &Daemon, channel: &str) -> Vec<String> {
    let mut client = daemon.connect();
    let mut cursor = String::new();
    let mut bodies = Vec::new();
    loop {
        let answer = client.send(request(&format!("GET /now/{channel}"), &cursor)).answer();
        match answer.status {
            200 => {}
            304 | 404 => return bodies,
            _ => panic!("{}", answer.head),
        }
        cursor = answer.cursor();
        bodies.push(answer.text().to_owned());
    }
}

/// What `ask` gives, and how long that took.
pub(crate) fn timed<T>(ask: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let got = ask();
    (got, begin.elapsed())
}

/// Asks several times: some answers come at once, as they would if the machine was not busy, and
/// none so late as if Redis was waited for.
#[track_caller]
pub(crate) fn assert_at_once(what: &str, mut ask: impl FnMut()) {
    let mut times: Vec<Duration> = (0..7).map(|_| timed(&mut ask).1).collect();
    times.sort_unstable();
    assert!(times[1] <= AT_ONCE && times[6] <= SOON, "{what}: {times:?}");
}

/// The answer while Redis is away.
#[track_caller]
pub(crate) fn assert_away(answer: &Answer) {
    let retry = answer.header("Retry-After");
    assert_eq!((answer.status, retry), (503, Some("1")), "{}", answer.head);
}

/// Waits until the daemon says that its store is up.
#[track_caller]
pub(crate) fn until_up(daemon: &Daemon) {
    until("Redis is up", || ask(daemon, "GET /publisher/none").status == 404);
}

/// Waits until what was published is accepted; gives the answer.
#[track_caller]
pub(crate) fn until_published(daemon: &Daemon, channel: &str, body: &str) -> Answer {
    let mut published = None;
    until("it is published", || {
        let answer = daemon.publish(channel, body);
        let is_published = matches!(answer.status, 201 | 202);
        published = Some(answer);
        is_published
    });
    published.expect("waited for")
}
