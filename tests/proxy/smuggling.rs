//! What must never reach an upstream: everything that two parsers could read in two ways.

use crate::{before, get, ok};
use pushserver_testkit::Upstream;

/// Heads behind a good request line, each with the status of its refusal.
const HEADS: [(&str, u16); 34] = [
    ("Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: -3\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: \r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length: 9999999999999999999\r\n\r\nabc", 400),
    ("Host: a\r\nContent-Length : 3\r\n\r\nabc", 400),
    ("Host: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ("Host: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
    ("Host: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("Host: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n5\n\r\nhello\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nG\r\n\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n", 400),
    ("Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /x HTTP/1.1\r\n\r\n", 400),
    ("Host: a\r\nX: a\nY: b\r\n\r\n", 400),
    ("Host: a\r\nX: a\rY: b\r\n\r\n", 400),
    ("Host: a\r\nX: a\0b\r\n\r\n", 400),
    ("Host: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("Host: a\r\n X: a\r\n\r\n", 400),
    ("Host: a\r\nX Y: a\r\n\r\n", 400),
    ("Host: a\r\nHost: b\r\n\r\n", 400),
    ("X: a\r\n\r\n", 400),
];

const LINES: [(&str, u16); 10] = [
    ("GET http://evil.example/ HTTP/1.1", 400),
    ("GET //evil.example@a HTTP/1.1 HTTP/1.1", 400),
    ("GET  / HTTP/1.1", 400),
    ("GET /a b HTTP/1.1", 400),
    ("GET /a#b HTTP/1.1", 400),
    ("GET /\t HTTP/1.1", 400),
    ("GET / HTTP/1.2", 505),
    ("GET / HTTP/2.0", 505),
    ("CONNECT a:443 HTTP/1.1", 501),
    ("GET evil HTTP/1.1", 400),
];

#[test]
fn whatever_has_two_readings_is_refused_before_a_byte_of_it_reaches_the_upstream() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let heads = HEADS.map(|(head, status)| (format!("POST /bad HTTP/1.1\r\n{head}"), status));
    let lines = LINES.map(|(line, status)| (format!("{line}\r\nHost: a\r\n\r\n"), status));
    for (request, status) in heads.iter().chain(&lines) {
        // What comes behind is not another request, as nobody knows where that begins.
        let mut client = daemon.ask(format!("{request}{}", get("/smuggled")));
        assert_eq!(client.answer().status, *status, "{request:?}");
        assert!(client.ends());
        // What comes to the upstream next is what is asked next.
        let mut client = daemon.ask(get("/good"));
        let mut server = upstream.accept();
        assert!(server.head().starts_with("GET /good "), "{request:?}");
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_bad_chunk_behind_good_ones_ends_the_upstreams_connection_before_the_body_is_whole() {
    let upstream = Upstream::start();
    let daemon = before(&upstream);
    let mut client = daemon
        .ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let mut server = upstream.accept();
    server.head();
    assert_eq!(server.bytes(10), b"5\r\nhello\r\n");
    client.send("5 \r\nworld\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.ends());
    assert!(server.ends());
    let mut client = daemon.ask(get("/good"));
    let mut server = upstream.accept();
    server.head();
    server.send(ok("x"));
    assert_eq!(client.answer().text(), "x");
}
