//! Takes the framing off a body: by length, in chunks, or until the connection closes (RFC 9112
//! sections 6.3 and 7.1). Copies nothing and keeps no bytes, so the input may be split anywhere.
//! Never reads past the end of its body: what follows is the next request's.
//!
//! Stricter than RFC 9112 7.1.1 in one point: no white space around a chunk size, not even before
//! a `;`. Extensions and trailers are checked and dropped.

use super::{Framing, HttpError, ResponseFraming, is_text, is_token};

/// Longest chunk-size line, extensions included, without its CRLF.
const CHUNK_LINE_BYTES_MAX: u16 = 256;

/// Most hexadecimal digits of a chunk size: as many as fit into 64 bits.
const SIZE_DIGITS_MAX: u16 = 16;

/// Longest trailer section, line ends included.
const TRAILER_BYTES_MAX: u16 = 8 * 1024;

/// The decoder of one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyDecoder {
    state: State,
    /// Body bytes that later chunks may still announce.
    allowance: u64,
    /// The limit as given, for the message.
    bytes_max: u64,
}

/// What one call of [`BodyDecoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded<'i> {
    /// Bytes of the input that are dealt with.
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
    /// 400 for bad framing, 413 when chunks pass the limit, 431 for too much of a trailer. Then
    /// the body is of no use, nor is the connection.
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
                expect(byte, b'\n', "end chunk-size lines with CRLF")?;
                let Some(allowance) = self.allowance.checked_sub(size) else {
                    return Err(too_large(self.bytes_max));
                };
                self.allowance = allowance;
                Ok(if size == 0 {
                    State::TrailerStart { bytes: 0 }
                } else {
                    State::Data { left: size }
                })
            }
            State::DataCr => {
                expect(byte, b'\r', "a chunk is longer than its size says")?;
                Ok(State::DataLf)
            }
            State::DataLf => {
                expect(byte, b'\n', "end chunks with CRLF")?;
                Ok(State::Size { size: 0, digits: 0 })
            }
            State::LastLf => {
                expect(byte, b'\n', "end the trailer with CRLF")?;
                Ok(State::Done)
            }
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
            (Self::TrailerStart { .. }, b'\r') => Ok(Self::LastLf),
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

fn expect(byte: u8, wanted: u8, message: &'static str) -> Result<(), HttpError> {
    if byte == wanted { Ok(()) } else { Err(HttpError::bad_request(message)) }
}

fn too_large(bytes_max: u64) -> HttpError {
    HttpError::new(413, format!("the body is over {bytes_max} bytes; send less"))
}
