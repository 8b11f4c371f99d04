//! Body decoder: takes the framing off a body that has a length, chunks, or ends with its
//! connection (RFC 9112 sections 6.3 and 7.1). Copies nothing and keeps no bytes, so the input may
//! be split anywhere. Never reads past the end of its body, where the next request begins.
//!
//! Stricter than RFC 9112 section 7.1.1 in one point: no white space around a chunk size, not even
//! before a `;`. Extensions and trailers are checked and dropped.

use super::error::HttpError;
use super::framing::{Framing, ResponseFraming};
use super::token::{is_text, is_token};

/// Longest chunk-size line, extensions included, without its CRLF.
const CHUNK_LINE_BYTES_MAX: u16 = 256;

/// Most hexadecimal digits of a chunk size: more do not fit into 64 bits.
const SIZE_DIGITS_MAX: u16 = 16;

/// Longest trailer section, line ends included, less the blank line.
const TRAILER_BYTES_MAX: u16 = 8 * 1024;

/// The decoder of one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDecoder {
    state: State,
    /// Bytes that further chunks may announce within the limit.
    allowance: u64,
    /// The limit itself, for the error message.
    bytes_max: u64,
}

/// What one call of [`BodyDecoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'i> {
    /// Bytes of the input that the decoder has taken.
    pub consumed: usize,
    /// The body bytes among them; may be empty.
    pub data: &'i [u8],
    /// The body has ended; the rest of the input is not part of it.
    pub done: bool,
}

/// Where in the body the next byte belongs.
///
/// ```text
///          ┌────────────── DataLf ◄─ DataCr ◄── Data ◄─┐
///          ▼                                           │ size > 0
///   Size ──┬──────────────► SizeLf ────────────────────┤
///          └─► Extension ──►─┘                         │ size = 0
///                                                      ▼
///   Done ◄── LastLf ◄───────────────────────────── TrailerStart ◄─┐
///                                  TrailerName ◄───────┘          │
///                                       └─► TrailerValue ─► TrailerLf
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Length { left: u64 },
    UntilClose,
    Size { size: u64, digits: u16 },
    Extension { size: u64, line_bytes: u16, quote: Quote },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart { bytes: u16 },
    TrailerName { bytes: u16 },
    TrailerValue { bytes: u16 },
    TrailerLf { bytes: u16 },
    LastLf,
}

/// Position in an extension: a quoted string may not be cut by the line end (RFC 9112 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    AfterBackslash,
}

impl BodyDecoder {
    /// The decoder of a request body of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// 413 if the announced length is longer already.
    pub fn new(framing: Framing, bytes_max: u64) -> Result<Self, HttpError> {
        if let Framing::Length(length) = framing
            && length > bytes_max
        {
            return Err(too_large(bytes_max));
        }
        Ok(Self { state: State::first(framing), allowance: bytes_max, bytes_max })
    }

    /// The decoder of an upstream's answer, of any size.
    #[must_use]
    pub fn for_response(framing: ResponseFraming) -> Self {
        let state = match framing {
            ResponseFraming::Known(framing) => State::first(framing),
            ResponseFraming::UntilClose => State::UntilClose,
        };
        Self { state, allowance: u64::MAX, bytes_max: u64::MAX }
    }

    /// Decodes the beginning of `input`, up to the end of its first run of body bytes and of the
    /// framing behind that. Call again with the rest while it is neither empty nor `done`.
    ///
    /// # Errors
    /// 400 for bad framing, 413 when chunks pass the limit, 431 for a trailer that is too long.
    /// After an error neither the body nor the connection can be used.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Decoded<'i>, HttpError> {
        let mut at = 0;
        let mut data: &[u8] = &[];
        while at < input.len() {
            let left = match self.state {
                State::Done => break,
                State::Length { left } | State::Data { left } => left,
                State::UntilClose => u64::MAX,
                _ => {
                    self.state = self.after_framing(input[at])?;
                    at += 1;
                    continue;
                }
            };
            if !data.is_empty() {
                break;
            }
            let rest = &input[at..];
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            data = &rest[..taken];
            at += taken;
            self.state = self.state.after_data(taken as u64);
        }
        Ok(Decoded { consumed: at, data, done: self.is_done() })
    }

    /// The body has ended: the next byte belongs to another message.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body is whole if the connection ends here; if not, it was cut off.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// The state after one byte that is not data.
    fn after_framing(&mut self, byte: u8) -> Result<State, HttpError> {
        match self.state {
            State::Size { size, digits } => after_size(size, digits, byte),
            State::Extension { size, line_bytes, quote } => {
                after_extension(size, line_bytes, quote, byte)
            }
            State::SizeLf { size } => {
                let next = match size {
                    0 => State::TrailerStart { bytes: 0 },
                    left => State::Data { left },
                };
                let next = expect(byte, b'\n', "end chunk-size lines with CRLF", next)?;
                let allowance = self.allowance.checked_sub(size);
                self.allowance = allowance.ok_or_else(|| too_large(self.bytes_max))?;
                Ok(next)
            }
            State::DataCr => {
                expect(byte, b'\r', "a chunk is longer than its size says", State::DataLf)
            }
            State::DataLf => {
                expect(byte, b'\n', "end chunks with CRLF", State::Size { size: 0, digits: 0 })
            }
            State::LastLf => expect(byte, b'\n', "end the trailer with CRLF", State::Done),
            State::TrailerStart { .. } if byte == b'\r' => Ok(State::LastLf),
            State::TrailerStart { bytes }
            | State::TrailerName { bytes }
            | State::TrailerValue { bytes }
            | State::TrailerLf { bytes } => {
                if bytes == TRAILER_BYTES_MAX {
                    return Err(HttpError::new(431, "the trailer is over 8192 bytes; send less"));
                }
                self.state.after_trailer(bytes + 1, byte)
            }
            data
            @ (State::Done | State::Length { .. } | State::UntilClose | State::Data { .. }) => {
                Ok(data)
            }
        }
    }
}

impl State {
    fn first(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(left) => Self::Length { left },
            Framing::Chunked => Self::Size { size: 0, digits: 0 },
        }
    }

    /// The state after `taken` bytes of data, no more than were left.
    fn after_data(self, taken: u64) -> Self {
        match self {
            Self::Length { left } if left == taken => Self::Done,
            Self::Length { left } => Self::Length { left: left.saturating_sub(taken) },
            Self::Data { left } if left == taken => Self::DataCr,
            Self::Data { left } => Self::Data { left: left.saturating_sub(taken) },
            other => other,
        }
    }

    /// The state after one byte of the trailer, `bytes` of it so far.
    fn after_trailer(self, bytes: u16, byte: u8) -> Result<Self, HttpError> {
        const NAME: &str = "a trailer line is not `name: value`";
        match (self, byte) {
            (Self::TrailerStart { .. } | Self::TrailerName { .. }, _) if is_token(byte) => {
                Ok(Self::TrailerName { bytes })
            }
            (Self::TrailerName { .. }, b':') => Ok(Self::TrailerValue { bytes }),
            (Self::TrailerValue { .. }, b'\r') => Ok(Self::TrailerLf { bytes }),
            (Self::TrailerValue { .. }, _) if is_text(byte) => Ok(Self::TrailerValue { bytes }),
            (Self::TrailerLf { .. }, b'\n') => Ok(Self::TrailerStart { bytes }),
            _ => Err(HttpError::bad_request(NAME)),
        }
    }
}

/// The state after one byte of a chunk size.
fn after_size(size: u64, digits: u16, byte: u8) -> Result<State, HttpError> {
    const SIZE: &str = "a chunk size is not 1 to 16 hexadecimal digits";
    match (char::from(byte).to_digit(16), byte) {
        (Some(digit), _) if digits < SIZE_DIGITS_MAX => {
            Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
        }
        (None, b'\r') if digits > 0 => Ok(State::SizeLf { size }),
        (None, b';') if digits > 0 => {
            Ok(State::Extension { size, line_bytes: digits + 1, quote: Quote::Outside })
        }
        _ => Err(HttpError::bad_request(SIZE)),
    }
}

/// The state after one byte of a chunk extension.
fn after_extension(size: u64, line_bytes: u16, quote: Quote, byte: u8) -> Result<State, HttpError> {
    let quote = match (quote, byte) {
        (Quote::Outside, b'\r') => return Ok(State::SizeLf { size }),
        _ if line_bytes == CHUNK_LINE_BYTES_MAX => {
            return Err(HttpError::bad_request("a chunk-size line is over 256 bytes"));
        }
        (_, other) if !is_text(other) => {
            return Err(HttpError::bad_request("a chunk extension has a control character"));
        }
        (Quote::Outside, b'"') => Quote::Inside,
        (Quote::Inside, b'"') => Quote::Outside,
        (Quote::Inside, b'\\') => Quote::AfterBackslash,
        (Quote::AfterBackslash, _) => Quote::Inside,
        (same, _) => same,
    };
    Ok(State::Extension { size, line_bytes: line_bytes + 1, quote })
}

/// `next`, if this is the byte that is wanted.
fn expect(byte: u8, wanted: u8, message: &'static str, next: State) -> Result<State, HttpError> {
    if byte == wanted { Ok(next) } else { Err(HttpError::bad_request(message)) }
}

fn too_large(bytes_max: u64) -> HttpError {
    HttpError::new(413, format!("the body is over {bytes_max} bytes; send less"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The chunked body at the start of `bytes`, how many bytes it took, and whether it ended.
    fn decode_in_pieces(
        bytes: &[u8],
        piece: usize,
        bytes_max: u64,
    ) -> Result<(Vec<u8>, usize, bool), HttpError> {
        let mut decoder = BodyDecoder::new(Framing::Chunked, bytes_max)?;
        let (mut body, mut consumed) = (Vec::new(), 0);
        for mut rest in bytes.chunks(piece) {
            while !rest.is_empty() && !decoder.is_done() {
                let decoded = decoder.decode(rest)?;
                assert!(decoded.consumed > 0, "each call gets on");
                assert_eq!(decoded.done, decoder.is_done());
                body.extend_from_slice(decoded.data);
                consumed += decoded.consumed;
                rest = &rest[decoded.consumed..];
            }
        }
        Ok((body, consumed, decoder.is_done()))
    }

    fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), HttpError> {
        decode_in_pieces(bytes, usize::MAX, 1000)
    }

    fn status(bytes: &[u8]) -> u16 {
        decode(bytes).expect_err(&String::from_utf8_lossy(bytes)).status
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        let mut decoder = BodyDecoder::new(Framing::Length(5), 5).unwrap();
        assert!(!decoder.is_done() && !decoder.may_end());
        assert_eq!(decoder.decode(b"he"), Ok(Decoded { consumed: 2, data: b"he", done: false }));
        assert_eq!(decoder.decode(b""), Ok(Decoded { consumed: 0, data: b"", done: false }));
        assert_eq!(
            decoder.decode(b"lloGET"),
            Ok(Decoded { consumed: 3, data: b"llo", done: true })
        );
        assert_eq!(decoder.decode(b"GET"), Ok(Decoded { consumed: 0, data: b"", done: true }));
        assert!(decoder.is_done() && decoder.may_end());
    }

    #[test]
    fn no_body_is_done_before_it_begins() {
        for framing in [Framing::None, Framing::Length(0)] {
            let mut decoder = BodyDecoder::new(framing, 0).unwrap();
            assert!(decoder.is_done());
            assert_eq!(decoder.decode(b"GET"), Ok(Decoded { consumed: 0, data: b"", done: true }));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_413_before_a_byte_is_read() {
        assert!(BodyDecoder::new(Framing::Length(10), 10).is_ok());
        assert_eq!(BodyDecoder::new(Framing::Length(11), 10).unwrap_err().status, 413);
    }

    #[test]
    fn a_body_until_close_never_ends_by_itself() {
        let mut decoder = BodyDecoder::for_response(ResponseFraming::UntilClose);
        assert_eq!(decoder.decode(b"abc"), Ok(Decoded { consumed: 3, data: b"abc", done: false }));
        assert!(!decoder.is_done() && decoder.may_end());
    }

    #[test]
    fn one_chunk_takes_one_call() {
        let mut decoder = BodyDecoder::new(Framing::Chunked, 1000).unwrap();
        let bytes = b"5\r\nhello\r\n0\r\n\r\nGET";
        assert_eq!(decoder.decode(bytes), Ok(Decoded { consumed: 15, data: b"hello", done: true }));
    }

    #[test]
    fn every_sound_form_of_chunks_is_read() {
        for (bytes, body) in [
            ("0\r\n\r\n", ""),
            ("0000000000000000\r\n\r\n", ""),
            ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
            ("A\r\n0123456789\r\n0a\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            ("1;a\r\nx\r\n0;b=c;d=\"e;\\\"\\\\ f\"\r\n\r\n", "x"),
            ("1; a\tb\r\nx\r\n0\r\n\r\n", "x"),
            ("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "x"),
        ] {
            let whole = (body.as_bytes().to_vec(), bytes.len(), true);
            assert_eq!(decode(bytes.as_bytes()), Ok(whole), "{bytes:?}");
        }
    }

    #[test]
    fn chunks_that_have_two_readings_are_refused() {
        for bytes in [
            "\r\n",
            "\n",
            ";a\r\n",
            "g\r\n",
            "0x5\r\n",
            "+5\r\n",
            "-1\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\t\r\n",
            "5 ;a\r\n",
            "3 3\r\n",
            "5,5\r\n",
            "5\n",
            "5\r5",
            "5\r\r\n",
            "5\0\r\n",
            "00000000000000000\r\n",
            "10000000000000005\r\n",
            "5;a\n",
            "5;a\rb",
            "5;a\0\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\\\r\n",
            "5;a=\"b\n\"\r\n",
            "5;\x7f\r\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1\r\nx0\r\n",
            "1\r\nx\r0",
            "1\r\nx\r\n\r\n",
            "0\r\n\n",
            "0\r\n\rG",
            "0\r\nGET / HTTP/1.1\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\rc\r\n\r\n",
            "0\r\nA: b\0\r\n\r\n",
            "0\r\nA: b\r\n c\r\n\r\n",
        ] {
            assert_eq!(status(bytes.as_bytes()), 400, "{bytes:?}");
        }
    }

    #[test]
    fn the_chunk_that_passes_the_limit_is_413_before_its_first_byte() {
        let filled = format!("3e7\r\n{}\r\n", "x".repeat(999));
        assert_eq!(
            decode(format!("{filled}1\r\ny\r\n0\r\n\r\n").as_bytes()).unwrap().0.len(),
            1000
        );
        assert_eq!(status(format!("{filled}2\r\n").as_bytes()), 413);
        assert_eq!(status(b"3e9\r\n"), 413);
        assert_eq!(status(b"ffffffffffffffff\r\n"), 413);
        assert_eq!(status(format!("{filled}ffffffffffffffff\r\n").as_bytes()), 413);
    }

    #[test]
    fn a_response_may_have_chunks_of_any_size_but_no_wrapping_sum() {
        let mut decoder = BodyDecoder::for_response(ResponseFraming::Known(Framing::Chunked));
        assert!(decoder.decode(b"ffffffffffffffff\r\nx").is_ok());
        assert!(!decoder.is_done() && !decoder.may_end());
    }

    #[test]
    fn a_chunk_line_has_at_most_256_bytes() {
        let line = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes - 2));
        assert!(decode(line(256).as_bytes()).is_ok());
        assert_eq!(status(line(257).as_bytes()), 400);
    }

    #[test]
    fn a_trailer_has_at_most_8_kib() {
        let trailer = |bytes: usize| format!("0\r\nA:{}\r\n\r\n", "a".repeat(bytes - 4));
        assert_eq!(decode(trailer(8192).as_bytes()).map(|d| d.2), Ok(true));
        assert_eq!(status(trailer(8193).as_bytes()), 431);
        assert_eq!(status(format!("0\r\n{}", "A: b\r\n".repeat(2000)).as_bytes()), 431);
    }

    proptest! {
        #[test]
        fn what_is_sent_in_chunks_comes_out_whole_wherever_it_is_split(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            extension in prop::sample::select(vec!["", ";a", ";a=\"\\\"\""]),
            trailer in prop::sample::select(vec!["", "A: b\r\n", "A:\r\nB: c\r\n"]),
            following in prop::collection::vec(any::<u8>(), 0..9),
            piece in 1..50_usize,
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("0{extension}\r\n{trailer}\r\n").as_bytes());
            let len = bytes.len();
            bytes.extend_from_slice(&following);
            let whole = (chunks.concat(), len, true);
            prop_assert_eq!(decode_in_pieces(&bytes, piece, 1000), Ok(whole.clone()));
            prop_assert_eq!(decode(&bytes), Ok(whole));
        }
    }
}
