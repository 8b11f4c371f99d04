//! WebSocket frames as a server writes them, and their kinds (RFC 6455 5.2 and 5.5). Never masked,
//! never in fragments.

/// Longest payload of a control frame (RFC 6455 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// A whole Ping without payload.
pub const PING: [u8; 2] = [0x89, 0];

/// Longest reason of a Close: the code takes two bytes.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// The kinds of frames (RFC 6455 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message; a server here never sends one.
    Continuation = 0,
    /// Begins a message that is UTF-8.
    Text = 1,
    /// Begins a message of any bytes.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// Asks for a Pong.
    Ping = 9,
    /// Answers a Ping.
    Pong = 10,
}

impl Opcode {
    pub(super) const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Appends the head of an unmasked frame that is a whole message or a control frame; `length` bytes
/// of payload are to follow.
pub fn write_frame_head(opcode: Opcode, length: usize, out: &mut Vec<u8>) {
    debug_assert!(!opcode.is_control() || length <= CONTROL_BYTES_MAX, "a short control frame");
    out.push(0x80 | opcode as u8);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends the Pong that answers a [`Frame::Ping`](super::Frame::Ping) with this payload.
pub fn write_pong(payload: &[u8], out: &mut Vec<u8>) {
    write_frame_head(Opcode::Pong, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends a Close; without a code it is empty, with one `reason` is cut to what fits.
pub fn write_close(code: Option<u16>, reason: &str, out: &mut Vec<u8>) {
    let Some(code) = code else { return write_frame_head(Opcode::Close, 0, out) };
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    write_frame_head(Opcode::Close, 2 + end, out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn a_head_has_its_length_in_the_fewest_bytes_and_no_mask() {
        let head = |length| written(|out| write_frame_head(Opcode::Text, length, out));
        assert_eq!(head(0), b"\x81\x00");
        assert_eq!(head(125), b"\x81\x7d");
        assert_eq!(head(126), b"\x81\x7e\x00\x7e");
        assert_eq!(head(65_535), b"\x81\x7e\xff\xff");
        assert_eq!(head(65_536), b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
        assert_eq!(written(|out| write_frame_head(Opcode::Binary, 5, out)), b"\x82\x05");
    }

    #[test]
    fn a_pong_has_the_payload_of_its_ping() {
        assert_eq!(written(|out| write_pong(b"", out)), b"\x8a\x00");
        assert_eq!(written(|out| write_pong(b"\xff\0", out)), b"\x8a\x02\xff\0");
        assert_eq!(written(|out| write_frame_head(Opcode::Ping, 0, out)), PING);
    }

    #[test]
    fn a_close_has_its_code_and_as_much_of_the_reason_as_fits() {
        let close = |code, reason: &str| written(|out| write_close(code, reason, out));
        assert_eq!(close(None, ""), b"\x88\x00");
        assert_eq!(close(Some(1001), ""), b"\x88\x02\x03\xe9");
        assert_eq!(close(Some(4410), "410 Gone"), b"\x88\x0a\x11\x3a410 Gone");
        let long = close(Some(1013), &"a".repeat(124));
        assert_eq!((long[1], long.len()), (125, 127));
        // A character is never cut.
        let long = close(Some(1013), &"a€".repeat(50));
        assert_eq!(long.len(), 2 + usize::from(long[1]));
        assert!(std::str::from_utf8(&long[4..]).is_ok_and(|reason| reason.len() > 119));
    }
}
