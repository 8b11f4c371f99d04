//! Cases: what a stream does where its store or its client's socket is late, one run by hand each.
//! Without a model.

use pushserver::clock::Now;
use pushserver::hub::options::StoreKind;
use pushserver::relay::options::{Options, Role};
use pushserver::relay::{Arrival, Command, ConnKey};
use pushserver::store::{Fate, Loss};
use pushserver_testkit::{Network, Random};

use crate::settings::Settings;

const WEB_SOCKET: &[u8] = b"GET /sub/a HTTP/1.1\r\nHost: sim\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A relay with pings each second.
fn network() -> Network {
    let settings = settings();
    Network::at(now(), &settings.relay(), settings.hub())
}

/// Pings each second.
fn settings() -> Settings {
    let mut settings = Settings::draw(&mut Random::new(0));
    settings.ping_interval_ms = 1_000;
    settings
}

fn now() -> Now {
    Now::at(1_000, crate::settings::FIRST_ID.time + 1)
}

fn accept(network: &mut Network) -> ConnKey {
    network.accept(Arrival { peer: Some([127, 0, 0, 1].into()), ..Arrival::default() })
}

fn send(network: &mut Network, conn: ConnKey, bytes: &[u8]) {
    network.send(conn, bytes);
    network.settle();
}

/// Publishes without keeping.
fn publish(network: &mut Network, body: &str) {
    let conn = accept(network);
    let length = body.len();
    let post = format!("POST /flash/a HTTP/1.1\r\nHost: sim\r\nContent-Length: {length}\r\n\r\n");
    send(network, conn, (post + body).as_bytes());
}

/// Every subscriber may publish, too.
fn all_may_publish(settings: &Settings) -> Options {
    let mut relay = settings.relay();
    let mut roles = relay.locations.iter().map(|location| location.role.clone());
    let publisher = roles.find_map(|role| match role {
        Role::Publisher(options) => Some(options),
        _ => None,
    });
    let publisher = publisher.expect("one may publish");
    for location in &mut relay.locations {
        if let Role::Subscriber(options) = &location.role {
            location.role = Role::PubSub(publisher.clone(), options.clone());
        }
    }
    relay
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_stream_that_begins_behind_an_answer_that_waits_is_sent_nothing_until_it_is_read() {
    let mut network = network();
    let late = Fate { turns: 3, loss: Loss::Nothing };
    let now = network.now;
    network.relay.command(Command::SlowDown(&[late]), now);
    let conn = accept(&mut network);
    network.peers.get_mut(conn).room = Some(0);
    let requests = b"OPTIONS /sub/a HTTP/1.1\r\nHost: sim\r\nOrigin: http://a\r\n\r\n\
        GET /sub/a HTTP/1.1\r\nHost: sim\r\nAccept: text/event-stream\r\n\r\n";
    send(&mut network, conn, requests);
    for _ in 0..10 {
        network.turn();
    }
    let before = network.peers.get(conn).waiting;
    assert!(before > 0, "the answer waits");
    publish(&mut network, "one");
    for _ in 0..10 {
        network.turn();
    }
    assert_eq!(network.peers.get(conn).waiting, before, "nothing more waits");
    network.peers.get_mut(conn).room = None;
    network.take_waiting(conn, usize::MAX);
    for _ in 0..10 {
        network.turn();
    }
    publish(&mut network, "two");
    for _ in 0..10 {
        network.turn();
    }
    let got = network.take(conn);
    assert!(has(&got, "data: two") && has(&got, ";gap=1"), "{}", got.escape_ascii());
    assert!(!has(&got, "data: one"), "{}", got.escape_ascii());
}

#[test]
fn a_web_socket_whose_pong_waits_for_its_own_socket_is_not_taken_for_silent() {
    let mut network = network();
    let conn = accept(&mut network);
    send(&mut network, conn, WEB_SOCKET);
    network.advance_ms(1_000);
    assert!(network.take(conn).ends_with(&[0x89, 0]), "a Ping");
    network.peers.get_mut(conn).room = Some(0);
    publish(&mut network, "one");
    // Its answer to the Ping is not read, as its socket is full.
    send(&mut network, conn, b"\x8a\x80\0\0\0\0");
    network.advance_ms(3_000);
    network.peers.get_mut(conn).room = None;
    network.take_waiting(conn, usize::MAX);
    network.settle();
    let got = network.take(conn);
    assert!(has(&got, "one") && got.ends_with(&[0x89, 0]), "{}", got.escape_ascii());
    assert!(network.peers.get(conn).end.is_none(), "it is open");
    // The Pong came behind that one; without another it is closed.
    network.advance_ms(2_000);
    assert!(network.peers.get(conn).end.is_some(), "it is silent");
}

#[test]
fn a_poll_of_several_channels_is_told_that_its_connection_ends_with_the_daemon() {
    let mut network = network();
    let conn = accept(&mut network);
    send(&mut network, conn, b"GET /list/a,b HTTP/1.1\r\nHost: sim\r\n\r\n");
    let now = network.now;
    network.relay.command(Command::AnnounceShutdown, now);
    publish(&mut network, "one");
    let got = network.take(conn);
    assert!(has(&got, "one") && has(&got, "Connection: close"), "{}", got.escape_ascii());
}

#[test]
fn a_web_socket_that_is_read_again_while_its_message_waits_for_the_store_goes_on() {
    let settings = settings();
    let mut network = Network::at(now(), &all_may_publish(&settings), settings.hub());
    let conn = accept(&mut network);
    send(&mut network, conn, WEB_SOCKET);
    network.take(conn);
    let late = Fate { turns: 20, loss: Loss::Nothing };
    let at = network.now;
    network.relay.command(Command::SlowDown(&[late]), at);
    network.peers.get_mut(conn).room = Some(0);
    // The answer to the Ping waits for the socket, the message behind it for the store.
    network.send(conn, b"\x89\x80\0\0\0\0\x81\x83\0\0\0\0one");
    for _ in 0..5 {
        network.turn();
    }
    assert_eq!(network.peers.get(conn).waiting, 2, "the Pong waits");
    network.peers.get_mut(conn).room = None;
    network.take_waiting(conn, usize::MAX);
    for _ in 0..60 {
        network.turn();
    }
    let got = network.take(conn);
    assert!(has(&got, "one"), "{}", got.escape_ascii());
}

#[test]
fn a_channel_that_ends_while_its_message_is_written_keeps_its_room() {
    let mut settings = settings();
    settings.channels_max = 1;
    settings.stores[0].kind = StoreKind::Durable;
    let mut network = Network::at(now(), &settings.relay(), settings.hub());
    let [publisher, first, second] = [(); 3].map(|()| accept(&mut network));
    send(&mut network, first, b"GET /sub/a HTTP/1.1\r\nHost: sim\r\n\r\n");
    network.disk.turns = 9;
    let post = b"POST /pub/a HTTP/1.1\r\nHost: sim\r\nContent-Length: 3\r\n\r\none";
    network.send(publisher, post);
    network.turn();
    // With its only subscriber it ends.
    network.reset(first);
    network.turn();
    assert_eq!(network.relay.state().hub.figures().channels, 0, "it has ended");
    network.send(second, b"GET /sub/b HTTP/1.1\r\nHost: sim\r\n\r\n");
    network.settle();
    let (got, refused) = (network.take(publisher), network.take(second));
    assert!(has(&got, "HTTP/1.1 202"), "{}", got.escape_ascii());
    assert!(has(&refused, "too many channels"), "{}", refused.escape_ascii());
    assert_eq!(network.relay.state().hub.figures().channels, 1);
}

#[test]
fn a_web_socket_whose_message_is_written_while_the_daemon_stops_keeps_its_timer() {
    let mut settings = settings();
    settings.stores[0].kind = StoreKind::Durable;
    let mut network = Network::at(now(), &all_may_publish(&settings), settings.hub());
    let conn = accept(&mut network);
    send(&mut network, conn, WEB_SOCKET);
    network.disk.turns = 9;
    network.send(conn, b"\x81\x83\0\0\0\0one");
    network.turn();
    assert!(network.disk.is_busy(), "it is being written");
    let timers = |network: &Network| {
        let state = network.relay.state();
        state.timers() - state.hub.timers()
    };
    assert_eq!(timers(&network), 1, "that of its pings");
    let at = network.now;
    network.relay.command(Command::Shutdown, at);
    assert_eq!(timers(&network), 1, "that of its pings");
    network.settle();
    let got = network.take(conn);
    assert!(has(&got, "the server stops"), "{}", got.escape_ascii());
}
