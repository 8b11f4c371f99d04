//! Upgrades: behind `101` bytes pass both ways.

use serde_json::json;

use crate::{before, get, ok, start};
use pushserver_testkit::{Client, Daemon, Upstream};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n";

pub(crate) fn tunnel(upstream: &Upstream, daemon: &Daemon) -> (Client, Client) {
    let mut client = daemon.ask(UPGRADE);
    let mut server = upstream.accept();
    server.head();
    server.send(SWITCH);
    client.head();
    (client, server)
}

#[test]
fn an_upgrade_passes_and_then_bytes_both_ways() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"limits": {"upstream_timeout": 1}}));
    // Bytes that come too early pass when there is a tunnel.
    let mut client = daemon.ask(format!("{UPGRADE}early"));
    let mut server = upstream.accept();
    let head = server.head();
    assert!(head.contains("Sec-WebSocket-Key: k\r\n"), "{head}");
    assert!(head.ends_with("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "{head}");
    server.send(format!("{SWITCH}hello"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("Sec-WebSocket-Accept: a\r\n"), "{head}");
    assert!(head.ends_with("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "{head}");
    assert_eq!(client.bytes(5), b"hello");
    assert_eq!(server.bytes(5), b"early");
    let bytes: Vec<u8> = (0..200_000).map(|n| (n % 251) as u8).collect();
    for _ in 0..3 {
        client.send(&bytes);
        assert_eq!(server.bytes(bytes.len()), bytes);
        server.send(&bytes);
        assert_eq!(client.bytes(bytes.len()), bytes);
    }
    // Longer silent than an upstream may be that owes an answer: other requests take their time.
    let mut slow = daemon.ask(get("/"));
    upstream.accept().head();
    assert_eq!(slow.answer().status, 504);
    client.send("still there");
    assert_eq!(server.bytes(11), b"still there");
}

#[test]
fn either_side_ends_a_tunnel_and_what_it_sent_before_arrives() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let (mut client, mut server) = tunnel(&upstream, &daemon);
    client.send("last words");
    drop(client);
    assert_eq!(server.rest().unwrap(), b"last words");
    let (mut client, mut server) = tunnel(&upstream, &daemon);
    server.send("last words");
    drop(server);
    assert_eq!(client.rest().unwrap(), b"last words");
}

#[test]
fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(UPGRADE);
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(client.answer().text(), "no");
    client.send(get("/"));
    server.head();
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
}

#[test]
fn no_protocol_passes_in_which_a_client_could_go_round_the_proxy() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    for protocol in ["h2c", "websocket, h2c", "TLS/1.2"] {
        let mut client = daemon.ask(UPGRADE.replace("websocket", protocol));
        let mut server = upstream.accept();
        let head = server.head();
        assert!(head.starts_with("GET /ws ") && !head.contains("Upgrade"), "{head}");
        server.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        );
        assert_eq!(client.answer().status, 502);
        assert!(server.ends());
    }
    // Nor where WebSocket was asked for, and the answer is another protocol.
    for protocol in ["h2c", "websocket, h2c", "TLS/1.2"] {
        let mut client = daemon.ask(UPGRADE);
        let mut server = upstream.accept();
        server.head();
        server.send(SWITCH.replace("websocket", protocol));
        assert_eq!(client.answer().status, 502, "{protocol}");
        assert!(server.ends());
    }
}
