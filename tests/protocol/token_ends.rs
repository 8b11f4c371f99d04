//! Ends of tokens where something is late: a socket that takes nothing, a store that does not
//! answer, a message that is under way. When all is in time, the transcripts show it.

use pushserver::clock::Now;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::{Command, ConnKey};
use pushserver::store::{Fate, Loss};
use pushserver_testkit::tokens::{SIGNING_KEYS, sign};
use pushserver_testkit::transcripts::part::masked;
use pushserver_testkit::{Network, merge, request, settings, subscriber};
use serde_json::json;

const NOW_S: u64 = 1_700_000_000;

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const EVENTS: &str = "Accept: text/event-stream\r\n";

fn network() -> Network {
    let mut all = settings();
    merge(&mut all, subscriber(json!({"signed": true})));
    merge(&mut all, json!({"signing_keys": SIGNING_KEYS}));
    all["locations"].as_array_mut().expect("a list").push(json!(
        {"type": "pubsub", "prefix": "/both/", "create_on_get": true, "signed": true}
    ));
    let text = all.to_string();
    let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
    let config = config.expect("sound settings");
    let first_id = MessageId { time: NOW_S - 1, tag: 999_999 };
    let now = Now::at(0, NOW_S);
    Network::at(now, &config.relay_options(), config.hub_options(first_id, 1))
}

/// Asks for the channel `a` with a token that is good for so many seconds.
fn ask(network: &mut Network, path: &str, headers: &str, seconds: u64) -> ConnKey {
    let mut claims = json!({"c": "a", "e": seconds});
    if path.starts_with("/both/") {
        claims["a"] = "pub".into();
    }
    let token = sign(SIGNING_KEYS[0], &claims, network.now.unix_s);
    let conn = network.connect();
    network.send(conn, request(&format!("GET {path}?token={token}"), headers).as_bytes());
    network.settle();
    conn
}

fn publish(network: &mut Network, body: &str) {
    let conn = network.connect();
    let length = format!("Content-Length: {}\r\n", body.len());
    network.send(conn, (request("POST /publisher/a", &length) + body).as_bytes());
    network.settle();
}

fn taken(network: &mut Network, conn: ConnKey) -> String {
    network.take(conn).escape_ascii().to_string()
}

/// The stores answer after so many turns, which pass with the clock standing still.
fn slow_down(network: &mut Network, turns: u64) {
    let now = network.now;
    network.relay.command(Command::SlowDown(&[Fate { turns, loss: Loss::Nothing }]), now);
}

#[test]
fn a_reader_that_is_slow_gets_nothing_of_what_came_after_its_token() {
    for headers in [EVENTS, HANDSHAKE] {
        let mut network = network();
        let conn = ask(&mut network, "/subscriber/a", headers, 10);
        let began = taken(&mut network, conn);
        assert!(began.starts_with("HTTP/1.1 "), "{began}");
        network.peers.get_mut(conn).room = Some(0);
        publish(&mut network, "in time");
        network.advance_ms(9_000);
        publish(&mut network, "behind it");
        network.advance_ms(1_000);
        publish(&mut network, "too late");
        network.peers.get_mut(conn).room = None;
        network.take_waiting(conn, usize::MAX);
        network.settle();
        let got = taken(&mut network, conn);
        // What it had not read in time is not read from the store for it, either.
        assert!(got.contains("in time") && !got.contains("too late"), "{got}");
        assert!(got.contains("401 Unauthorized"), "{got}");
        assert_eq!(network.relay.state().hub.held(), 0);
    }
}

#[test]
fn a_stream_whose_store_answers_after_the_end_of_its_token_does_not_begin() {
    for headers in [EVENTS, HANDSHAKE] {
        let mut network = network();
        publish(&mut network, "kept");
        slow_down(&mut network, 1_000);
        let conn = ask(&mut network, "/subscriber/a", headers, 2);
        network.advance_ms(1_990);
        assert_eq!(taken(&mut network, conn), "");
        // The store's answer comes as late as is waited for it.
        network.advance_ms(20);
        for _ in 0..1_000 {
            network.turn();
            if !network.peers.get(conn).got.is_empty() {
                break;
            }
        }
        let got = taken(&mut network, conn);
        assert!(got.starts_with("HTTP/1.1 401 Unauthorized"), "{got}");
        assert!(got.contains("error_description=\\\"expired\\\""), "{got}");
        assert!(!got.contains("kept"), "{got}");
        assert_eq!(network.relay.state().hub.held(), 0);
    }
}

#[test]
fn a_web_socket_publishes_nothing_after_its_token() {
    let mut network = network();
    let conn = ask(&mut network, "/both/a", HANDSHAKE, 10);
    network.take(conn);
    network.advance_ms(9_990);
    network.send(conn, &masked(0x81, b"in time"));
    network.settle();
    assert!(taken(&mut network, conn).contains("in time"));
    // The first half of a message, and the second in the turn in which the token ends.
    let message = masked(0x81, b"too late");
    network.send(conn, &message[..9]);
    network.settle();
    network.now.mono_ms += 10;
    network.send(conn, &message[9..]);
    network.settle();
    let got = taken(&mut network, conn);
    assert!(got.contains("401 Unauthorized") && !got.contains("too late"), "{got}");
}

#[test]
fn a_poll_whose_store_takes_time_ends_with_its_token() {
    let mut network = network();
    slow_down(&mut network, 3);
    let conn = ask(&mut network, "/subscriber/a", "", 2);
    network.advance_ms(1_990);
    assert_eq!(taken(&mut network, conn), "");
    network.advance_ms(10);
    assert!(taken(&mut network, conn).starts_with("HTTP/1.1 304 "));
}

#[test]
fn polls_of_a_token_that_is_about_to_end_are_few() {
    let mut network = network();
    let token = sign(SIGNING_KEYS[0], &json!({"c": "a", "e": 60}), NOW_S);
    let conn = network.connect();
    let mut answers = Vec::new();
    let get = request(&format!("GET /subscriber/a?token={token}"), "");
    while answers.last() != Some(&"401".to_owned()) {
        network.send(conn, get.as_bytes());
        network.settle();
        while network.peers.get(conn).got.is_empty() && network.advance_to_deadline() {}
        answers.push(taken(&mut network, conn)[9..12].to_owned());
        assert!(answers.len() < 20, "{answers:?}");
    }
    let over_ms = network.now.mono_ms - 60_000;
    assert!(over_ms < 1_000, "{over_ms}");
}
