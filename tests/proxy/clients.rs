//! Clients that leave, or stop in the middle.

use serde_json::json;

use crate::support::Upstream;
use crate::{before, get, start};

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
