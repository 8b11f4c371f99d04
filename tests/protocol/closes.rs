//! Closes: what becomes of a WebSocket whose client was sent a Close (RFC 6455 7.1.1), with a clock
//! that the test sets. The Closes themselves are in the transcripts.

use pushserver::clock::Now;
use pushserver::config::{Config, Overrides, Source};
use pushserver::message::MessageId;
use pushserver::relay::ConnKey;
use pushserver_testkit::peer::End;
use pushserver_testkit::transcripts::part::masked;
use pushserver_testkit::{Network, request, settings};

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A network with a client that may listen and was sent a Close, since it published.
fn closed() -> (Network, ConnKey) {
    let text = settings().to_string();
    let config = Config::parse(text.as_bytes(), Source::Defaults, Overrides::default());
    let config = config.expect("sound settings");
    let now = Now::at(0, 1_700_000_000);
    let first_id = MessageId { time: 1_699_999_999, tag: 999_999 };
    let mut network = Network::at(now, &config.relay_options(), config.hub_options(first_id, 1));
    let conn = network.connect();
    network.send(conn, request("GET /subscriber/a", HANDSHAKE).as_bytes());
    network.settle();
    assert!(network.take(conn).starts_with(b"HTTP/1.1 101 "));
    network.send(conn, &masked(0x81, b"hello"));
    network.settle();
    let sent = network.take(conn);
    assert_eq!((sent[0], &sent[2..4]), (0x88, &1008_u16.to_be_bytes()[..]));
    // The end of what it is sent is there to be read, and nothing is cut off yet.
    assert!(network.peers.get(conn).is_shut);
    assert_eq!(network.peers.get(conn).end, None);
    (network, conn)
}

#[test]
fn a_client_that_does_not_answer_a_close_within_5_s_is_cut() {
    let (mut network, conn) = closed();
    network.advance_ms(4_990);
    assert_eq!(network.peers.get(conn).end, None);
    network.advance_ms(10);
    assert_eq!(network.peers.get(conn).end, Some(End::Aborted));
}

#[test]
fn whatever_a_client_sends_instead_of_an_answer_gives_it_no_more_time_and_is_not_answered() {
    let (mut network, conn) = closed();
    for _ in 0..4 {
        network.advance_ms(1_000);
        network.send(conn, &[masked(0x89, b"ping"), masked(0x81, b"more")].concat());
        network.settle();
    }
    network.advance_ms(990);
    assert_eq!((network.peers.get(conn).end, network.take(conn)), (None, Vec::new()));
    network.advance_ms(10);
    assert_eq!(network.peers.get(conn).end, Some(End::Aborted));
}

#[test]
fn a_client_that_answers_a_close_and_leaves_is_not_cut() {
    let (mut network, conn) = closed();
    network.advance_ms(4_000);
    network.send(conn, &masked(0x88, &1008_u16.to_be_bytes()));
    network.end(conn);
    network.settle();
    assert_eq!(network.peers.get(conn).end, Some(End::Closed));
    assert_eq!(network.take(conn), [0; 0]);
}
