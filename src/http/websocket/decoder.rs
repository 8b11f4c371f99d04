//! WebSocket decoder: the frames that a client sends behind its handshake (RFC 6455 sections 5, 7.4
//! and 8.1). The input may be split anywhere, and no byte is parsed twice. Answers nothing by
//! itself.
//!
//! Strict on purpose: what the RFC forbids a client is a breach at the first byte that shows it.
//! Stricter than most in one point: a length has to be in the fewest bytes (5.2).

use super::frame::{CONTROL_BYTES_MAX, Opcode};

/// The decoder of all that one client sends behind its handshake. Between two messages it keeps
/// nothing: 8 bytes, and no memory elsewhere.
#[derive(Debug, Default)]
pub struct Decoder {
    begun: Option<Box<Begun>>,
}

/// What a client has sent: a control frame, or a message whose last frame has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Its payload, at most [`CONTROL_BYTES_MAX`] bytes; a Pong answers with the same (5.5.3).
    Ping(Vec<u8>),
    /// An answer to a Ping, or a sign of life; the payload is dropped.
    Pong,
    /// Nothing that comes behind it is a frame (5.5.1): stop decoding.
    Close {
        /// One that a client may send (7.4), to be sent back. Its reason is checked and dropped.
        code: Option<u16>,
    },
    /// The payloads of all its frames.
    Message {
        /// Whether it is text: then `body` is UTF-8.
        text: bool,
        /// Unmasked.
        body: Vec<u8>,
    },
}

/// Why the connection has to be closed: the code and the reason of a Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// RFC 6455 7.4.1.
    pub code: u16,
    /// One line, at most 123 bytes.
    pub reason: &'static str,
}

/// What is done with a data frame. The decoder asks at the header of each, before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// It is taken, in messages of at most so many bytes; above that the breach is 1009.
    Messages {
        /// Of all frames of a message together.
        bytes_max: usize,
    },
    /// None is taken: the client may not publish (1008), or not now.
    Refused(Breach),
}

/// A frame that is not whole, or a message whose last frame has not come.
#[derive(Debug, Default)]
struct Begun {
    step: Step,
    /// Payload of a control frame so far.
    control: Vec<u8>,
    message: Option<Fragments>,
}

/// Where in a frame the next byte belongs.
///
/// ```text
///   First ──► Second ──┬───────────────► Mask ──► Payload ──► First
///                      └──► Length ──────►┘ │                  ▲
///                                           └──────────────────┘ no payload
/// ```
#[derive(Debug, Clone, Copy, Default)]
enum Step {
    #[default]
    First,
    Second(Start),
    /// `missing` bytes of the length are to come, of 2 or 8 (`wide`).
    Length {
        start: Start,
        wide: bool,
        missing: u8,
        length: u64,
    },
    /// The `missing` last bytes of `mask` are to come.
    Mask {
        start: Start,
        length: u64,
        mask: [u8; 4],
        missing: u8,
    },
    /// The first byte of `mask` is that of the next byte; `left` is at least 1.
    Payload {
        start: Start,
        left: u64,
        mask: [u8; 4],
    },
}

/// What the first byte of a frame says.
#[derive(Debug, Clone, Copy)]
struct Start {
    opcode: Opcode,
    /// FIN: the frame is the last one of its message.
    last: bool,
}

/// A message as far as it has come.
#[derive(Debug)]
struct Fragments {
    text: bool,
    body: Vec<u8>,
    /// `0 <= valid <= body.len()`: so many bytes of text are whole characters.
    valid: usize,
}

impl Decoder {
    /// Decodes the beginning of `input`, up to the end of its first message or control frame; gives
    /// how many bytes that took. Call again with the rest while it is not empty.
    ///
    /// # Errors
    /// [`Breach`]: the Close to send. After it, as after a Close of the client, nothing is decoded.
    pub fn decode(
        &mut self,
        input: &[u8],
        intake: Intake,
    ) -> Result<(usize, Option<Frame>), Breach> {
        if let Some(begun) = &mut self.begun {
            let decoded = begun.decode(input, intake)?;
            if begun.is_nothing() {
                self.begun = None;
            }
            return Ok(decoded);
        }
        // Most frames come whole: they need no memory of their own but for their payload.
        let mut begun = Begun::default();
        let decoded = begun.decode(input, intake)?;
        if !begun.is_nothing() {
            self.begun = Some(Box::new(begun));
        }
        Ok(decoded)
    }

    /// How many bytes have come of a message that is not whole; `None`: no message has begun.
    #[must_use]
    pub fn message_bytes(&self) -> Option<usize> {
        let message = self.begun.as_ref().and_then(|begun| begun.message.as_ref());
        message.map(|message| message.body.len())
    }

    /// Bytes of memory that a message takes which is not whole yet: at most twice as many as have
    /// come of it.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let message = self.begun.as_ref().and_then(|begun| begun.message.as_ref());
        message.map_or(0, |message| message.body.capacity())
    }
}

impl Begun {
    /// Between two messages.
    fn is_nothing(&self) -> bool {
        matches!(self.step, Step::First) && self.message.is_none()
    }

    fn decode(&mut self, input: &[u8], intake: Intake) -> Result<(usize, Option<Frame>), Breach> {
        let mut at = 0;
        while at < input.len() {
            let ended = if let Step::Payload { start, left, mask } = self.step {
                let (taken, ended) = self.take_payload(start, left, mask, &input[at..])?;
                at += taken;
                ended
            } else {
                let ended = self.take_head(input[at], intake)?;
                at += 1;
                ended
            };
            if let Some(start) = ended
                && let Some(frame) = self.end_frame(start)?
            {
                return Ok((at, Some(frame)));
            }
        }
        Ok((at, None))
    }

    /// Takes one byte before the payload; gives a frame that has none and so has ended.
    fn take_head(&mut self, byte: u8, intake: Intake) -> Result<Option<Start>, Breach> {
        self.step = match self.step {
            Step::First => Step::Second(self.start(byte)?),
            Step::Second(start) => self.after_second(start, byte, intake)?,
            Step::Length { start, wide, missing, length } => {
                if wide && missing == 8 && byte >= 0x80 {
                    return Err(breach(1002, "a 64-bit length has its highest bit set"));
                }
                let (missing, length) = (missing - 1, length << 8 | u64::from(byte));
                match missing {
                    0 if length <= if wide { 0xffff } else { 125 } => {
                        return Err(breach(1002, "a length is not written in the fewest bytes"));
                    }
                    0 => self.after_length(start, length, intake)?,
                    _ => Step::Length { start, wide, missing, length },
                }
            }
            Step::Mask { start, length, mut mask, missing } => {
                mask[4 - usize::from(missing)] = byte;
                match missing {
                    2.. => Step::Mask { start, length, mask, missing: missing - 1 },
                    _ => {
                        if matches!(start.opcode, Opcode::Text | Opcode::Binary) {
                            self.message = Some(Fragments::new(start.opcode == Opcode::Text));
                        }
                        if length == 0 {
                            return Ok(Some(start));
                        }
                        Step::Payload { start, left: length, mask }
                    }
                }
            }
            payload @ Step::Payload { .. } => payload,
        };
        Ok(None)
    }

    /// What the first byte says, if it may stand here.
    fn start(&self, byte: u8) -> Result<Start, Breach> {
        if byte & 0x70 != 0 {
            return Err(breach(1002, "a reserved bit is set, and no extension was agreed on"));
        }
        let Some(opcode) = Opcode::of(byte & 0x0f) else {
            return Err(breach(1002, "a frame has a reserved opcode"));
        };
        let last = byte & 0x80 != 0;
        let wrong = match opcode {
            _ if opcode.is_control() && !last => "a control frame is fragmented",
            Opcode::Continuation if self.message.is_none() => {
                "a continuation frame, and no message has begun"
            }
            Opcode::Text | Opcode::Binary if self.message.is_some() => {
                "a message begins before the last frame of the one before"
            }
            _ => return Ok(Start { opcode, last }),
        };
        Err(breach(1002, wrong))
    }

    fn after_second(&self, start: Start, byte: u8, intake: Intake) -> Result<Step, Breach> {
        if byte & 0x80 == 0 {
            return Err(breach(1002, "a frame is not masked; those of clients are"));
        }
        let length = byte & 0x7f;
        if start.opcode.is_control() {
            if usize::from(length) > CONTROL_BYTES_MAX {
                return Err(breach(1002, "a control frame has over 125 bytes"));
            }
            if start.opcode == Opcode::Close && length == 1 {
                return Err(breach(1002, "a Close has one byte: no whole code"));
            }
        } else if let Intake::Refused(breach) = intake {
            return Err(breach);
        }
        let wide = match length {
            126 => false,
            127 => true,
            short => return self.after_length(start, u64::from(short), intake),
        };
        Ok(Step::Length { start, wide, missing: if wide { 8 } else { 2 }, length: 0 })
    }

    fn after_length(&self, start: Start, length: u64, intake: Intake) -> Result<Step, Breach> {
        let bytes_max = match intake {
            Intake::Messages { bytes_max } if !start.opcode.is_control() => bytes_max,
            _ => usize::MAX,
        };
        let before = self.message.as_ref().map_or(0, |message| message.body.len());
        let total = length.saturating_add(before as u64);
        if total > bytes_max as u64 {
            return Err(breach(1009, "the message is larger than this server takes"));
        }
        Ok(Step::Mask { start, length, mask: [0; 4], missing: 4 })
    }

    /// Takes the payload at the start of `input`; gives how many bytes it is, and its frame if that
    /// has ended.
    fn take_payload(
        &mut self,
        start: Start,
        left: u64,
        mut mask: [u8; 4],
        input: &[u8],
    ) -> Result<(usize, Option<Start>), Breach> {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let piece = &input[..taken];
        match &mut self.message {
            Some(message) if !start.opcode.is_control() => message.append(piece, mask, left)?,
            _ => append_unmasked(&mut self.control, piece, mask),
        }
        let left = left - taken as u64;
        mask.rotate_left(taken % 4);
        self.step = Step::Payload { start, left, mask };
        Ok((taken, (left == 0).then_some(start)))
    }

    /// What has ended with a frame; `None`: neither a control frame nor a message.
    fn end_frame(&mut self, start: Start) -> Result<Option<Frame>, Breach> {
        self.step = Step::First;
        let frame = match start.opcode {
            Opcode::Ping => Frame::Ping(std::mem::take(&mut self.control)),
            Opcode::Pong => {
                self.control = Vec::new();
                Frame::Pong
            }
            Opcode::Close => Frame::Close { code: code_of(&std::mem::take(&mut self.control))? },
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !start.last => return Ok(None),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let message = self.message.take().expect("a data frame is part of a message");
                if message.valid < message.body.len() && message.text {
                    return Err(NOT_UTF8);
                }
                Frame::Message { text: message.text, body: message.body }
            }
        };
        Ok(Some(frame))
    }
}

impl Fragments {
    const fn new(text: bool) -> Self {
        Self { text, body: Vec::new(), valid: 0 }
    }

    /// Appends a piece of a frame of which `left` bytes, these among them, are to come.
    fn append(&mut self, piece: &[u8], mask: [u8; 4], left: u64) -> Result<(), Breach> {
        let (length, capacity) = (self.body.len(), self.body.capacity());
        if capacity - length < piece.len() {
            // Twice as much each time, as `Vec` does it, but not for more than will come.
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            self.body.reserve_exact(piece.len().max((2 * capacity - length).min(left)));
        }
        append_unmasked(&mut self.body, piece, mask);
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.body[self.valid..]) {
            Ok(_) => self.valid = self.body.len(),
            // The last character may go on in the next piece.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(NOT_UTF8),
        }
        Ok(())
    }
}

const NOT_UTF8: Breach = breach(1007, "text is not valid UTF-8");

const fn breach(code: u16, reason: &'static str) -> Breach {
    Breach { code, reason }
}

/// The code in the payload of a Close, which is empty or has two bytes at least.
fn code_of(payload: &[u8]) -> Result<Option<u16>, Breach> {
    let Some((code, reason)) = payload.split_first_chunk() else { return Ok(None) };
    let code = u16::from_be_bytes(*code);
    // RFC 6455 7.4.1 and 7.4.2, and the registry that 11.7 founds.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(breach(1002, "a Close has a code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(breach(1007, "the reason of a Close is not valid UTF-8")),
    }
}

/// Appends `piece`, unmasked (RFC 6455 5.3).
fn append_unmasked(out: &mut Vec<u8>, piece: &[u8], mask: [u8; 4]) {
    let start = out.len();
    out.extend_from_slice(piece);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = out[start..].as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: Intake = Intake::Messages { bytes_max: 100_000 };

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// What came out, and why it ended before the input did.
    type Outcome = (Vec<Frame>, Option<Breach>);

    /// A masked frame with this first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                bytes.push(0xfe);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0xff);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn in_pieces<'b>(pieces: impl Iterator<Item = &'b [u8]>, intake: Intake) -> Outcome {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for mut rest in pieces {
            while !rest.is_empty() {
                match decoder.decode(rest, intake) {
                    Err(breach) => return (frames, Some(breach)),
                    Ok((taken, frame)) => {
                        assert!(taken == rest.len() || frame.is_some(), "all, but for a frame");
                        rest = &rest[taken..];
                        let is_end = matches!(frame, Some(Frame::Close { .. }));
                        frames.extend(frame);
                        if is_end {
                            return (frames, None);
                        }
                    }
                }
            }
        }
        (frames, None)
    }

    /// What comes out: of all bytes at once, one by one, and cut in two at every place.
    fn decode_by(bytes: &[u8], intake: Intake) -> Outcome {
        let whole = in_pieces(std::iter::once(bytes), intake);
        assert_eq!(in_pieces(bytes.chunks(1), intake), whole, "byte by byte");
        // A long payload is alike at most places.
        let is_told = |at: &usize| bytes.len() < 1000 || *at < 30 || bytes.len() - *at < 10;
        for at in (1..bytes.len()).filter(is_told) {
            let (first, second) = bytes.split_at(at);
            assert_eq!(in_pieces([first, second].into_iter(), intake), whole, "cut at {at}");
        }
        whole
    }

    fn decode(bytes: &[u8]) -> Outcome {
        decode_by(bytes, ANY)
    }

    /// What comes out of bytes with nothing wrong.
    #[track_caller]
    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let (frames, breach) = decode(bytes);
        assert_eq!(breach, None, "{}", bytes.escape_ascii());
        frames
    }

    /// The code of what is wrong with bytes from which nothing comes out.
    #[track_caller]
    fn code(bytes: &[u8]) -> u16 {
        let (frames, breach) = decode(bytes);
        assert_eq!(frames, [], "{}", bytes.escape_ascii());
        breach.expect("it is not refused").code
    }

    fn text(body: &str) -> Frame {
        Frame::Message { text: true, body: body.as_bytes().to_vec() }
    }

    fn binary(body: &[u8]) -> Frame {
        Frame::Message { text: false, body: body.to_vec() }
    }

    fn close(code: u16, reason: &[u8]) -> Vec<u8> {
        frame(0x88, &[&code.to_be_bytes(), reason].concat())
    }

    // Framing.

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 6455 5.7.
        let hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(frames(hello), [text("Hello")]);
        let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(frames(pong), [Frame::Pong]);
        assert_eq!(decode(b"\x81\x05Hello").1.map(|breach| breach.code), Some(1002));
    }

    #[test]
    fn messages_of_every_size_of_length_are_read_whole() {
        for length in [0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 1000, 65_535, 65_536, 65_537] {
            let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert_eq!(frames(&frame(0x82, &body)), [binary(&body)], "{length}");
            let body = "*".repeat(length);
            assert_eq!(frames(&frame(0x81, body.as_bytes())), [text(&body)], "{length}");
        }
    }

    #[test]
    fn frames_behind_each_other_are_read_one_after_the_other() {
        let all = [frame(0x81, b"a"), frame(0x82, b""), frame(0x89, b"p"), frame(0x81, b"b")];
        let wanted = [text("a"), binary(b""), Frame::Ping(b"p".to_vec()), text("b")];
        assert_eq!(frames(&all.concat()), wanted);
    }

    #[test]
    fn a_frame_that_is_not_masked_is_a_breach_at_its_second_byte() {
        for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8a] {
            for second in [0, 5, 126, 127] {
                assert_eq!(code(&[first, second]), 1002, "{first:#x} {second}");
            }
        }
    }

    #[test]
    fn a_length_is_in_the_fewest_bytes() {
        for head in [
            &b"\x82\xfe\x00\x00"[..],
            b"\x82\xfe\x00\x7d",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05",
            b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff",
        ] {
            assert_eq!(code(head), 1002, "{}", head.escape_ascii());
        }
        assert_eq!(frames(b"\x82\xfe\x00\x7e"), []);
        assert_eq!(frames(b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"), []);
    }

    #[test]
    fn a_64_bit_length_has_its_highest_bit_clear() {
        assert_eq!(code(b"\x82\xff\x80"), 1002);
        assert_eq!(code(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"), 1002);
        // 2^63 - 1 may be written, and is too long.
        assert_eq!(code(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009);
    }

    #[test]
    fn every_mask_is_taken_off_wherever_the_payload_is_split() {
        let body: Vec<u8> = (0..40).collect();
        for mask in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0x80, 0, 0, 1]] {
            let mut bytes = vec![0x82, 0x80 | 40];
            bytes.extend_from_slice(&mask);
            bytes.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            assert_eq!(frames(&bytes), [binary(&body)], "{mask:?}");
            for size in 2..20 {
                assert_eq!(in_pieces(bytes.chunks(size), ANY).0, [binary(&body)], "{mask:?}");
            }
        }
    }

    // Pings and Pongs.

    #[test]
    fn a_ping_is_given_with_its_payload_in_order() {
        let long = vec![0xfe; 125];
        let pings = [&b""[..], b"Hello", b"\x00\xff\xfe\xfd", &long];
        let all: Vec<u8> = pings.iter().flat_map(|payload| frame(0x89, payload)).collect();
        assert_eq!(frames(&all), pings.map(|payload| Frame::Ping(payload.to_vec())));
    }

    #[test]
    fn a_pong_is_taken_whether_it_was_asked_for_or_not() {
        let all = [frame(0x8a, b""), frame(0x8a, &[0xff; 125]), frame(0x89, b"x")].concat();
        assert_eq!(frames(&all), [Frame::Pong, Frame::Pong, Frame::Ping(b"x".to_vec())]);
    }

    #[test]
    fn a_control_frame_has_at_most_125_bytes() {
        for first in [0x88, 0x89, 0x8a] {
            for length in [0xfe, 0xff] {
                assert_eq!(code(&[first, length]), 1002, "{first:#x}");
            }
        }
    }

    // Reserved bits.

    #[test]
    fn a_reserved_bit_is_a_breach_at_the_first_byte() {
        for bits in 1..8 {
            for opcode in [0, 1, 2, 8, 9, 10] {
                assert_eq!(code(&[0x80 | bits << 4 | opcode]), 1002, "{bits} {opcode}");
                assert_eq!(code(&[bits << 4 | opcode]), 1002, "{bits} {opcode}");
            }
        }
        let behind = [frame(0x81, b"a"), frame(0xc1, b"b"), frame(0x89, b"")].concat();
        let (frames, breach) = decode(&behind);
        assert_eq!((frames, breach.map(|breach| breach.code)), (vec![text("a")], Some(1002)));
    }

    // Opcodes.

    #[test]
    fn a_reserved_opcode_is_a_breach_at_the_first_byte() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(code(&[0x80 | opcode]), 1002, "{opcode}");
            assert_eq!(code(&[opcode]), 1002, "{opcode}");
        }
    }

    // Fragments.

    #[test]
    fn a_message_in_fragments_is_put_together() {
        let all = [frame(0x01, b"a"), frame(0x00, b""), frame(0x00, b"bc"), frame(0x80, b"d")];
        assert_eq!(frames(&all.concat()), [text("abcd")]);
        let all = [frame(0x02, b""), frame(0x00, b"\xff"), frame(0x80, b"")];
        assert_eq!(frames(&all.concat()), [binary(b"\xff")]);
        assert_eq!(frames(&[frame(0x01, b""), frame(0x80, b"")].concat()), [text("")]);
        let bytewise: Vec<u8> = (0..200).flat_map(|_| frame(0x00, b"x")).collect();
        let all = [frame(0x01, b""), bytewise, frame(0x80, b"")].concat();
        assert_eq!(frames(&all), [text(&"x".repeat(200))]);
    }

    #[test]
    fn control_frames_come_in_between_fragments() {
        let all = [
            frame(0x01, b"a"),
            frame(0x89, b"ping"),
            frame(0x00, b"b"),
            frame(0x8a, b"pong"),
            frame(0x89, b""),
            frame(0x80, b"c"),
            frame(0x80, b""),
        ];
        let (frames, breach) = decode(&all.concat());
        let ping = |payload: &[u8]| Frame::Ping(payload.to_vec());
        assert_eq!(frames, [ping(b"ping"), Frame::Pong, ping(b""), text("abc")]);
        assert_eq!(breach.map(|breach| breach.code), Some(1002));
        let all = [frame(0x01, b"a"), close(1000, b"")].concat();
        assert_eq!(self::frames(&all), [Frame::Close { code: Some(1000) }]);
    }

    #[test]
    fn a_control_frame_is_never_fragmented() {
        for opcode in [8, 9, 10] {
            assert_eq!(code(&[opcode]), 1002, "{opcode}");
            assert_eq!(code(&[&frame(0x01, b"a")[..], &[opcode]].concat()), 1002, "{opcode}");
        }
    }

    #[test]
    fn a_continuation_follows_a_beginning() {
        for first in [0x00, 0x80] {
            assert_eq!(code(&[first]), 1002);
            let (frames, breach) = decode(&[&frame(0x81, b"a")[..], &[first]].concat());
            assert_eq!((frames, breach.map(|b| b.code)), (vec![text("a")], Some(1002)));
        }
    }

    #[test]
    fn no_message_begins_within_the_fragments_of_another() {
        for begun in [0x01, 0x02] {
            for first in [0x01, 0x02, 0x81, 0x82] {
                let bytes = [&frame(begun, b"a")[..], &frame(0x00, b"b"), &[first]].concat();
                assert_eq!(code(&bytes), 1002, "{first:#x} within {begun:#x}");
            }
        }
    }

    // UTF-8.

    /// A text frame that is longer than `payload`, and that only.
    fn begun(payload: &[u8]) -> Vec<u8> {
        let mut bytes = frame(0x81, &[payload, b"........"].concat());
        bytes.truncate(bytes.len() - 8);
        bytes
    }

    const INVALID: [&[u8]; 24] = [
        b"\x80",
        b"\xbf",
        b"\xc0",
        b"\xc1",
        b"\xf5",
        b"\xf8",
        b"\xfe",
        b"\xff",
        b"\xc3\x28",
        b"\xe0\x80",
        b"\xe0\x9f",
        b"\xed\xa0",
        b"\xed\xbf",
        b"\xe2\x28",
        b"\xe2\x82\x28",
        b"\xf0\x80",
        b"\xf0\x8f",
        b"\xf4\x90",
        b"\xf0\x28",
        b"\xf0\x9f\x28",
        b"\xf0\x9f\x98\x28",
        b"\xe2\xe2",
        b"\xf0\x9f\xf0",
        b"\xc3\xc3",
    ];

    #[test]
    fn text_is_utf8_of_every_length_of_character() {
        for body in ["\0", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}"]
            .into_iter()
            .chain(["\u{fffd}", "\u{ffff}", "\u{10000}", "\u{10ffff}", "κόσμε möte 💬"])
        {
            assert_eq!(frames(&frame(0x81, body.as_bytes())), [text(body)]);
            let fragments: Vec<u8> =
                body.as_bytes().iter().flat_map(|byte| frame(0x00, &[*byte])).collect();
            let all = [frame(0x01, b""), fragments, frame(0x80, b"")].concat();
            assert_eq!(frames(&all), [text(body)], "a character may be cut by fragments");
        }
    }

    #[test]
    fn text_that_is_no_utf8_is_1007_at_the_byte_that_shows_it() {
        for invalid in INVALID {
            let (last, before) = invalid.split_last().unwrap();
            let before = ["é".as_bytes(), before].concat();
            assert_eq!(decode(&begun(&before)), (vec![], None), "{}", invalid.escape_ascii());
            let shown = [&before[..], &[*last]].concat();
            assert_eq!(code(&begun(&shown)), 1007, "{}", invalid.escape_ascii());
            let fragments: Vec<u8> = shown.iter().flat_map(|byte| frame(0x00, &[*byte])).collect();
            assert_eq!(code(&[frame(0x01, b"a"), fragments].concat()), 1007);
        }
    }

    #[test]
    fn text_that_ends_within_a_character_is_1007() {
        for cut in [&b"a\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!(code(&frame(0x81, cut)), 1007);
            assert_eq!(code(&[frame(0x01, cut), frame(0x80, b"")].concat()), 1007);
            assert_eq!(decode(&frame(0x01, cut)), (vec![], None));
        }
    }

    #[test]
    fn no_text_is_looked_at_twice_but_a_character_that_is_cut() {
        let bytes = frame(0x81, &"a€".repeat(100).into_bytes());
        let mut decoder = Decoder::default();
        for piece in bytes[..bytes.len() - 1].chunks(7) {
            decoder.decode(piece, ANY).unwrap();
            let message = decoder.begun.as_ref().and_then(|begun| begun.message.as_ref());
            assert!(message.is_none_or(|message| message.body.len() - message.valid <= 3));
        }
    }

    #[test]
    fn binary_is_any_bytes() {
        for body in INVALID {
            assert_eq!(frames(&frame(0x82, body)), [binary(body)]);
        }
    }

    // Close.

    #[test]
    fn a_close_has_no_code_or_one_that_may_be_sent() {
        assert_eq!(frames(&frame(0x88, b"")), [Frame::Close { code: None }]);
        for allowed in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]
            .into_iter()
            .chain([3000, 3999, 4000, 4409, 4999])
        {
            let wanted = [Frame::Close { code: Some(allowed) }];
            assert_eq!(frames(&close(allowed, b"")), wanted);
            assert_eq!(frames(&close(allowed, "für heute".as_bytes())), wanted);
        }
        for forbidden in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert_eq!(code(&close(forbidden, b"")), 1002, "{forbidden}");
        }
    }

    #[test]
    fn a_close_of_one_byte_is_a_breach() {
        assert_eq!(code(&[0x88, 0x81]), 1002);
    }

    #[test]
    fn the_reason_of_a_close_is_utf8_of_at_most_123_bytes() {
        let wanted = [Frame::Close { code: Some(1000) }];
        assert_eq!(frames(&close(1000, &[b'*'; 123])), wanted);
        assert_eq!(code(&close(1000, &[b'*'; 124])), 1002);
        for invalid in INVALID {
            assert_eq!(code(&close(1000, invalid)), 1007);
        }
        assert_eq!(code(&close(1000, b"\xe2\x82")), 1007, "cut off");
    }

    #[test]
    fn nothing_is_taken_behind_a_close() {
        let bytes = [close(1000, b""), frame(0x89, b"")].concat();
        let wanted = Some(Frame::Close { code: Some(1000) });
        assert_eq!(Decoder::default().decode(&bytes, ANY), Ok((bytes.len() - 6, wanted)));
    }

    // Limits.

    #[test]
    fn a_message_above_the_limit_is_1009_at_its_header() {
        let limit = |bytes_max| Intake::Messages { bytes_max };
        let five = frame(0x82, b"12345");
        assert_eq!(decode_by(&five, limit(5)), (vec![binary(b"12345")], None));
        let code = |bytes: &[u8], bytes_max| decode_by(bytes, limit(bytes_max)).1.map(|b| b.code);
        assert_eq!(code(&five[..2], 4), Some(1009));
        assert_eq!(code(b"\x82\xfe\x01\x00", 255), Some(1009));
        assert_eq!(code(b"\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00", 65_535), Some(1009));
        let nothing = decode_by(&frame(0x82, b""), limit(0));
        assert_eq!(nothing, (vec![binary(b"")], None));
    }

    #[test]
    fn a_message_in_fragments_is_1009_as_soon_as_they_add_up() {
        let limit = Intake::Messages { bytes_max: 5 };
        let fitting = [frame(0x01, b"abc"), frame(0x89, &[0; 125]), frame(0x80, b"de")].concat();
        let wanted = [Frame::Ping(vec![0; 125]), text("abcde")];
        assert_eq!(decode_by(&fitting, limit), (wanted.to_vec(), None));
        let begun = [frame(0x01, b"abc"), frame(0x00, b"d")].concat();
        assert_eq!(decode_by(&begun, limit), (vec![], None));
        let over = [&begun[..], &[0x00, 0x82]].concat();
        assert_eq!(decode_by(&over, limit).1.map(|breach| breach.code), Some(1009));
        // Each message for itself.
        let two = [frame(0x82, b"abcde"), frame(0x82, b"fghij")].concat();
        assert_eq!(decode_by(&two, limit), (vec![binary(b"abcde"), binary(b"fghij")], None));
    }

    #[test]
    fn a_data_frame_that_is_not_wanted_is_refused_at_its_header() {
        let refusal = Breach { code: 1008, reason: "this location takes no messages" };
        let refused = |bytes: &[u8]| decode_by(bytes, Intake::Refused(refusal));
        for first in [0x01, 0x02, 0x81, 0x82] {
            for second in [0x80, 0x85, 0xfe, 0xff] {
                assert_eq!(refused(&[first, second]), (vec![], Some(refusal)));
            }
        }
        let controls = [frame(0x89, b"a"), frame(0x8a, b""), close(1000, b"")].concat();
        let wanted = [Frame::Ping(b"a".to_vec()), Frame::Pong, Frame::Close { code: Some(1000) }];
        assert_eq!(refused(&controls), (wanted.to_vec(), None));
        for (first, second) in [(0x83, 0x80), (0x00, 0x80), (0xc1, 0x80), (0x81, 0x00)] {
            assert_eq!(refused(&[first, second]).1.map(|breach| breach.code), Some(1002));
        }
    }

    #[test]
    fn what_is_taken_is_asked_at_each_header_of_a_message() {
        let refusal = Breach { code: 1013, reason: "not now" };
        let mut decoder = Decoder::default();
        let begun = frame(0x01, b"abc");
        assert_eq!(decoder.decode(&begun, ANY), Ok((begun.len(), None)));
        let ping = frame(0x89, b"");
        let pinged = decoder.decode(&ping, Intake::Refused(refusal));
        assert_eq!(pinged, Ok((ping.len(), Some(Frame::Ping(vec![])))));
        assert_eq!(decoder.decode(&[0x80, 0x81], Intake::Refused(refusal)), Err(refusal));
        // A frame whose header was taken is taken whole.
        let mut decoder = Decoder::default();
        let (header, payload) = begun.split_at(6);
        assert_eq!(decoder.decode(header, ANY), Ok((6, None)));
        assert_eq!(decoder.decode(payload, Intake::Refused(refusal)), Ok((3, None)));
    }

    #[test]
    fn memory_grows_with_what_has_come_and_a_client_that_is_idle_takes_8_bytes() {
        assert_eq!(size_of::<Decoder>(), 8);
        let intake = Intake::Messages { bytes_max: usize::MAX };
        let mut decoder = Decoder::default();
        let head = b"\x82\xff\x00\x00\x00\x10\x00\x00\x00\x00\0\0\0\0";
        assert_eq!(decoder.decode(head, intake), Ok((14, None)));
        assert_eq!(decoder.kept_bytes(), 0);
        for come in 1..=3000 {
            assert_eq!(decoder.decode(b"x", intake), Ok((1, None)));
            assert!((come..=2 * come).contains(&decoder.kept_bytes()), "{come}");
        }
        // Of a length that is known no more than that.
        let mut decoder = Decoder::default();
        let bytes = frame(0x82, &[0; 1000]);
        for piece in bytes[..bytes.len() - 1].chunks(7) {
            decoder.decode(piece, intake).unwrap();
        }
        assert!((999..=1000).contains(&decoder.kept_bytes()));
        let last = &bytes[bytes.len() - 1..];
        assert_eq!(decoder.decode(last, intake), Ok((1, Some(binary(&[0; 1000])))));
        assert!(decoder.begun.is_none() && decoder.kept_bytes() == 0);
    }

    #[test]
    fn the_bytes_of_a_message_that_is_not_whole_are_those_of_its_payloads() {
        let intake = Intake::Messages { bytes_max: 9 };
        let mut decoder = Decoder::default();
        let pieces: [(&[u8], Option<usize>); 8] = [
            (b"\x89", None),
            (b"\x80\0\0\0\0", None),
            (b"\x02\x82\0\0\0", None),
            (b"\0", Some(0)),
            (b"ab", Some(2)),
            (b"\x00\x80\0\0\0\0\x89\x81\0\0\0\0p", Some(2)),
            (b"\x80\x82\0\0\0\0c", Some(3)),
            (b"d", None),
        ];
        for (mut piece, bytes) in pieces {
            while !piece.is_empty() {
                piece = &piece[decoder.decode(piece, intake).unwrap().0..];
            }
            assert_eq!(decoder.message_bytes(), bytes);
        }
    }

    #[test]
    fn every_reason_fits_a_close() {
        let code = include_str!("decoder.rs").split("mod tests").next().unwrap();
        let reasons = code.split('"').skip(1).step_by(2).filter(|text| text.contains(' '));
        assert!(reasons.clone().count() > 10 && reasons.clone().all(|reason| reason.len() <= 123));
    }

    /// What a client may send.
    #[derive(Debug, Clone)]
    enum Sent {
        Control(Frame, Vec<u8>),
        Message { text: bool, fragments: Vec<(Vec<u8>, Option<Vec<u8>>)> },
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let bytes = |max: usize| prop::collection::vec(any::<u8>(), 0..max);
        let ping = bytes(126).prop_map(|payload| {
            let bytes = frame(0x89, &payload);
            Sent::Control(Frame::Ping(payload), bytes)
        });
        let pong = bytes(126).prop_map(|payload| Sent::Control(Frame::Pong, frame(0x8a, &payload)));
        let between = || prop::option::of(bytes(20));
        let binary = prop::collection::vec((bytes(300), between()), 1..5)
            .prop_map(|fragments| Sent::Message { text: false, fragments });
        let text =
            ("\\PC{0,60}", prop::collection::vec((any::<prop::sample::Index>(), between()), 1..5))
                .prop_map(|(text, cuts)| {
                    let mut rest = text.as_bytes();
                    let mut fragments = Vec::new();
                    for (cut, between) in &cuts[1..] {
                        let (first, second) = rest.split_at(cut.index(rest.len() + 1));
                        fragments.push((first.to_vec(), between.clone()));
                        rest = second;
                    }
                    fragments.push((rest.to_vec(), None));
                    Sent::Message { text: true, fragments }
                });
        prop_oneof![ping, pong, binary, text]
    }

    /// The bytes of what was sent, and what has to come out.
    fn written(all: &[Sent]) -> (Vec<u8>, Vec<Frame>) {
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        for sent in all {
            match sent {
                Sent::Control(wanted, written) => {
                    bytes.extend_from_slice(written);
                    frames.push(wanted.clone());
                }
                Sent::Message { text, fragments } => {
                    let mut body = Vec::new();
                    for (at, (fragment, between)) in fragments.iter().enumerate() {
                        let is_last = at + 1 == fragments.len();
                        let opcode = match (at, text) {
                            (0, true) => 1,
                            (0, false) => 2,
                            _ => 0,
                        };
                        let first = opcode | if is_last { 0x80 } else { 0 };
                        bytes.extend(frame(first, fragment));
                        body.extend_from_slice(fragment);
                        if let Some(ping) = between.as_ref().filter(|_| !is_last) {
                            bytes.extend(frame(0x89, ping));
                            frames.push(Frame::Ping(ping.clone()));
                        }
                    }
                    frames.push(Frame::Message { text: *text, body });
                }
            }
        }
        (bytes, frames)
    }

    proptest! {
        #[test]
        fn what_a_client_sends_comes_out_wherever_it_is_split(
            all in prop::collection::vec(sent(), 0..6), piece in 1..100_usize,
        ) {
            let (bytes, wanted) = written(&all);
            for size in [piece, 1, usize::MAX] {
                let outcome = in_pieces(bytes.chunks(size), ANY);
                prop_assert_eq!(outcome, (wanted.clone(), None));
            }
        }

        #[test]
        fn any_bytes_have_one_outcome_wherever_they_are_split(
            all in prop::collection::vec(sent(), 0..3),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            following in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let (mut bytes, _) = written(&all);
            bytes.extend(following);
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            decode_by(&bytes, Intake::Messages { bytes_max: 500 });
        }
    }
}
