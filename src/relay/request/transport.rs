//! Transport: how a subscriber's GET asks to receive. Pure; read from the head alone, before its
//! channel is looked up.

use super::accept;
use crate::http::{RequestHead, is_named};

/// How a subscriber wants to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Transport {
    /// The request is the handshake of RFC 6455 4.1, or what a server in front left of one:
    /// `upgrade` says whether it has all it needs.
    WebSocket,
    /// `Accept` names `text/event-stream`.
    EventStream {
        /// It names another type too, so that a poll will do.
        or_poll: bool,
    },
    /// Any other request.
    Poll,
}

impl Transport {
    pub(in crate::relay) fn of(head: &RequestHead<'_>) -> Self {
        let mut said = Said::default();
        for header in head.headers {
            let (name, value) = (header.name, header.value);
            // The length first: most fields are none of these.
            match name.len() {
                6 if is_named(name, "Accept") => {
                    for range in accept::ranges([value]) {
                        let is_stream = range.eq_ignore_ascii_case(b"text/event-stream");
                        said.stream |= is_stream;
                        said.other_type |= !is_stream;
                    }
                }
                7 if is_named(name, "Upgrade") => {
                    said.upgrade = true;
                    said.websocket |= names(value, b"websocket");
                }
                10 if is_named(name, "Connection") => {
                    said.upgrades |= names(value, b"upgrade");
                }
                17 if is_named(name, "Sec-WebSocket-Key") => said.key = true,
                _ => {}
            }
        }
        let is_handshake = match said.upgrade {
            true => said.websocket && (said.upgrades || said.key),
            // A front server took `Upgrade` away, which ends at each hop (RFC 9110 7.6.1), or above
            // only its `Connection`, and left the rest; no script of a page can set this field.
            false => said.key,
        };
        match (is_handshake, said.stream) {
            (true, _) => Self::WebSocket,
            (false, true) => Self::EventStream { or_poll: said.other_type },
            (false, false) => Self::Poll,
        }
    }
}

/// What the fields of one request say, in any version of HTTP.
#[derive(Debug, Default)]
struct Said {
    upgrade: bool,
    websocket: bool,
    /// `Connection: upgrade`.
    upgrades: bool,
    /// `Sec-WebSocket-Key`.
    key: bool,
    /// `Accept: text/event-stream`.
    stream: bool,
    other_type: bool,
}

/// Whether `token` is in the list, in any case.
pub(super) fn names(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    fn transport(version: &str, lines: &str) -> Transport {
        let head = format!("GET /a HTTP/{version}\r\nHost: x\r\n{lines}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 20, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        Transport::of(&parse_request(head.as_bytes(), &mut slots, &limits).unwrap())
    }

    #[test]
    fn a_handshake_says_websocket_and_upgrade_among_whatever_else() {
        for lines in [
            "Upgrade: websocket\r\nConnection: upgrade\r\n",
            "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n",
            "upgrade: h2c,websocket\r\nCONNECTION: UPGRADE , x\r\nAccept: */*\r\n",
            "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: x\r\nConnection: upgrade\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
            "Connection: close\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Upgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Key: x\r\n",
        ] {
            for version in ["1.0", "1.1"] {
                assert_eq!(transport(version, lines), Transport::WebSocket, "{lines}");
            }
        }
        for lines in [
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Upgrade: websocket\r\nConnection: close\r\n",
            "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "Upgrade: h2c\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n",
            "Upgrade: websockets\r\nConnection: upgrade\r\n",
            "Upgrade:\r\nConnection: upgrade\r\n",
        ] {
            assert_eq!(transport("1.1", lines), Transport::Poll, "{lines}");
        }
    }

    #[test]
    fn an_event_stream_is_named_alone_or_among_other_types() {
        for (accept, or_poll) in [
            ("text/event-stream", false),
            ("TEXT/Event-Stream;charset=utf-8;q=0.1", false),
            ("text/event-stream, */*;q=0", false),
            (" , text/event-stream", false),
            ("text/event-stream, text/event-stream;q=0.5", false),
            ("text/event-stream, */*", true),
            ("application/json, text/event-stream;q=0.9", true),
            ("text/*, text/event-stream;q=0.001", true),
            ("text/plain\r\nAccept: text/event-stream", true),
        ] {
            let lines = format!("Accept: {accept}\r\n");
            assert_eq!(transport("1.1", &lines), Transport::EventStream { or_poll }, "{accept}");
        }
        let both = "Upgrade: websocket\r\nConnection: upgrade\r\nAccept: text/event-stream\r\n";
        assert_eq!(transport("1.1", both), Transport::WebSocket);
        for accept in ["", "*/*", "text/*", "text/event-stream;q=0", "text/event-streams"] {
            let lines = format!("Accept: {accept}\r\n");
            assert_eq!(transport("1.1", &lines), Transport::Poll, "{accept}");
        }
        assert_eq!(transport("1.1", ""), Transport::Poll);
    }
}
