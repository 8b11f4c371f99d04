//! Round of what Redis sends. Where the bytes are split makes no difference, a reader that is slow
//! and plain finds the same values and the same breach, and no promised length takes memory. What
//! is read goes on to all who read answers and announcements: none of them panics.

use pushserver::store::redis::announcement::Announcement;
use pushserver::store::redis::answers::{Known, Opened, Published, Refusal, Synced, leased};
use pushserver::store::redis::resp::{
    BLOB_BYTES_MAX, DEPTH_MAX, Decoder, ELEMENTS_MAX, LINE_BYTES_MAX, Value,
};

use crate::random::Random;

/// What came out, and whether it ended before the input did.
type Outcome = (Vec<Value>, bool);

/// Places at which an input is cut in two, at most: all of a short one.
const CUTS_MAX: usize = 300;

/// The first byte chooses where the bytes are cut by chance.
pub fn round(data: &[u8]) {
    let [seed, bytes @ ..] = data else { return };
    let whole = in_pieces(std::iter::once(bytes));
    assert_eq!(whole, plainly(bytes), "the slow reader disagrees");
    assert_eq!(in_pieces(bytes.chunks(1)), whole, "byte by byte");
    for at in (0..bytes.len()).step_by(1 + bytes.len() / CUTS_MAX) {
        let (first, second) = bytes.split_at(at);
        assert_eq!(in_pieces([first, second].into_iter()), whole, "cut at {at}");
    }
    let mut random = Random::new(u64::from(*seed));
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + random.index(rest.len().min(40)));
        pieces.push(piece);
        rest = behind;
    }
    assert_eq!(in_pieces(pieces.into_iter()), whole, "cut by chance");
    whole.0.into_iter().for_each(read);
    let _ = (Announcement::read(bytes), Refusal::of(bytes));
}

/// Gives a value to all who read one.
fn read(value: Value) {
    if let Value::Push(parts) = &value {
        for part in parts {
            if let Value::Text(text) = part {
                let _ = Announcement::read(text);
            }
        }
    }
    let _ = Published::read(value.clone());
    let _ = Opened::read(value.clone());
    let _ = Synced::read(value.clone());
    let _ = Known::read(value.clone());
    let _ = leased(value);
}

fn in_pieces<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Outcome {
    let (mut decoder, mut values) = (Decoder::default(), Vec::new());
    let mut come = 0;
    for mut rest in pieces {
        while !rest.is_empty() {
            let Ok((taken, value)) = decoder.decode(rest) else { return (values, true) };
            assert!(taken == rest.len() || taken > 0 && value.is_some(), "it gets on");
            rest = &rest[taken..];
            come += taken;
            assert!(decoder.kept_bytes() <= (2 * come).max(8), "it keeps what has come");
            values.extend(value);
        }
    }
    (values, false)
}

/// Why a plain reader stops.
enum Stop {
    /// The bytes end within a value.
    End,
    /// They are wrong.
    Wrong,
}

/// The protocol as it is written, without a thought of pieces.
fn plainly(bytes: &[u8]) -> Outcome {
    let (mut rest, mut values) = (bytes, Vec::new());
    loop {
        let mut elements = 0;
        match value(&mut rest, 0, &mut elements) {
            Ok(value) => values.push(value),
            Err(Stop::End) => return (values, false),
            Err(Stop::Wrong) => return (values, true),
        }
    }
}

fn value(rest: &mut &[u8], depth: usize, elements: &mut usize) -> Result<Value, Stop> {
    let Some(&kind) = rest.first() else { return Err(Stop::End) };
    if !b"+-:$*_#,(!=%~>|".contains(&kind) {
        return Err(Stop::Wrong);
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    if end.map_or(rest.len(), |end| end + 1) > LINE_BYTES_MAX {
        return Err(Stop::Wrong);
    }
    let Some(end) = end else { return Err(Stop::End) };
    let line = &rest[1..=end];
    *rest = &rest[end + 1..];
    let line = line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'));
    let line = line.ok_or(Stop::Wrong)?;
    let text = std::str::from_utf8(line).ok();
    let length = || -> Result<usize, Stop> {
        let is_plain = !line.is_empty() && line.iter().all(u8::is_ascii_digit);
        if is_plain {
            Ok(text.map_or(0, |text| text.parse().unwrap_or(usize::MAX)))
        } else {
            Err(Stop::Wrong)
        }
    };
    match kind {
        b'+' => Ok(Value::Text(line.into())),
        b'-' => Ok(Value::Error(line.into())),
        b':' => text.and_then(|text| text.parse().ok()).map(Value::Number).ok_or(Stop::Wrong),
        b'_' => {
            if line.is_empty() {
                Ok(Value::Null)
            } else {
                Err(Stop::Wrong)
            }
        }
        b'#' => match line {
            b"t" => Ok(Value::Boolean(true)),
            b"f" => Ok(Value::Boolean(false)),
            _ => Err(Stop::Wrong),
        },
        b',' => match text.map(str::parse::<f64>) {
            Some(Ok(_)) => Ok(Value::Text(line.into())),
            _ => Err(Stop::Wrong),
        },
        b'(' => {
            let digits = line.strip_prefix(b"-").unwrap_or(line);
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            if is_number { Ok(Value::Text(line.into())) } else { Err(Stop::Wrong) }
        }
        b'$' | b'*' if line == b"-1" => Ok(Value::Null),
        b'$' | b'!' | b'=' => blob(rest, kind, length()?),
        _ => aggregate(rest, (kind, length()?), depth, elements),
    }
}

fn blob(rest: &mut &[u8], kind: u8, length: usize) -> Result<Value, Stop> {
    if length > BLOB_BYTES_MAX {
        return Err(Stop::Wrong);
    }
    let (blob, behind) = rest.split_at_checked(length + 2).ok_or(Stop::End)?;
    *rest = behind;
    let text = blob.strip_suffix(b"\r\n").ok_or(Stop::Wrong)?;
    match kind {
        b'!' => Ok(Value::Error(text.into())),
        b'=' if text.get(3) == Some(&b':') => Ok(Value::Text(text[4..].into())),
        b'=' => Err(Stop::Wrong),
        _ => Ok(Value::Text(text.into())),
    }
}

fn aggregate(
    rest: &mut &[u8],
    (kind, length): (u8, usize),
    depth: usize,
    elements: &mut usize,
) -> Result<Value, Stop> {
    let length = if matches!(kind, b'%' | b'|') { length.saturating_mul(2) } else { length };
    *elements = elements.saturating_add(length);
    let is_push = kind == b'>';
    if *elements > ELEMENTS_MAX || is_push && (length == 0 || depth > 0) {
        return Err(Stop::Wrong);
    }
    if length > 0 && depth == DEPTH_MAX {
        return Err(Stop::Wrong);
    }
    let mut values = Vec::new();
    for _ in 0..length {
        values.push(value(rest, depth + 1, elements)?);
    }
    match kind {
        b'%' => Ok(Value::Map(values)),
        b'>' => Ok(Value::Push(values)),
        // What it says is of the value behind it.
        b'|' => value(rest, depth, elements),
        _ => Ok(Value::List(values)),
    }
}
