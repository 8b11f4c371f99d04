//! Upgrade: whether a request that asks for a WebSocket has all that a handshake needs (RFC 6455
//! 4.2.1). Pure; knows no location: admission decides where there are WebSockets, and for whom.

use super::refusal::Refusal;
use super::transport::names;
use crate::http::websocket::accept_key;
use crate::http::{Framing, RequestHead, Version};

/// The one subprotocol there is: Nchan's, which sends an id before each message.
pub(in crate::relay) const META: &[u8] = b"ws+meta.nchan";

/// What the answer to a sound handshake says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub(in crate::relay) accept: [u8; 28],
    /// The client offers [`META`], which then is agreed on.
    pub(in crate::relay) meta: bool,
}

/// The handshake of a GET that [`Transport::of`](super::transport::Transport::of) takes for one.
///
/// # Errors
/// 400 for HTTP/1.0, a bad key or a body; 426 for another version of the protocol, and where a
/// server in front took `Upgrade` or its `Connection` away.
pub(in crate::relay) fn of_request(head: &RequestHead<'_>) -> Result<Upgrade, Refusal> {
    if head.version == Version::Http10 {
        return Err(Refusal::new(400, OLD_HTTP));
    }
    let upgrades = head.header_all("Connection").any(|list| names(list, b"upgrade"));
    if head.header("Upgrade").is_none() || !upgrades {
        return Err(upgrade_required(NO_UPGRADE));
    }
    if sole(head, "Sec-WebSocket-Version") != Some(b"13") {
        return Err(upgrade_required(OTHER_VERSION));
    }
    let key = sole(head, "Sec-WebSocket-Key").and_then(accept_key);
    let accept = key.ok_or(Refusal::new(400, NO_KEY))?;
    if !matches!(head.framing, Framing::None | Framing::Length(0)) {
        return Err(Refusal::new(400, BODY));
    }
    let mut offers = head.header_all("Sec-WebSocket-Protocol").flat_map(|list| {
        // Names are compared exactly: browsers do so with the answer.
        list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
    });
    Ok(Upgrade { accept, meta: offers.any(|name| name == META) })
}

/// The value of a field that stands in one line.
fn sole<'b>(head: &RequestHead<'b>, name: &str) -> Option<&'b [u8]> {
    let mut values = head.header_all(name);
    values.next().filter(|_| values.next().is_none())
}

/// 426, with what has to come with it (RFC 9110 7.8 and 15.5.22, RFC 6455 4.2.2 and 4.4).
fn upgrade_required(text: &'static str) -> Refusal {
    let lines = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    Refusal { lines: lines.to_vec(), ..Refusal::new(426, text) }
}

const OLD_HTTP: &str = "a WebSocket needs HTTP/1.1, and this is HTTP/1.0; for nginx in front: \
                        proxy_http_version 1.1";

const NO_UPGRADE: &str = "this handshake of a WebSocket lacks Upgrade: websocket or Connection: \
                          Upgrade; a server in front has to send both on";

const OTHER_VERSION: &str = "the one version of WebSockets here is that of RFC 6455; send one line \
                             Sec-WebSocket-Version: 13";

const NO_KEY: &str = "send one line Sec-WebSocket-Key with 16 random bytes in base64";

const BODY: &str = "the handshake of a WebSocket has no body; send it without one";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

    fn read(version: &str, lines: &[&str]) -> Result<Upgrade, Refusal> {
        let lines = lines.concat();
        let head = format!("GET /a HTTP/{version}\r\nHost: x\r\n{lines}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 20, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        of_request(&parse_request(head.as_bytes(), &mut slots, &limits).unwrap())
    }

    /// A handshake as browsers send it, but for its key and version.
    fn upgrade(lines: &[&str]) -> Result<Upgrade, Refusal> {
        let all = [&["Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"], lines].concat();
        read("1.1", &all)
    }

    fn status(lines: &[&str]) -> u16 {
        upgrade(lines).expect_err(&lines.concat()).status
    }

    #[test]
    fn a_handshake_is_answered_with_the_proof_that_its_key_was_read() {
        // RFC 6455 1.3.
        let accept = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let plain = Upgrade { accept, meta: false };
        assert_eq!(upgrade(&[KEY, VERSION]).unwrap(), plain);
        let more = "Content-Length: 0\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
        assert_eq!(upgrade(&[more, VERSION, KEY]).unwrap(), plain);
    }

    #[test]
    fn a_handshake_in_http_1_0_is_400() {
        let lines = ["Connection: Upgrade\r\nUpgrade: websocket\r\n", KEY, VERSION];
        assert_eq!(read("1.0", &lines).unwrap_err().status, 400);
    }

    #[test]
    fn another_version_of_the_protocol_is_426_and_told_which_there_is() {
        for version in [
            "",
            "Sec-WebSocket-Version:\r\n",
            "Sec-WebSocket-Version: 8\r\n",
            "Sec-WebSocket-Version: 013\r\n",
            "Sec-WebSocket-Version: 13, 8\r\n",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
        ] {
            let refusal = upgrade(&[KEY, version]).expect_err(version);
            assert_eq!(refusal.status, 426, "{version}");
            let lines = String::from_utf8(refusal.lines).unwrap();
            for line in ["Sec-WebSocket-Version: 13\r\n", "Upgrade: websocket\r\n"] {
                assert!(lines.contains(line), "{lines}");
            }
        }
    }

    #[test]
    fn a_handshake_whose_upgrade_was_taken_away_is_426_and_says_so() {
        for left in ["Connection: close\r\n", "Upgrade: websocket\r\nConnection: close\r\n"] {
            let refusal = read("1.1", &[left, KEY, VERSION]).unwrap_err();
            assert_eq!((refusal.status, refusal.text), (426, NO_UPGRADE), "{left}");
        }
    }

    #[test]
    fn a_key_that_is_not_16_bytes_is_400() {
        for key in [
            "",
            "Sec-WebSocket-Key:\r\n",
            "Sec-WebSocket-Key: x\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n",
            &KEY.repeat(2),
        ] {
            assert_eq!(status(&[key, VERSION]), 400, "{key}");
        }
    }

    #[test]
    fn a_handshake_with_a_body_is_400() {
        for body in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
            assert_eq!(status(&[KEY, VERSION, body]), 400, "{body}");
        }
    }

    #[test]
    fn the_subprotocol_is_agreed_on_in_whatever_place_it_is_offered() {
        let meta = |lines: &str| upgrade(&[KEY, VERSION, lines]).unwrap().meta;
        for lines in [
            "Sec-WebSocket-Protocol: ws+meta.nchan\r\n",
            "Sec-WebSocket-Protocol: chat,ws+meta.nchan , x\r\n",
            "Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: x,\tws+meta.nchan\r\n",
        ] {
            assert!(meta(lines), "{lines}");
        }
        for lines in [
            "",
            "Sec-WebSocket-Protocol: chat\r\n",
            "Sec-WebSocket-Protocol: ws+meta.nchan2, ws+meta nchan\r\n",
            "Sec-WebSocket-Protocol: WS+META.NCHAN\r\n",
            "Sec-WebSocket-Protocol: \"ws+meta.nchan\"\r\n",
        ] {
            assert!(!meta(lines), "{lines}");
        }
    }
}
