//! How a connection ends, from either side.

use std::time::Duration;

use pushserver_testkit::{Upstream, counters, post, request, until};
use serde_json::json;

use crate::client::Secure;
use crate::secure;

#[test]
fn a_connection_that_is_closed_ends_with_close_notify() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    client.send(request("GET /subscriber/none?last_event_id=x", "Connection: close\r\n"));
    assert_eq!(client.answer().status, 400);
    client.until_ended();
    assert!(client.is_told, "a cut is no end");
}

#[test]
fn a_publisher_that_has_said_goodbye_still_has_its_answer() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    client.send(post("/publisher/a", b"m"));
    client.say_goodbye();
    assert_eq!(client.answer().status, 202);
    client.until_ended();
}

#[test]
fn a_subscriber_that_says_goodbye_or_is_cut_is_gone() {
    let daemon = secure(json!({}));
    let ends: [fn(&mut Secure); 2] = [Secure::say_goodbye, Secure::cut];
    for end in ends {
        let mut client = Secure::connect(&daemon).handshake();
        client.get("/subscriber/a");
        daemon.until_held("a", 1);
        end(&mut client);
        daemon.until_held("a", 0);
        client.until_ended();
    }
}

#[test]
fn a_message_that_is_cut_within_a_record_is_not_published() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    std::io::Write::write_all(&mut client.session.writer(), &post("/publisher/a", b"m")).unwrap();
    let records = client.records();
    std::io::Write::write_all(&mut client.socket, &records[..records.len() - 1]).unwrap();
    client.cut();
    client.until_ended();
    assert_eq!(client.received(), 0);
    assert_eq!(daemon.ask(request("GET /publisher/a", "")).answer().status, 404);
}

#[test]
fn a_goodbye_while_a_delivery_is_stalled_is_an_end_behind_it() {
    let daemon = secure(json!({}));
    daemon.publish("a", vec![b'x'; 8 << 20]);
    let mut client = Secure::connect(&daemon).handshake();
    client.get("/subscriber/a");
    client.say_goodbye();
    // Nothing is read meanwhile: the delivery is larger than what both kernels hold.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(client.answer().body.len(), 8 << 20);
    client.until_ended();
    assert!(client.is_told);
}

#[test]
fn what_is_connected_when_the_daemon_stops_is_told() {
    let mut daemon = secure(json!({}));
    let mut held = Secure::connect(&daemon).handshake();
    held.get("/subscriber/a");
    daemon.until_held("a", 1);
    let mut idle = Secure::connect(&daemon).handshake();
    until("both handshakes are done", || counters(&daemon)["tls_handshakes"] == 2);
    daemon.signal("TERM");
    assert_eq!(held.answer().status, 304);
    for client in [&mut held, &mut idle] {
        client.until_ended();
        assert!(client.is_told);
    }
    assert!(daemon.wait().success());
}

#[test]
fn a_subscriber_that_is_cut_within_a_record_is_gone() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    client.get("/subscriber/a");
    daemon.until_held("a", 1);
    std::io::Write::write_all(&mut client.session.writer(), b"GET ").unwrap();
    let records = client.records();
    // One event tells of both.
    daemon.signal("STOP");
    std::io::Write::write_all(&mut client.socket, &records[..9]).unwrap();
    client.cut();
    daemon.signal("CONT");
    daemon.until_held("a", 0);
    client.until_ended();
}

#[test]
fn an_upload_goes_on_in_plain_behind_an_early_answer() {
    let upstream = Upstream::start();
    let daemon = secure(json!({"allrequests": upstream.url()}));
    let mut client = Secure::connect(&daemon).handshake();
    client.send("POST /page HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100001\r\n\r\nx");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(1), b"x");
    server.send("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 302);
    client.until("the end of what we send", |client| client.is_told);
    client.send([b'y'; 50_000]).send([b'y'; 50_000]);
    assert_eq!(server.bytes(100_000), [b'y'; 100_000]);
}

#[test]
fn what_is_asked_for_while_an_answer_is_stalled_does_not_spoil_it() {
    let daemon = secure(json!({}));
    let message: Vec<u8> = (0..8_u32 << 20).map(|at| (at / 7) as u8).collect();
    daemon.publish("a", message.clone());
    let mut client = Secure::connect(&daemon).handshake();
    client.get("/subscriber/a");
    // Each read may make room of which no event tells the daemon before it reads what comes here.
    let mut asked = 0;
    while client.received() < 7 << 20 {
        client.fill();
        if asked < 2000 {
            asked += 1;
            client.send(b"\r\n");
        }
    }
    assert!(client.answer().body == message);
}
