//! Clients that are slow, that stall, and that break the protocol.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pushserver_testkit::{LONG, Random, counters, post, request, until};
use serde_json::json;

use crate::client::{Secure, config, session};
use crate::{secure, trusted};

#[test]
fn a_handshake_and_a_request_may_come_byte_by_byte() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon);
    while client.session.is_handshaking() {
        for byte in client.records() {
            client.socket.write_all(&[byte]).unwrap();
        }
        client.fill();
    }
    for byte in client.records() {
        client.socket.write_all(&[byte]).unwrap();
    }
    client.session.writer().write_all(&post("/publisher/a", b"slow")).unwrap();
    for byte in client.records() {
        client.socket.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.answer().status, 202);
}

#[test]
fn records_of_one_byte_make_a_message() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    let mut records = Vec::new();
    for byte in post("/publisher/a", &[b'x'; 5000]) {
        client.session.writer().write_all(&[byte]).unwrap();
        records.extend(client.records());
    }
    client.socket.write_all(&records).unwrap();
    assert_eq!(client.answer().status, 202);
    assert_eq!(daemon.poll("a").answer().body, [b'x'; 5000]);
}

#[test]
fn a_handshake_that_is_not_done_in_time_is_cut() {
    let daemon = secure(json!({"limits": {"header_timeout": 0.2}}));
    let mut client = Secure::connect(&daemon);
    let hello = client.records();
    client.socket.write_all(&hello[..100]).unwrap();
    client.until_ended();
    // Also one that has its answer and says nothing more.
    let mut client = Secure::connect(&daemon);
    client.flush();
    client.until("the answer to a hello", Secure::fill);
    client.records();
    client.until_ended();
    assert_eq!(counters(&daemon)["tls_handshakes"], 0);
}

#[test]
fn readers_that_stall_share_the_message() {
    let daemon = secure(json!({}));
    let before = daemon.vitals().resident_kib();
    daemon.publish("a", vec![b'x'; 8 << 20]);
    let mut clients: Vec<Secure> = (0..20)
        .map(|_| {
            let mut client = Secure::connect(&daemon).handshake();
            client.get("/subscriber/a");
            client
        })
        .collect();
    until("all are answered", || counters(&daemon)["delivered"] == 20);
    let more = daemon.vitals().resident_kib().saturating_sub(before);
    // The message twice, as it came and as it is kept, and for each a record: not 160 MB.
    assert!(more < 30 << 10, "{more} KiB more");
    for client in &mut clients {
        assert_eq!(client.answer().body.len(), 8 << 20);
    }
}

#[test]
fn a_reader_that_takes_a_little_now_and_then_is_not_cut() {
    let daemon = secure(json!({"limits": {"write_timeout": 0.5}}));
    daemon.publish("a", vec![b'x'; 6 << 20]);
    let mut client = Secure::connect(&daemon).handshake();
    client.get("/subscriber/a");
    let mut rounds = 0;
    while client.received() < 6 << 20 {
        // More than twice `write_timeout` in all.
        if rounds % 100 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        rounds += 1;
        assert!(client.fill() || rounds < 100_000, "cut after {} bytes", client.received());
    }
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_reader_that_has_stopped_is_cut() {
    let daemon = secure(json!({"limits": {"write_timeout": 0.3}}));
    daemon.publish("a", vec![b'x'; 9 << 20]);
    let mut client = Secure::connect(&daemon).handshake();
    client.get("/subscriber/a");
    until("it is cut", || counters(&daemon)["slow_readers"] == 1);
}

#[test]
fn key_updates_are_served_and_bounded() {
    let daemon = secure(json!({}));
    let tls13 = || session(config(&daemon, &[&rustls::version::TLS13]));
    let mut client = Secure::over(&daemon, tls13()).handshake();
    for round in 0..100 {
        client.session.refresh_traffic_keys().unwrap();
        client.send(post("/publisher/a", round.to_string().as_bytes()));
        assert!([201, 202].contains(&client.answer().status));
    }
    let mut client = Secure::over(&daemon, tls13()).handshake();
    for _ in 0..100 {
        client.session.refresh_traffic_keys().unwrap();
        client.flush();
    }
    client.until_ended();
}

#[test]
fn a_renegotiation_is_refused_and_early_data_is_not_taken() {
    let daemon = secure(json!({}));
    let address = daemon.address().to_string();
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-connect", &address, "-CAfile", &trusted(&daemon)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is there");
    until("the handshake is done", || counters(&daemon)["tls_handshakes"] == 1);
    openssl.stdin.as_mut().unwrap().write_all(b"R\n").unwrap();
    let output = openssl.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no renegotiation") || said.contains("renegotiat"), "{said}");
    let once = session(config(&daemon, &[&rustls::version::TLS13]));
    let mut client = Secure::over(&daemon, once).handshake();
    client.get("/subscriber/a?last_event_id=x");
    client.answer();
    assert!(!client.session.is_early_data_accepted());
}

/// Handshakes and requests with errors in them, over sockets; `src/net/tls` has more of them in
/// memory.
#[test]
fn mangled_records_are_survived() {
    let rounds: u64 = std::env::var("PUSHSERVER_MANGLED_TLS_SOCKETS")
        .map_or(500, |rounds| rounds.parse().expect("a number"));
    let daemon = secure(json!({}));
    let mut random = Random::new(16);
    for _ in 0..rounds {
        let mut client = Secure::connect(&daemon);
        if random.index(2) == 0 {
            client = client.handshake();
            let asked = request("GET /subscriber/a?last_event_id=x", "");
            client.session.writer().write_all(asked.as_bytes()).unwrap();
        }
        let mut records = client.records();
        for _ in 0..=random.index(3) {
            let at = random.index(records.len());
            match random.index(3) {
                0 => records[at] = random.index(256) as u8,
                1 => records.truncate(at + 1),
                _ => records.insert(at, random.index(256) as u8),
            }
        }
        let _ = client.socket.write_all(&records);
        let _ = client.socket.shutdown(Shutdown::Write);
        drop(client);
    }
    assert_eq!(daemon.publish("a", "still here").status, 202);
    until("all are gone", || counters(&daemon)["connections"] <= 1);
}

#[test]
fn plain_bytes_within_tls_and_tls_within_plain_are_refused() {
    let daemon = secure(json!({}));
    let mut client = Secure::connect(&daemon).handshake();
    client.socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    client.until_ended();
    let mut socket = TcpStream::connect(daemon.address()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.write_all(b"GET /subscriber/a?last_event_id=x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let hello = Secure::connect(&daemon).records();
    socket.write_all(&hello).unwrap();
    let mut answers = String::new();
    // What it has not read resets the connection at its end.
    let _ = socket.read_to_string(&mut answers);
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), 2, "{answers}");
}
