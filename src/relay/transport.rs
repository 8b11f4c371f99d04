//! Transport: how a subscriber's GET asks to receive. Pure; read from the head alone, before its
//! channel is looked up.

use super::accept;
use crate::http::RequestHead;

/// How a subscriber wants to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// The request is the handshake of RFC 6455 4.1.
    WebSocket,
    /// `Accept` names `text/event-stream` and no other type.
    EventStream,
    /// Any other request, also one that accepts an event stream beside other types.
    Poll,
}

impl Transport {
    pub(super) fn of(head: &RequestHead<'_>) -> Self {
        let is_handshake = match head.header("Upgrade") {
            Some(_) => {
                names(head, "Upgrade", b"websocket") && names(head, "Connection", b"upgrade")
            }
            // A front server took `Upgrade` away, which ends at each hop (RFC 9110 7.6.1), and left
            // the rest; no script of a page can set this field.
            None => head.header("Sec-WebSocket-Key").is_some(),
        };
        if is_handshake {
            return Self::WebSocket;
        }
        let is_stream = |name: &[u8]| name.eq_ignore_ascii_case(b"text/event-stream");
        let mut ranges = accept::ranges(head.header_all("Accept")).peekable();
        match ranges.peek().is_some() && ranges.all(is_stream) {
            true => Self::EventStream,
            false => Self::Poll,
        }
    }
}

/// Whether `token` is in the lists under `name`, in any case and in any version of HTTP.
fn names(head: &RequestHead<'_>, name: &str, token: &[u8]) -> bool {
    head.header_all(name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
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
    fn an_event_stream_is_all_that_is_accepted() {
        for accept in [
            "text/event-stream",
            "TEXT/Event-Stream;charset=utf-8;q=0.1",
            "text/event-stream, */*;q=0",
            " , text/event-stream",
            "text/event-stream, text/event-stream;q=0.5",
        ] {
            let lines = format!("Accept: {accept}\r\n");
            assert_eq!(transport("1.1", &lines), Transport::EventStream, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/*",
            "text/event-stream, */*",
            "application/json, text/event-stream;q=0.9",
            "text/event-stream;q=0",
            "text/event-streams",
            "text/plain\r\nAccept: text/event-stream",
        ] {
            let lines = format!("Accept: {accept}\r\n");
            assert_eq!(transport("1.1", &lines), Transport::Poll, "{accept}");
        }
        assert_eq!(transport("1.1", ""), Transport::Poll);
    }
}
