//! Frame: one frame of a WebSocket (RFC 6455 section 5.2) as a server sends it, and the Pong that
//! this client answers with. Refuses fragments: servers of the protocol send each message whole.

use crate::answer::Reading;

/// The `Sec-WebSocket-Key` of every handshake, that of RFC 6455 section 1.3: requests are prebuilt.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The `Sec-WebSocket-Accept` that answers it.
pub(crate) const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Control frames carry at most this many bytes (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// The key that masks this client's frames; servers unmask with any.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const WHOLE: u8 = 0x80;
const MASKED: u8 = 0x80;
const PONG: u8 = 0xa;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
    /// Bytes of header and payload together.
    pub(crate) length: usize,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// Reads the frame at the start of `bytes`.
pub(crate) fn read(bytes: &[u8]) -> Reading<Frame<'_>> {
    let &[first, second, ..] = bytes else { return Reading::Incomplete };
    let kind = match first {
        0x81 => Kind::Text,
        0x82 => Kind::Binary,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        _ => return Reading::Broken("a fragment, or a frame with reserved bits"),
    };
    if second & MASKED != 0 {
        return Reading::Broken("a masked frame from the server");
    }
    let is_control = !matches!(kind, Kind::Text | Kind::Binary);
    let (start, size) = match second {
        126 | 127 if is_control => return Reading::Broken("a control frame above 125 bytes"),
        126 => (4, bytes.get(2..4).map(number)),
        127 => (10, bytes.get(2..10).map(number)),
        size => (2, Some(u64::from(size))),
    };
    let Some(size) = size else { return Reading::Incomplete };
    let length = usize::try_from(size).ok().and_then(|size| size.checked_add(start));
    let Some(length) = length else { return Reading::Broken("a frame of a wrong length") };
    match bytes.get(start..length) {
        None => Reading::Incomplete,
        Some(payload) => Reading::Whole(Frame { kind, payload, length }),
    }
}

/// The Pong for a Ping with this payload, masked, replaces `frame`.
pub(crate) fn write_pong(frame: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() <= CONTROL_BYTES_MAX, "read refuses longer ones");
    frame.clear();
    frame.extend_from_slice(&[WHOLE | PONG, MASKED | payload.len() as u8]);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The number whose bytes these are, most significant first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::{Frame, Kind, read, write_pong};
    use crate::answer::Reading;

    /// A text frame with this many bytes, and its length field.
    fn text(size: usize, field: &[u8]) -> Vec<u8> {
        [&[0x81], field, &vec![b'x'; size]].concat()
    }

    #[test]
    fn a_frame_gives_its_payload_whatever_its_size() {
        for (size, field) in [
            (0, &[0][..]),
            (125, &[125]),
            (126, &[126, 0, 126]),
            (65_535, &[126, 0xff, 0xff]),
            (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let bytes = text(size, field);
            let payload = &bytes[bytes.len() - size..];
            let frame = Frame { kind: Kind::Text, payload, length: bytes.len() };
            assert_eq!(read(&[&bytes[..], b"\x81"].concat()), Reading::Whole(frame));
        }
    }

    #[test]
    fn every_shorter_part_of_a_frame_is_incomplete() {
        for bytes in [text(5, &[5]), text(200, &[126, 0, 200])] {
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Reading::Incomplete, "{end} bytes");
            }
        }
    }

    #[test]
    fn what_no_server_may_send_is_told() {
        for (bytes, why) in [
            (&[0x01, 1, b'x'][..], "a fragment"),
            (&[0xc1, 1, b'x'], "a frame with reserved bits"),
            (&[0x81, 0x81, 0, 0, 0, 0, b'x'], "a masked frame"),
            (&[0x89, 126, 0, 126], "above 125 bytes"),
            (&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], "a wrong length"),
        ] {
            let Reading::Broken(told) = read(bytes) else { panic!("{bytes:?} was read") };
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_pong_is_masked_and_carries_the_bytes_of_the_ping() {
        let mut frame = b"before".to_vec();
        write_pong(&mut frame, b"Hello");
        // RFC 6455 section 5.7 has this frame.
        assert_eq!(frame, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    }
}
