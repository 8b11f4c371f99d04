//! Rewriting of heads: a client's request as the upstream gets it, the upstream's answer as the
//! client gets it. Keeps nothing.
//!
//! Fields of one connection are dropped (RFC 9110 7.6.1), and the framing of a body is written
//! anew, never copied: so both sides of the proxy see the same messages begin and end. Fields that
//! only a proxy may set are replaced. All others pass in their order, byte for byte.
//!
//! A name with an underscore is dropped, as nginx does: to WSGI `X_Forwarded_For` is the same
//! variable as `X-Forwarded-For`.

use std::io::Write as _;
use std::net::IpAddr;

use crate::http::response::write_decimal;
use crate::http::{
    ConnectionOptions, Framing, HeadLimits, HeadWriter, RequestHead, ResponseHead, Version,
    head::HEADERS_MAX, is_hop_by_hop, values,
};
use crate::relay::input::Arrival;
use crate::relay::notice::{PEER, SECRET, USER};
use crate::relay::options::{Limits, ProxyOptions};

/// Appends the request as the upstream gets it, that came as `arrival` says. `expects`: the client
/// waits for `100 Continue`. A request with chunks asks the upstream to close the connection. Gives
/// the first field that was replaced because its sender may not speak for others.
pub(super) fn write_request<'h>(
    out: &mut Vec<u8>,
    head: &RequestHead<'h>,
    options: &ProxyOptions,
    arrival: Arrival,
    expects: bool,
) -> Option<&'h str> {
    let Arrival { peer, secure, .. } = arrival;
    // A front server, on a Unix socket or at a trusted address, whose own fields name the client.
    let speaks_for_others =
        peer.is_none_or(|peer| options.trusted.iter().any(|network| network.contains(&peer)));
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.path);
    if let Some(query) = head.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // One of HTTP/1.0 may name none.
    let host = if head.host.is_empty() { options.host.as_bytes() } else { head.host };
    push_field(out, "Host", host);
    let connection = ConnectionOptions::read(head.headers);
    let counts_hops = matches!(head.method, "OPTIONS" | "TRACE");
    let mut replaced = None;
    for header in head.headers {
        let name = header.name;
        if is_forwarded_field(name) && !speaks_for_others {
            replaced = replaced.or(Some(name));
        } else if !is_dropped_request_field(name) && !connection.name(name) {
            match hops(header.value) {
                // RFC 9110 7.6.2.
                Some(left) if counts_hops && name.eq_ignore_ascii_case("max-forwards") => {
                    push_number(out, name, left.saturating_sub(1).into());
                }
                _ => push_field(out, name, header.value),
            }
        }
    }
    if let Some(peer) = peer.filter(|_| !speaks_for_others) {
        push_address(out, "X-Forwarded-For", peer);
        push_field(out, "X-Forwarded-Host", host);
        push_field(out, "X-Forwarded-Proto", if secure { b"https" } else { b"http" });
    }
    // It vouches for the peer.
    if let Some(secret) = &options.secret {
        push_field(out, SECRET, secret.reveal().as_bytes());
        if let Some(peer) = peer {
            push_address(out, PEER, peer);
        }
    }
    if expects {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => push_number(out, "Content-Length", length),
        Framing::Chunked => out.extend_from_slice(CHUNKED),
    }
    if let Some(upgrade) = tunnel(head.upgrade) {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        push_field(out, "Upgrade", upgrade);
    } else if head.framing == Framing::Chunked {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    replaced
}

/// How large the head of an upstream's answer may be, whatever `limits.header_bytes` says: several
/// cookies as large as browsers take them.
const HEAD_BYTES: usize = 128 << 10;

/// Bounds of the head of an upstream's answer, and of a request that was rewritten.
pub(super) fn answer_limits(limits: &Limits) -> HeadLimits {
    let header_bytes = limits.head.header_bytes.max(HEAD_BYTES);
    HeadLimits { header_bytes, headers: HEADERS_MAX, uri_bytes: header_bytes }
}

/// The number in `Max-Forwards` (RFC 9110 7.6.2).
pub(super) fn hops(value: &[u8]) -> Option<u32> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()
}

/// The protocol that a request may ask for and an answer change to, of all in its `Upgrade`. No
/// other than WebSocket: in HTTP/2 (`h2c`) a client could ask the upstream for what is closed to it
/// here.
pub(super) fn tunnel(upgrade: Option<&[u8]>) -> Option<&[u8]> {
    upgrade.filter(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

/// How the client finds the end of an answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// There is none; a length that the upstream gave is that of an answer to GET.
    NoBody,
    /// `Content-Length`.
    After(u64),
    /// Chunks.
    Chunked,
    /// With the connection, for HTTP/1.0.
    WithConnection,
}

/// Whether an answer lacks `Server`, and whether `Date`.
pub(super) fn missing(head: &ResponseHead<'_>) -> (bool, bool) {
    let connection = ConnectionOptions::read(head.headers);
    let is_missing = |name| values(head.headers, name).next().is_none() || connection.name(name);
    (is_missing("Server"), is_missing("Date"))
}

/// Appends the upstream's answer as the client gets it. `lines`: what is added, whole lines.
pub(super) fn write_answer(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    ends: Ends,
    lines: [&[u8]; 2],
) {
    // Without `finish`: the fields below go on in the same head.
    let _ = HeadWriter::relayed(out, head.status, head.reason).lines(lines[0]).lines(lines[1]);
    let connection = ConnectionOptions::read(head.headers);
    let keeps_length = ends == Ends::NoBody && head.status >= 200 && head.status != 204;
    for header in head.headers {
        let is_length = header.name.eq_ignore_ascii_case("content-length");
        let passes = if is_length { keeps_length } else { !is_hop_by_hop(header.name) };
        if passes && !connection.name(header.name) {
            push_field(out, header.name, header.value);
        }
    }
    match ends {
        Ends::NoBody | Ends::WithConnection => {}
        Ends::After(length) => push_number(out, "Content-Length", length),
        Ends::Chunked => out.extend_from_slice(CHUNKED),
    }
    match head.status {
        101 => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            push_field(out, "Upgrade", head.upgrade.unwrap_or_default());
        }
        // `Upgrade` names the protocol that the upstream requires (RFC 9110 15.5.22).
        426 if values(head.headers, "Upgrade").next().is_some() => {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
            values(head.headers, "Upgrade").for_each(|value| push_field(out, "Upgrade", value));
        }
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// How the body of an answer, framed as the upstream does it, ends for a client of this version.
pub(super) fn ends(head: &ResponseHead<'_>, client: Version) -> Ends {
    use crate::http::ResponseFraming::{Known, UntilClose};

    match (head.framing, client) {
        (Known(Framing::None), _) => Ends::NoBody,
        (Known(Framing::Length(length)), _) => Ends::After(length),
        (Known(Framing::Chunked) | UntilClose, Version::Http11) => Ends::Chunked,
        (Known(Framing::Chunked) | UntilClose, Version::Http10) => Ends::WithConnection,
    }
}

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// Whether the field names the client of a request: only trusted senders may set it.
fn is_forwarded_field(name: &str) -> bool {
    const FORWARDED: &str = "x-forwarded-";
    name.get(..FORWARDED.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(FORWARDED))
        || name.eq_ignore_ascii_case("forwarded")
}

/// Whether a request's field is not passed on as it is, whoever sends it.
fn is_dropped_request_field(name: &str) -> bool {
    // `Proxy` is read as HTTP_PROXY by programs that are started as CGI.
    let ours =
        ["host", "proxy", "expect", "content-length", "proxy-authorization", PEER, SECRET, USER];
    memchr::memchr(b'_', name.as_bytes()).is_some()
        || is_hop_by_hop(name)
        || ours.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    // Both come from a head that was found sound: no line can begin in them.
    debug_assert!(value.iter().copied().all(crate::http::is_text), "a sound value");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    write_decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// As `core::fmt` writes it, in a tenth of the time for IPv4.
fn push_address(out: &mut Vec<u8>, name: &str, address: IpAddr) {
    out.extend_from_slice(name.as_bytes());
    let mut before: &[u8] = b": ";
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets() {
                out.extend_from_slice(before);
                write_decimal(out, octet.into());
                before = b".";
            }
        }
        IpAddr::V6(address) => write!(out, ": {address}").expect("a vector takes every byte"),
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderSlots, parse_request, parse_response};

    const LIMITS: HeadLimits = HeadLimits { header_bytes: 4096, headers: 50, uri_bytes: 1024 };

    fn request(head: &str, peer: Option<[u8; 4]>) -> String {
        let mut slots = HeaderSlots::new();
        let head = parse_request(head.as_bytes(), &mut slots, &LIMITS).unwrap();
        let options = ProxyOptions {
            url: String::new(),
            host: "up:1".to_owned(),
            addresses: Vec::new(),
            force_host: None,
            trusted: Vec::new(),
            secret: None,
        };
        let mut out = Vec::new();
        let arrival = Arrival { peer: peer.map(IpAddr::from), ..Arrival::default() };
        write_request(&mut out, &head, &options, arrival, false);
        String::from_utf8(out).unwrap()
    }

    fn answer(head: &str, version: Version, was_head: bool) -> String {
        let mut slots = HeaderSlots::new();
        let head = parse_response(head.as_bytes(), &mut slots, was_head).unwrap();
        let mut out = Vec::new();
        write_answer(&mut out, &head, ends(&head, version), [b"Ours: 1\r\n", b""]);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_passes_but_for_what_belongs_to_its_connection() {
        let head = "POST http://a.example//x/%2f?q=1?2 HTTP/1.1\r\nAccept: */*\r\n\
            Connection: keep-alive, X-Mine\r\nHost: a.example\r\nx-mine: 1\r\nKeep-Alive: 5\r\n\
            TE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\
            Proxy-Connection: close\r\nProxy-Authorization: x\r\nProxy: evil\r\n\
            X-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\nX-Forwarded-Port: 1\r\n\
            Forwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nCookie: a=1\r\nCookie: b=2\r\n\
            Content-Length: 3\r\n\r\n";
        assert_eq!(
            request(head, Some([10, 0, 0, 7])),
            "POST //x/%2f?q=1?2 HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nCookie: a=1\r\n\
             Cookie: b=2\r\nX-Forwarded-For: 10.0.0.7\r\nX-Forwarded-Host: a.example\r\n\
             X-Forwarded-Proto: http\r\nContent-Length: 3\r\n\r\n"
        );
    }

    #[test]
    fn chunks_are_announced_anew_and_close_the_connection_behind_them() {
        let head = "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n";
        let out = request(head, Some([1, 2, 3, 4]));
        assert!(out.ends_with("Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"), "{out}");
        assert_eq!(out.matches("hunked").count(), 1);
    }

    #[test]
    fn an_upgrade_is_asked_for_again() {
        let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Key: k\r\n\r\n";
        let out = request(head, Some([1, 2, 3, 4]));
        assert!(out.ends_with("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "{out}");
        assert_eq!(out.matches("websocket").count(), 1);
    }

    #[test]
    fn no_request_is_upgraded_to_http_that_nobody_looks_at() {
        for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "h2"] {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                 Upgrade: {protocol}\r\nHTTP2-Settings: x\r\n\r\n"
            );
            assert_eq!(request(&head, None), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    }

    #[test]
    fn an_address_is_written_as_everywhere() {
        for address in ["0.0.0.0", "127.0.0.1", "10.20.99.100", "255.255.255.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_address(&mut out, "A", address.parse().unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), format!("A: {address}\r\n"));
        }
    }

    #[test]
    fn a_front_server_on_a_unix_socket_speaks_for_its_clients() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\n\
            X-Forwarded-Proto: https\r\n\r\n";
        assert_eq!(
            request(head, None),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\n\
             X-Forwarded-Proto: https\r\n\r\n"
        );
    }

    #[test]
    fn a_request_without_host_gets_the_upstreams() {
        let out = request("GET / HTTP/1.0\r\n\r\n", None);
        assert_eq!(out, "GET / HTTP/1.1\r\nHost: up:1\r\n\r\n");
    }

    #[test]
    fn an_answer_passes_but_for_what_belongs_to_its_connection() {
        let head = "HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nConnection: close, X-Mine\r\n\
            X-Mine: 1\r\nKeep-Alive: 5\r\nTrailer: x\r\nSet-Cookie: b=2\r\n\
            Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n\r\n";
        assert_eq!(
            answer(head, Version::Http11, false),
            "HTTP/1.1 200 Fine\r\nOurs: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
             X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_date_that_ends_with_the_connection_is_missing() {
        for (head, date) in [
            ("Date: x\r\nConnection: close\r\n", false),
            ("Date: x\r\nConnection: close, date\r\n", true),
            ("", true),
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nServer: x\r\n{head}\r\n");
            let mut slots = HeaderSlots::new();
            let head = parse_response(head.as_bytes(), &mut slots, false).unwrap();
            assert_eq!(missing(&head), (false, date));
        }
    }

    #[test]
    fn the_end_of_a_body_is_said_as_the_client_understands_it() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let until_close = "HTTP/1.0 200 OK\r\n\r\n";
        let begin = "HTTP/1.1 200 OK\r\nOurs: 1\r\n";
        for (head, version, was_head, end) in [
            (length, Version::Http11, false, "Content-Length: 5\r\n\r\n"),
            (length, Version::Http10, false, "Content-Length: 5\r\n\r\n"),
            (length, Version::Http11, true, "Content-Length: 5\r\n\r\n"),
            (chunked, Version::Http11, false, "Transfer-Encoding: chunked\r\n\r\n"),
            (chunked, Version::Http10, false, "\r\n"),
            (chunked, Version::Http11, true, "\r\n"),
            (until_close, Version::Http11, false, "Transfer-Encoding: chunked\r\n\r\n"),
            (until_close, Version::Http10, false, "\r\n"),
        ] {
            assert_eq!(answer(head, version, was_head), format!("{begin}{end}"), "{head:?}");
        }
        let no_content = "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n";
        assert!(!answer(no_content, Version::Http11, false).contains("Length"));
        let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
        assert!(answer(not_modified, Version::Http11, false).contains("Content-Length: 5\r\n"));
    }
}
