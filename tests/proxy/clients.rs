//! Clients that leave, or stop in the middle.

use std::net::Shutdown;
use std::time::Duration;

use serde_json::json;

use crate::tunnel::tunnel;
use crate::{before, get, start};
use pushserver_testkit::{Absent, Client, Daemon, Upstream, until};

#[test]
fn a_client_that_leaves_frees_the_upstream_at_once() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    // Before the answer, within it, within the request.
    let client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    drop(client);
    assert!(server.ends());

    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\n\r\nhello");
    client.head();
    drop(client);
    assert!(server.ends());

    let client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(3), b"abc");
    drop(client);
    assert!(server.ends());
}

#[test]
fn a_request_whose_body_stops_coming_is_408_and_never_whole_for_the_upstream() {
    let upstream = Upstream::start();
    let daemon = start(&upstream.url(), json!({"limits": {"body_timeout": 1}}));
    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(3), b"abc");
    assert_eq!(client.answer().status, 408);
    assert!(client.ends());
    assert!(server.ends());
}

#[test]
fn a_client_that_is_half_closed_counts_as_gone_as_with_nginx() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    // Whether it has closed altogether cannot be told before it is sent something.
    client.end_sending();
    assert!(server.ends());
    assert!(client.ends());
}

/// The client sends more than anybody reads, then its end; nothing of it stays.
#[track_caller]
fn assert_gone_in_time(daemon: &Daemon, client: &mut Client, idle: usize, state: &str) {
    client.send_as_far_as_taken(&vec![b'x'; 8 << 20], Duration::from_millis(200));
    // It may be closed by now.
    let _ = client.socket().shutdown(Shutdown::Write);
    until(state, || daemon.vitals().descriptors() == idle);
}

#[test]
fn whoever_is_read_no_further_is_gone_in_time() {
    let upstream = Upstream::start();
    let limits = json!({"limits": {"upstream_timeout": 1, "upstream_wait": 1, "write_timeout": 1}});
    let daemon = start(&upstream.url(), limits.clone());
    let idle = daemon.vitals().descriptors();

    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    assert_gone_in_time(&daemon, &mut client, idle, "behind a request whose answer never comes");

    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    let mut server = upstream.accept();
    server.head();
    assert_gone_in_time(&daemon, &mut client, idle, "with a body that the upstream does not read");

    let mut client = daemon.ask(get("/"));
    let mut server = upstream.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\n\r\n");
    server.send_as_far_as_taken(&vec![b'x'; 64 << 20], Duration::from_millis(200));
    assert_gone_in_time(&daemon, &mut client, idle, "with an answer that it does not read");

    let (mut client, _server) = tunnel(&upstream, &daemon);
    assert_gone_in_time(&daemon, &mut client, idle, "in a tunnel whose other end does not read");

    let (mut client, mut server) = tunnel(&upstream, &daemon);
    server.send_as_far_as_taken(&vec![b'x'; 64 << 20], Duration::from_millis(200));
    assert_gone_in_time(&daemon, &mut client, idle, "in a tunnel that it does not read");

    let absent = Absent::bind();
    let daemon = start(&absent.url(), limits);
    let idle = daemon.vitals().descriptors();
    let mut client = daemon.ask(get("/"));
    assert_gone_in_time(&daemon, &mut client, idle, "behind a request that waits for the upstream");
    let mut client = daemon.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    assert_gone_in_time(&daemon, &mut client, idle, "with a body that waits for the upstream");
}
