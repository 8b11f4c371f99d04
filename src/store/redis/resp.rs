//! RESP3: the protocol of Redis 6 and later, and what of RESP2 a server answers before HELLO 3.
//! Holds what has come of one value; never more than was received, whatever lengths are promised.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>. Streamed strings and aggregates
//! are refused: no server sends them.

mod write;

use std::fmt;

use memchr::memchr;

pub(super) use self::write::{DIGITS, digits, write_number, write_pieces};
pub use self::write::{write_command, write_head, write_word};

/// Aggregates within each other.
pub const DEPTH_MAX: usize = 8;
/// Bytes of a line with its end, of a blob, and of one value with all within it.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// See [`LINE_BYTES_MAX`].
pub const BLOB_BYTES_MAX: usize = 64 << 20;
/// See [`LINE_BYTES_MAX`].
pub const VALUE_BYTES_MAX: usize = 128 << 20;
/// Values within one value, at all depths; so of an array, too.
pub const ELEMENTS_MAX: usize = 1 << 20;

/// Values of an aggregate for which room is made when its first has come: answers of scripts have
/// a dozen.
const VALUES_AT_ONCE: usize = 16;

/// What a server sends. What it says about values (attributes) is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string, simple or blob or verbatim (without its format); a double or a big number, as it
    /// was written.
    Text(Box<[u8]>),
    /// An error, simple or blob: a code in capitals, a space, words.
    Error(Box<[u8]>),
    /// An integer.
    Number(i64),
    /// Nothing, in all three spellings.
    Null,
    /// True or false.
    Boolean(bool),
    /// An array or a set.
    List(Vec<Self>),
    /// Keys and their values in turn.
    Map(Vec<Self>),
    /// What comes unasked: at least the name of its kind.
    Push(Vec<Self>),
}

impl Value {
    pub(super) fn error(&self) -> Option<&[u8]> {
        match self {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }
}

/// Why bytes are not RESP, or too much of it: the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// A value of no type that there is begins with this byte.
    NoType(u8),
    /// A line that does not say what its type needs, or has no proper end.
    Line,
    /// A blob without its end.
    Blob,
    /// An unasked value that is empty or stands within another.
    Push,
    /// One of the limits of this file.
    TooLarge(&'static str),
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoType(byte) => {
                write!(f, "no RESP: a value begins with \"{}\"", [*byte].escape_ascii())
            }
            Self::Line => f.write_str("no RESP: a line is malformed"),
            Self::Blob => f.write_str("no RESP: a blob has no end"),
            Self::Push => f.write_str("no RESP: a push is empty or within another value"),
            Self::TooLarge(what) => write!(f, "{what}"),
        }
    }
}

/// Reads values from bytes that come in any pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    part: Part,
    /// What has come of the line or blob.
    kept: Vec<u8>,
    /// Aggregates that are not whole, the outermost first.
    open: Vec<Aggregate>,
    /// Of the value that is not whole: bytes and values so far.
    bytes: usize,
    elements: usize,
}

/// Which part of a value comes next.
#[derive(Debug, Default, Clone, Copy)]
enum Part {
    #[default]
    Line,
    /// A blob of so many bytes with its end.
    Blob { kind: u8, length: usize },
}

#[derive(Debug)]
struct Aggregate {
    kind: u8,
    /// Values that are missing.
    left: usize,
    values: Vec<Value>,
}

impl Decoder {
    /// Takes bytes up to the end of a value: how many, and the value. All of them without a value:
    /// it is not whole yet.
    ///
    /// # Errors
    /// What is wrong with them; nothing is to be read from the connection any more.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(usize, Option<Value>), Breach> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, value) = match self.part {
                Part::Line => self.line(rest)?,
                Part::Blob { kind, length } => self.blob(rest, kind, length)?,
            };
            rest = &rest[taken..];
            self.bytes += taken;
            if self.bytes > VALUE_BYTES_MAX {
                return Err(Breach::TooLarge("a value is larger than 128 MiB"));
            }
            if let Some(value) = value.and_then(|value| self.put(value)) {
                (self.bytes, self.elements) = (0, 0);
                return Ok((bytes.len() - rest.len(), Some(value)));
            }
        }
        Ok((bytes.len(), None))
    }

    /// Whether the next byte begins a value, and none is open.
    pub(super) fn is_between(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes of memory for what is not whole, without the values that are.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(usize, Option<Value>), Breach> {
        if self.kept.is_empty()
            && let Some((number, taken)) = short_number(bytes)
            && let Some(value) = self.begin_short(bytes[0], number)
        {
            return Ok((taken, value?));
        }
        let first = *self.kept.first().unwrap_or(&bytes[0]);
        if !is_kind(first) {
            return Err(Breach::NoType(first));
        }
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        if self.kept.len() + taken > LINE_BYTES_MAX {
            return Err(Breach::TooLarge("a line is longer than 64 KiB"));
        }
        if end.is_none() {
            self.kept.extend_from_slice(bytes);
            return Ok((taken, None));
        }
        let value = if self.kept.is_empty() {
            self.begin(first, &bytes[1..taken])?
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(&bytes[..taken]);
            self.begin(first, &kept[1..])?
        };
        Ok((taken, value))
    }

    /// What a line of this kind with nothing but a number begins; `None`: that is to be read in
    /// another way.
    fn begin_short(&mut self, kind: u8, number: u64) -> Option<Result<Option<Value>, Breach>> {
        Some(match kind {
            b':' => Ok(Some(Value::Number(number.cast_signed()))),
            b'$' => self.begin_blob(kind, usize::try_from(number).ok()?),
            b'*' | b'>' => self.open(kind, usize::try_from(number).ok()?),
            _ => return None,
        })
    }

    fn begin_blob(&mut self, kind: u8, length: usize) -> Result<Option<Value>, Breach> {
        if length > BLOB_BYTES_MAX {
            return Err(Breach::TooLarge("a blob is larger than 64 MiB"));
        }
        self.part = Part::Blob { kind, length: length + 2 };
        Ok(None)
    }

    /// The value that is whole with this line, or what else it begins.
    fn begin(&mut self, kind: u8, line: &[u8]) -> Result<Option<Value>, Breach> {
        let line = line.strip_suffix(b"\r\n").ok_or(Breach::Line)?;
        let text = || std::str::from_utf8(line).map_err(|_| Breach::Line);
        Ok(Some(match kind {
            // In all others it is no part of what is asked for.
            b'+' | b'-' if memchr(b'\r', line).is_some() => return Err(Breach::Line),
            b'+' => Value::Text(line.into()),
            b'-' => Value::Error(line.into()),
            b':' => Value::Number(text()?.parse().map_err(|_| Breach::Line)?),
            b'_' if line.is_empty() => Value::Null,
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b',' if text()?.parse::<f64>().is_ok() => Value::Text(line.into()),
            b'(' if is_number(line) => Value::Text(line.into()),
            b'$' | b'*' if line == b"-1" => Value::Null,
            b'$' | b'!' | b'=' => return self.begin_blob(kind, length(line)?),
            b'*' | b'~' | b'%' | b'>' | b'|' => return self.open(kind, length(line)?),
            _ => return Err(Breach::Line),
        }))
    }

    fn blob(
        &mut self,
        bytes: &[u8],
        kind: u8,
        length: usize,
    ) -> Result<(usize, Option<Value>), Breach> {
        let taken = bytes.len().min(length - self.kept.len());
        let is_whole = self.kept.len() + taken == length;
        if !is_whole {
            self.kept.extend_from_slice(&bytes[..taken]);
            return Ok((taken, None));
        }
        let value = if self.kept.is_empty() {
            text(kind, &bytes[..taken])?
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(&bytes[..taken]);
            text(kind, &kept)?
        };
        self.part = Part::Line;
        Ok((taken, Some(value)))
    }

    fn open(&mut self, kind: u8, length: usize) -> Result<Option<Value>, Breach> {
        let left = if matches!(kind, b'%' | b'|') { length.saturating_mul(2) } else { length };
        self.elements = self.elements.saturating_add(left);
        if self.elements > ELEMENTS_MAX {
            return Err(Breach::TooLarge("a value has more than 2^20 values within it"));
        }
        if kind == b'>' && (left == 0 || !self.open.is_empty()) {
            return Err(Breach::Push);
        }
        let aggregate = Aggregate { kind, left, values: Vec::new() };
        if left == 0 {
            return Ok(aggregate.end());
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Breach::TooLarge("a value is nested deeper than 8"));
        }
        self.open.push(aggregate);
        Ok(None)
    }

    /// Puts a value where it belongs; gives the outermost that is whole with it.
    fn put(&mut self, mut value: Value) -> Option<Value> {
        while let Some(innermost) = self.open.last_mut() {
            if innermost.values.is_empty() {
                innermost.values.reserve_exact(innermost.left.min(VALUES_AT_ONCE));
            }
            innermost.values.push(value);
            innermost.left -= 1;
            if innermost.left > 0 {
                return None;
            }
            value = self.open.pop()?.end()?;
        }
        Some(value)
    }
}

impl Aggregate {
    /// The whole value; `None` for attributes, which belong to the value behind them.
    fn end(self) -> Option<Value> {
        match self.kind {
            b'%' => Some(Value::Map(self.values)),
            b'>' => Some(Value::Push(self.values)),
            b'|' => None,
            _ => Some(Value::List(self.values)),
        }
    }
}

/// Whether a value may begin with this byte.
fn is_kind(byte: u8) -> bool {
    matches!(
        byte,
        b'+' | b'-'
            | b':'
            | b'$'
            | b'*'
            | b'_'
            | b'#'
            | b','
            | b'('
            | b'!'
            | b'='
            | b'%'
            | b'~'
            | b'>'
            | b'|'
    )
}

fn length(line: &[u8]) -> Result<usize, Breach> {
    if line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return Err(Breach::Line);
    }
    // Too many digits for a number are too large for every limit.
    Ok(plain(line).and_then(|number| number.try_into().ok()).unwrap_or(usize::MAX))
}

/// A number of decimal digits and nothing else; `None`, too, where it has more than fit.
pub(super) fn plain(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        let digit = digit.wrapping_sub(b'0');
        (digit <= 9).then_some(number.checked_mul(10)?.checked_add(digit.into())?)
    };
    digits.iter().try_fold(0, add)
}

/// The number of a line that is whole and has nothing else behind its kind, and how long the line
/// is; `None`: it is to be read in another way.
fn short_number(line: &[u8]) -> Option<(u64, usize)> {
    let (number, rest) = leading(line.get(1..)?)?;
    rest.starts_with(b"\r\n").then_some((number, line.len() - rest.len() + 2))
}

/// The number that bytes begin with, and what is behind its digits, of which there are at least 1
/// and at most 18: as many as any number here has, and too few for an overflow.
pub(super) fn leading(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut at) = (0_u64, 0);
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        if at == 18 {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (at > 0).then(|| (number, &bytes[at..]))
}

fn is_number(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// A blob with its end.
fn text(kind: u8, bytes: &[u8]) -> Result<Value, Breach> {
    let text = bytes.strip_suffix(b"\r\n").ok_or(Breach::Blob)?;
    Ok(match kind {
        b'!' => Value::Error(text.into()),
        b'=' => match text {
            [_, _, _, b':', text @ ..] => Value::Text(text.into()),
            _ => return Err(Breach::Blob),
        },
        _ => Value::Text(text.into()),
    })
}

#[cfg(test)]
mod tests;
