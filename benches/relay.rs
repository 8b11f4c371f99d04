//! Relay: the cost of a delivery in the relay, without sockets. Prints nanoseconds to deliver to
//! one of 10,000 subscribers and to hold its next request, and to one of 10,000 streams, of one
//! channel and of several, and to answer a poll at once; the allocations for that; the bytes of
//! each of 100,000 held requests and streams; and the time for a large head in small pieces. Run
//! with `cargo bench --bench relay`.

mod support;

use std::net::{IpAddr, Ipv4Addr};

use pushserver::clock::Now;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Arrival, ConnKey, Input, Output, Payload, Relay, Wanted};
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};

const SUBSCRIBERS: usize = 10_000;
const IDLE: usize = 100_000;
const NOW: Now = Now::at(0, 1_450_755_280);
const ARRIVAL: Arrival = Arrival {
    peer: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    loopback_port: None,
    only_secure: false,
    secure: false,
};

const POST: &[u8] = b"POST /publisher/crowd HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// A request for several channels.
const SEVERAL: &str = "/several?channel=crowd&channel=other";

/// The headers that ask for each kind of stream.
const STREAMS: [(&str, &str); 2] = [
    ("event stream", "Accept: text/event-stream\r\n"),
    (
        "websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ),
];

fn main() {
    for (what, path) in [("relay", "/subscriber/crowd"), ("relay, several channels", SEVERAL)] {
        delivery(what, path);
    }
    for (name, headers) in STREAMS {
        streams(&format!("relay, {name}"), "/subscriber/crowd", headers);
        streams(&format!("relay, {name}, several channels"), SEVERAL, headers);
    }
    at_once();
    idle("long poll, all on one channel", 350.0, "", |_| "crowd".to_owned());
    idle("long poll, each on its own channel", 600.0, "", |n| format!("user-{n}"));
    for (name, headers) in STREAMS {
        idle(&format!("{name}, all on one channel"), 400.0, headers, |_| "crowd".to_owned());
    }
    pieces();
    revocation();
    tokens();
}

fn relay() -> Relay {
    let settings = serde_json::json!({"locations": [
        {"type": "publisher", "prefix": "/publisher/"},
        {"type": "subscriber", "prefix": "/subscriber/", "create_on_get": true},
        {"type": "subscriber", "url": "/several", "query": "channel", "create_on_get": true},
        {"type": "subscriber", "prefix": "/at-once/", "create_on_get": true, "polling": "interval"},
    ]});
    with_settings(&settings)
}

fn with_settings(settings: &serde_json::Value) -> Relay {
    let (text, source) = (settings.to_string(), Source::of(None, false));
    let config = Config::parse(text.as_bytes(), source, Overrides::default()).expect("settings");
    Relay::new(&config.relay_options(), config.hub_options(MessageId::default(), 1), NOW)
}

fn drain(relay: &mut Relay) -> usize {
    let mut sent = 0;
    while let Some(output) = relay.poll_output(Wanted::All, NOW) {
        sent += usize::from(matches!(output, Output::Send { .. }));
    }
    sent
}

/// The fields that ask for what comes behind an answer.
fn cursor(answer: &Payload) -> String {
    let head = String::from_utf8_lossy(answer.slices(0).0);
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {head}")).trim().to_owned()
    };
    format!(
        "If-Modified-Since: {}\r\nIf-None-Match: {}\r\n",
        field("Last-Modified:"),
        field("Etag:")
    )
}

fn delivery(what: &str, path: &str) {
    let mut relay = relay();
    let conns: Vec<ConnKey> = (0..SUBSCRIBERS).map(|_| relay.accept(ARRIVAL, NOW)).collect();
    let publisher = relay.accept(ARRIVAL, NOW);
    let mut fields = String::new();
    let round = || {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let start = std::time::Instant::now();
        for &conn in &conns {
            relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
        }
        assert_eq!(drain(&mut relay), 0, "all wait");
        let asked = start.elapsed();
        relay.handle_input(publisher, Input::Received(POST), NOW);
        let (mut sent, mut last) = (0, None);
        while let Some(output) = relay.poll_output(Wanted::All, NOW) {
            if let Output::Send { conn, payload, .. } = output {
                sent += 1;
                last = if conn == publisher { last } else { Some(payload) };
            }
        }
        let delivered = start.elapsed() - asked;
        assert_eq!(sent, SUBSCRIBERS + 1);
        fields = cursor(&last.expect("one was sent it"));
        (asked, delivered)
    };
    support::report_rounds(what, SUBSCRIBERS, [1000.0, 300.0], round);
}

fn streams(what: &str, path: &str, headers: &str) {
    let mut relay = relay();
    let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    for _ in 0..SUBSCRIBERS {
        let conn = relay.accept(ARRIVAL, NOW);
        relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
    }
    assert_eq!(drain(&mut relay), SUBSCRIBERS, "every stream has its head");
    let publisher = relay.accept(ARRIVAL, NOW);
    let round = || {
        let start = std::time::Instant::now();
        relay.handle_input(publisher, Input::Received(POST), NOW);
        assert_eq!(drain(&mut relay), SUBSCRIBERS + 1);
        start.elapsed()
    };
    support::report_streams(what, SUBSCRIBERS, 300.0, round);
}

/// Polls that are answered with a stored message, and those that find none behind the last.
fn at_once() {
    let mut relay = relay();
    let conn = relay.accept(ARRIVAL, NOW);
    relay.handle_input(conn, Input::Received(POST), NOW);
    assert_eq!(drain(&mut relay), 1);
    let mut fields = String::new();
    for (what, status) in [("a stored message", "200"), ("nothing new", "304")] {
        let get = format!("GET /at-once/crowd HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
        let Some(Output::Send { payload, .. }) = relay.poll_output(Wanted::All, NOW) else {
            panic!("it is answered at once");
        };
        let begins = format!("HTTP/1.1 {status} ");
        assert!(payload.slices(0).0.starts_with(begins.as_bytes()), "{payload:?}");
        fields = if status == "200" { cursor(&payload) } else { fields };
        let round = || {
            let start = std::time::Instant::now();
            for _ in 0..SUBSCRIBERS {
                relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
                assert_eq!(drain(&mut relay), 1);
            }
            start.elapsed()
        };
        let what = format!("relay, a poll at once, {what}");
        support::report_streams(&what, SUBSCRIBERS, 1000.0, round);
    }
}

fn idle(what: &str, budget: f64, headers: &str, channel: impl Fn(usize) -> String) {
    let region = support::allocations();
    let mut relay = relay();
    for n in 0..IDLE {
        let conn = relay.accept(ARRIVAL, NOW);
        let name = channel(n);
        let get = format!("GET /subscriber/{name} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
        // As the reactor does each turn: a queue of all heads at once would count here.
        drain(&mut relay);
    }
    assert_eq!(relay.state().hub.held(), IDLE);
    let bytes = support::bytes_held(&region) / IDLE as f64;
    support::report(&format!("relay: idle {what}"), bytes, "bytes", budget);
}

/// A user with so many requests: no step of what ends them takes long, whichever of them are meant.
fn revocation() {
    for (scope, form) in [("one channel", "user=42&channel=crowd"), ("all channels", "user=42")] {
        let mut relay = signed();
        let claims = serde_json::json!({"c": "crowd", "u": "42", "e": 600_000});
        let token = sign(SIGNING_KEYS[0], &claims, NOW.unix_s);
        let get = format!("GET /s/crowd?token={token} HTTP/1.1\r\nHost: a\r\n\r\n");
        for _ in 0..SUBSCRIBERS {
            let conn = relay.accept(ARRIVAL, NOW);
            relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
        }
        assert_eq!(relay.state().hub.held(), SUBSCRIBERS);
        let admin = relay.accept(ARRIVAL, NOW);
        let post = format!(
            "POST /revoke HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer word\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len(),
        );
        let start = std::time::Instant::now();
        relay.handle_input(admin, Input::Received(post.as_bytes()), NOW);
        let mut longest = start.elapsed();
        let (mut outputs, mut sent) = (Vec::new(), 0);
        loop {
            let start = std::time::Instant::now();
            let more = relay.poll_outputs(&mut outputs, 32, NOW);
            longest = longest.max(start.elapsed());
            if !more {
                break;
            }
            sent += outputs.drain(..).filter(|one| matches!(one, Output::Send { .. })).count();
        }
        assert_eq!(sent, SUBSCRIBERS + 1);
        let ms = longest.as_secs_f64() * 1000.0;
        support::report(&format!("relay: longest step of a revocation, {scope}"), ms, "ms", 2.0);
    }
}

/// With a location whose requests need a token.
fn signed() -> Relay {
    let settings = serde_json::json!({"signing_keys": SIGNING_KEYS, "locations": [
        {"type": "status", "prefix": "/", "secret": "word"},
        {"type": "subscriber", "prefix": "/s/", "signed": true, "create_on_get": true},
    ]});
    with_settings(&settings)
}

/// Twice the length may cost twice the time: no piece makes the relay scan earlier bytes again.
fn pieces() {
    for (lines, budget) in [(47, "2.5"), (95, "5")] {
        let filler: String = (0..lines).map(|n| format!("A{n}: {}\r\n", "x".repeat(268))).collect();
        let head = format!("PUT /publisher/a HTTP/1.1\r\nHost: a\r\n{filler}\r\n");
        let fastest = (0..51).map(|_| {
            let mut relay = relay();
            let conn = relay.accept(ARRIVAL, NOW);
            let start = std::time::Instant::now();
            for piece in head.as_bytes().chunks(16) {
                relay.handle_input(conn, Input::Received(piece), NOW);
                relay.handle_timeout(NOW);
            }
            assert_eq!(drain(&mut relay), 1, "answered");
            start.elapsed()
        });
        let ms = fastest.min().expect("51 rounds").as_secs_f64() * 1e3;
        let (bytes, count) = (head.len(), head.len().div_ceil(16));
        println!("a head of {bytes} bytes in {count} pieces: {ms:.3} ms   budget {budget} ms");
    }
}

/// What the check of a token adds to a poll that is answered at once, of one that is good and of
/// one that nobody has signed.
fn tokens() {
    let key = pushserver_testkit::tokens::SIGNING_KEYS[0];
    let fastest_ns = |signed: bool, token: &str| {
        let settings = serde_json::json!({
            "signing_keys": [key],
            "locations": [{"type": "subscriber", "prefix": "/s/", "create_on_get": true,
                "polling": "interval", "signed": signed}],
        });
        let (text, overrides) = (settings.to_string(), Overrides::default());
        let config = Config::parse(text.as_bytes(), Source::Defaults, overrides).expect("sound");
        let hub = config.hub_options(MessageId::default(), 1);
        let mut relay = Relay::new(&config.relay_options(), hub, NOW);
        let conn = relay.accept(ARRIVAL, NOW);
        let get = format!("GET /s/room?token={token} HTTP/1.1\r\nHost: a\r\n\r\n");
        let rounds = (0..201).map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..1_000 {
                relay.handle_input(conn, Input::Received(get.as_bytes()), NOW);
                assert_eq!(drain(&mut relay), 1, "answered");
            }
            start.elapsed()
        });
        rounds.min().expect("201 rounds").as_secs_f64() * 1e6
    };
    let claims = serde_json::json!({"c": "room", "e": 3600, "u": "42"});
    let good = pushserver_testkit::tokens::sign(key, &claims, NOW.unix_s);
    let forged = good.replace('A', "B");
    let free_ns = fastest_ns(false, &good);
    for (what, token) in [("a token", &good), ("a forged token", &forged)] {
        let ns = fastest_ns(true, token) - free_ns;
        support::report(&format!("relay: {what}, beside none"), ns, "ns", 1500.0);
    }
}
