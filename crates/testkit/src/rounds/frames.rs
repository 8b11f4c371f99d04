//! Round of the frames that a WebSocket's client sends. Where the bytes are split makes no
//! difference, a reader that is slow and plain finds the same messages and the same breach, and
//! what is written as an answer is read again.

use pushserver::http::websocket::{
    Breach, Decoder, Frame, Intake, Opcode, write_close, write_frame_head, write_pong,
};

use crate::random::Random;

/// What came out, and why it ended before the input did.
type Outcome = (Vec<Frame>, Option<Breach>);

const REFUSAL: Breach = Breach { code: 1008, reason: "no messages here" };

/// Places at which an input is cut in two, at most: all of a short one.
const CUTS_MAX: usize = 300;

/// The first byte chooses which messages are taken, the second where the bytes are cut by chance.
pub fn round(data: &[u8]) {
    let [choice, seed, bytes @ ..] = data else { return };
    let intake = match choice % 8 {
        0 => Intake::Refused(REFUSAL),
        1 => Intake::Messages { bytes_max: 0 },
        2 => Intake::Messages { bytes_max: 5 },
        3 => Intake::Messages { bytes_max: 125 },
        4 => Intake::Messages { bytes_max: 126 },
        5 => Intake::Messages { bytes_max: 65_535 },
        _ => Intake::Messages { bytes_max: 100_000 },
    };
    let whole = in_pieces(std::iter::once(bytes), intake);
    check(&whole, intake);
    let (frames, code) = plainly(bytes, intake);
    let found = (&whole.0, whole.1.map(|breach| breach.code));
    assert_eq!(found, (&frames, code), "the slow reader disagrees");
    assert_eq!(in_pieces(bytes.chunks(1), intake), whole, "byte by byte");
    for at in (0..bytes.len()).step_by(1 + bytes.len() / CUTS_MAX) {
        let (first, second) = bytes.split_at(at);
        assert_eq!(in_pieces([first, second].into_iter(), intake), whole, "cut at {at}");
    }
    let mut random = Random::new(u64::from(*seed));
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + random.index(rest.len().min(40)));
        pieces.push(piece);
        rest = behind;
    }
    assert_eq!(in_pieces(pieces.into_iter(), intake), whole, "cut by chance");
    whole.0.iter().for_each(answer);
}

fn in_pieces<'b>(pieces: impl Iterator<Item = &'b [u8]>, intake: Intake) -> Outcome {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    let mut come = 0;
    for mut rest in pieces {
        while !rest.is_empty() {
            match decoder.decode(rest, intake) {
                Err(breach) => return (frames, Some(breach)),
                Ok((taken, frame)) => {
                    assert!(taken == rest.len() || taken > 0 && frame.is_some(), "it gets on");
                    rest = &rest[taken..];
                    come += taken;
                    assert!(decoder.kept_bytes() <= (2 * come).max(8), "it keeps what has come");
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

/// What holds of every outcome.
fn check((frames, breach): &Outcome, intake: Intake) {
    for frame in frames {
        match (frame, intake) {
            (Frame::Message { .. }, Intake::Refused(_)) => panic!("it was refused"),
            (Frame::Message { text, body }, Intake::Messages { bytes_max }) => {
                assert!(body.len() <= bytes_max);
                assert!(!text || std::str::from_utf8(body).is_ok());
            }
            (Frame::Ping(payload), _) => assert!(payload.len() <= 125),
            (Frame::Pong | Frame::Close { .. }, _) => {}
        }
    }
    if let Some(Breach { code, reason }) = breach {
        assert!(matches!(code, 1002 | 1007 | 1008 | 1009), "{code}");
        assert!(reason.len() <= 123 && !reason.contains(char::is_control), "{reason:?}");
    }
}

/// The answer to a frame is read again, once it has a mask as a client's has.
fn answer(frame: &Frame) {
    let mut written = Vec::new();
    let wanted = match frame {
        Frame::Ping(payload) => {
            write_pong(payload, &mut written);
            Frame::Pong
        }
        Frame::Pong => return,
        Frame::Close { code } => {
            write_close(*code, "für heute genug ".repeat(9).as_str(), &mut written);
            Frame::Close { code: *code }
        }
        Frame::Message { text, body } => {
            let opcode = if *text { Opcode::Text } else { Opcode::Binary };
            write_frame_head(opcode, body.len(), &mut written);
            written.extend_from_slice(body);
            frame.clone()
        }
    };
    let head = match written[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    written[1] |= 0x80;
    written.splice(head..head, [0; 4]);
    let read = in_pieces(std::iter::once(&written[..]), Intake::Messages { bytes_max: 100_000 });
    assert_eq!(read, (vec![wanted], None));
}

/// RFC 6455 section 5, read as it is written there; the code of what breaks it.
fn plainly(bytes: &[u8], intake: Intake) -> (Vec<Frame>, Option<u16>) {
    let mut frames = Vec::new();
    let mut message = None;
    let mut at = 0;
    loop {
        match frame(&bytes[at..], &mut message, intake) {
            Err(code) => return (frames, Some(code)),
            Ok(None) => return (frames, None),
            Ok(Some((length, frame))) => {
                at += length;
                let is_end = matches!(frame, Some(Frame::Close { .. }));
                frames.extend(frame);
                if is_end {
                    return (frames, None);
                }
            }
        }
    }
}

/// The frame at the start of `bytes`: how many it takes, and what has ended with it. `None`: it is
/// not whole, and nothing is wrong so far.
fn frame(
    bytes: &[u8],
    message: &mut Option<(bool, Vec<u8>)>,
    intake: Intake,
) -> Result<Option<(usize, Option<Frame>)>, u16> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (is_last, opcode) = (first >= 0x80, first % 16);
    let is_control = opcode >= 8;
    let fits = match opcode {
        0 => message.is_some(),
        1 | 2 => message.is_none(),
        8..=10 => is_last,
        _ => false,
    };
    if first & 0x70 != 0 || !fits {
        return Err(1002);
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let short = second & 0x7f;
    if second < 0x80 || is_control && short > 125 || opcode == 8 && short == 1 {
        return Err(1002);
    }
    let bytes_max = match intake {
        Intake::Refused(breach) if !is_control => return Err(breach.code),
        Intake::Messages { bytes_max } if !is_control => bytes_max,
        _ => 125,
    };
    let (width, least) = match short {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    let digits: Vec<u8> = bytes.iter().skip(2).take(width).copied().collect();
    if width == 8 && digits.first().is_some_and(|byte| *byte >= 0x80) {
        return Err(1002);
    }
    if digits.len() < width {
        return Ok(None);
    }
    let length = match width {
        0 => u64::from(short),
        _ => digits.iter().fold(0, |length, digit| length * 256 + u64::from(*digit)),
    };
    if length < least {
        return Err(1002);
    }
    let before = message.as_ref().filter(|_| !is_control).map_or(0, |(_, body)| body.len());
    if u128::from(length) + before as u128 > bytes_max as u128 {
        return Err(1009);
    }
    let start = 2 + width + 4;
    let Some(mask) = bytes.get(2 + width..start) else { return Ok(None) };
    let payload: Vec<u8> = bytes[start..]
        .iter()
        .zip(0..length)
        .map(|(byte, at)| byte ^ mask[(at % 4) as usize])
        .collect();
    let is_whole = payload.len() as u64 == length;
    let length = start + payload.len();
    let ended = match opcode {
        8 if is_whole => Some(Frame::Close { code: close(&payload)? }),
        9 => Some(Frame::Ping(payload)),
        10 => Some(Frame::Pong),
        8 => None,
        _ => data(message, opcode, payload, is_whole && is_last)?,
    };
    Ok(is_whole.then_some((length, ended)))
}

/// Adds a payload to its message, which is given if it has ended.
fn data(
    message: &mut Option<(bool, Vec<u8>)>,
    opcode: u8,
    payload: Vec<u8>,
    has_ended: bool,
) -> Result<Option<Frame>, u16> {
    let (text, mut body) = message.take().unwrap_or((opcode == 1, Vec::new()));
    body.extend(payload);
    match utf8(&body) {
        Utf8::Invalid if text => return Err(1007),
        Utf8::Cut if text && has_ended => return Err(1007),
        _ if has_ended => return Ok(Some(Frame::Message { text, body })),
        _ => {}
    }
    *message = Some((text, body));
    Ok(None)
}

fn close(payload: &[u8]) -> Result<Option<u16>, u16> {
    let [high, low, reason @ ..] = payload else { return Ok(None) };
    let code = u16::from(*high) * 256 + u16::from(*low);
    let may_be_sent = match code {
        0..1000 | 1004..=1006 | 1015..3000 => false,
        _ => code < 5000,
    };
    match utf8(reason) {
        _ if !may_be_sent => Err(1002),
        Utf8::Valid => Ok(Some(code)),
        Utf8::Cut | Utf8::Invalid => Err(1007),
    }
}

enum Utf8 {
    Valid,
    /// Bytes that follow can make it valid.
    Cut,
    Invalid,
}

/// RFC 3629 section 4.
fn utf8(bytes: &[u8]) -> Utf8 {
    let mut rest = bytes.iter();
    while let Some(first) = rest.next() {
        const TAIL: std::ops::RangeInclusive<u8> = 0x80..=0xbf;
        let following = match first {
            0x00..=0x7f => vec![],
            0xc2..=0xdf => vec![TAIL],
            0xe0 => vec![0xa0..=0xbf, TAIL],
            0xe1..=0xec | 0xee..=0xef => vec![TAIL, TAIL],
            0xed => vec![0x80..=0x9f, TAIL],
            0xf0 => vec![0x90..=0xbf, TAIL, TAIL],
            0xf1..=0xf3 => vec![TAIL, TAIL, TAIL],
            0xf4 => vec![0x80..=0x8f, TAIL, TAIL],
            _ => return Utf8::Invalid,
        };
        for range in following {
            match rest.next() {
                None => return Utf8::Cut,
                Some(byte) if !range.contains(byte) => return Utf8::Invalid,
                Some(_) => {}
            }
        }
    }
    Utf8::Valid
}
