//! Part: what a server sends as one: an answer, a block of an event stream, a frame of a WebSocket.
//! It knows nothing of the code that is tested.

use super::text::{decode, encode};
use crate::answer::{Answer, Front, head_bytes};

/// See the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// An answer; of an event stream its head alone.
    Answer(Answer),
    /// Lines of an event stream to a blank one, which is left out (HTML standard 9.2.5).
    Block(Vec<u8>),
    /// A frame of a WebSocket (RFC 6455 5.2).
    Frame(Frame),
}

/// A frame of a server: whole, not masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its name in transcripts, one of those of `OPCODES`.
    pub kind: &'static str,
    /// All of it.
    pub payload: Vec<u8>,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    /// Requests and answers.
    Http,
    /// An event stream, behind its head.
    Events,
    /// A WebSocket, behind its handshake.
    Frames,
}

/// The names of frames in transcripts.
const OPCODES: [(u8, &str); 6] =
    [(0, "continuation"), (1, "text"), (2, "binary"), (8, "close"), (9, "ping"), (10, "pong")];

/// That of the examples of RFC 6455 5.7.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// When a client comes back after the end of a stream, milliseconds.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1000..=3000;

impl Talk {
    /// Takes the first part out of `inbox`; `None` while it is not whole. `to_head`: an answer is
    /// one to HEAD.
    ///
    /// # Panics
    /// If it is not sound.
    #[track_caller]
    pub fn take(self, inbox: &mut Vec<u8>, to_head: bool) -> Option<Part> {
        match self {
            Self::Http => {
                let front = Answer::read(inbox, to_head).unwrap_or_else(|wrong| panic!("{wrong}"));
                match front {
                    Front::Body => event_stream(inbox).map(Part::Answer),
                    _ => Answer::take(inbox, to_head).map(Part::Answer),
                }
            }
            Self::Events => {
                let end = inbox.windows(2).position(|two| two == b"\n\n")?;
                let mut block: Vec<u8> = inbox.drain(..end + 2).collect();
                block.pop();
                Some(Part::Block(block))
            }
            Self::Frames => Frame::take(inbox).map(Part::Frame),
        }
    }

    /// What comes behind a part.
    pub fn behind(self, part: &Part) -> Self {
        match part {
            Part::Answer(answer) if answer.status == 101 => Self::Frames,
            Part::Answer(answer) if answer.is_event_stream() => Self::Events,
            _ => self,
        }
    }
}

/// Takes the head of an event stream, whose body goes on.
fn event_stream(inbox: &mut Vec<u8>) -> Option<Answer> {
    let length = head_bytes(inbox)?;
    let head = std::str::from_utf8(&inbox[..length]).expect("heads are UTF-8").to_owned();
    let answer = Answer { status: 200, head, body: Vec::new() };
    answer.is_event_stream().then(|| {
        inbox.drain(..length);
        answer
    })
}

impl Frame {
    /// Takes the first frame out of `inbox`; `None` while it is not whole.
    ///
    /// # Panics
    /// If a server may not send it: masked, in fragments, with a reserved bit or opcode, or with
    /// its length not in the fewest bytes.
    #[track_caller]
    pub fn take(inbox: &mut Vec<u8>) -> Option<Self> {
        let (first, second) = (*inbox.first()?, *inbox.get(1)?);
        assert_eq!(first & 0xf0, 0x80, "a whole message without reserved bits");
        assert_eq!(second & 0x80, 0, "servers do not mask");
        let kind = OPCODES.iter().find(|(opcode, _)| *opcode == first & 15);
        let (_, kind) = kind.expect("an opcode that is not reserved");
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let (length, begin) = match second {
            126 => (number(inbox.get(2..4)?), 4),
            127 => (number(inbox.get(2..10)?), 10),
            short => (usize::from(short), 2),
        };
        let fewest = if length < 126 { 2 } else { 4 + 6 * usize::from(length > 0xffff) };
        assert_eq!(begin, fewest, "a length is in the fewest bytes");
        let payload = inbox.get(begin..begin + length)?.to_vec();
        inbox.drain(..begin + length);
        Some(Self { kind, payload })
    }

    /// The code and the reason of a Close; `None`: it has none.
    #[track_caller]
    pub fn close(&self) -> Option<(u16, &str)> {
        assert_eq!(self.kind, "close", "{}", self.payload.escape_ascii());
        let (code, reason) = self.payload.split_first_chunk()?;
        Some((u16::from_be_bytes(*code), std::str::from_utf8(reason).expect("UTF-8")))
    }
}

/// A frame as a client sends it: its first byte, and its payload, masked.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ ..126 => out.push(0x80 | short as u8),
        long @ ..=0xffff => {
            out.push(0x80 | 126);
            out.extend((long as u16).to_be_bytes());
        }
        longer => {
            out.push(0x80 | 127);
            out.extend((longer as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// The frame that words of a transcript say: its kind, with a `+` if its message goes on, and of a
/// Close the code and the reason. `None`: they say none.
pub(super) fn frame(words: &str, payload: &[u8], begin_unix_s: u64) -> Option<Vec<u8>> {
    let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
    let (kind, last) = kind.strip_suffix('+').map_or((kind, 0x80), |kind| (kind, 0));
    let (opcode, _) = OPCODES.iter().find(|(_, name)| *name == kind)?;
    if kind != "close" || rest.is_empty() {
        return rest.is_empty().then(|| masked(last | opcode, payload));
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = code.parse::<u16>().ok()?.to_be_bytes();
    Some(masked(last | opcode, &[&code[..], &decode(reason, begin_unix_s)].concat()))
}

impl Part {
    /// As a transcript has it, without its connection; of an answer nothing.
    pub(super) fn lines(&self, begin_unix_s: u64) -> Vec<String> {
        let body = |bytes: &[u8]| {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            lines.map(|line| format!("    | {}", encode(line, begin_unix_s))).collect()
        };
        let (first, body) = match self {
            Self::Answer(_) => return Vec::new(),
            Self::Block(lines) => {
                let lines: Vec<String> = body(lines);
                ("block".to_owned(), lines.iter().map(|line| without_retry(line)).collect())
            }
            Self::Frame(frame) if frame.kind == "close" => match frame.close() {
                None => ("close".to_owned(), Vec::new()),
                Some((code, reason)) => {
                    let reason = encode(reason.as_bytes(), begin_unix_s);
                    (format!("close {code} {reason}").trim_end().to_owned(), Vec::new())
                }
            },
            Self::Frame(frame) => (frame.kind.to_owned(), body(&frame.payload)),
        };
        [vec![first], body].concat()
    }
}

/// The time that a client waits is drawn by lot.
fn without_retry(line: &str) -> String {
    let number = line.strip_prefix("    | retry: ").and_then(|rest| rest.strip_suffix("\\n"));
    match number.and_then(|number| number.parse().ok()) {
        Some(ms) if RETRY_MS.contains(&ms) => "    | retry: {1000..3000}\\n".to_owned(),
        _ => line.to_owned(),
    }
}
