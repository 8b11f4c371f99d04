//! Spelling: how the text of a location's pattern stands in the path of a request. Clients
//! percent-encode what RFC 3986 3.3 does not allow in a path (`ö` as `%C3%B6`), some send it raw,
//! and the digits come in either case. Rewrites a parsed expression so that it takes all of these;
//! matches nothing itself. Done at start: a pattern without such text is left as it is.

use std::fmt;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, HirKind, Repetition,
};
use regex_syntax::utf8::{Utf8Sequence, Utf8Sequences};

/// What is wrong with a pattern, and what to write instead. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(pub(super) String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PatternError {}

/// Reads an expression as it is matched: by bytes.
///
/// # Errors
/// If it is no regular expression, or has a class with more than ASCII.
pub(crate) fn parse(expression: &str) -> Result<Hir, PatternError> {
    use regex_syntax::{Error, hir::ErrorKind};
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(expression);
    parsed.map_err(|error| match error {
        Error::Translate(error) if *error.kind() == ErrorKind::UnicodeNotAllowed => {
            PatternError(NOT_ASCII.to_owned())
        }
        error => syntax(&error.to_string()),
    })
}

/// What is wrong with an expression. The parser draws it with a caret below; its last line says
/// what is wrong.
pub(super) fn syntax(words: &str) -> PatternError {
    let last = words.lines().last().unwrap_or(words);
    PatternError(format!("not a regular expression: {}", last.trim_start_matches("error: ")))
}

/// A path has other characters percent-encoded.
const NOT_ASCII: &str = "a class, as in [äö], can have only ASCII characters, since a path has \
                         others percent-encoded; write alternatives, as in (?:ä|ö)";

/// The expression for a raw path; `None` if it is the same.
pub(super) fn spelled(hir: &Hir) -> Option<Hir> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(text) => literal(&text.0, false),
        HirKind::Class(Class::Bytes(class)) => bytes(class),
        HirKind::Class(Class::Unicode(class)) => characters(class),
        HirKind::Repetition(of) => {
            let sub = Box::new(spelled(&of.sub)?);
            Some(Hir::repetition(Repetition { sub, ..of.clone() }))
        }
        HirKind::Capture(of) => {
            let sub = Box::new(spelled(&of.sub)?);
            Some(Hir::capture(Capture { sub, ..of.clone() }))
        }
        HirKind::Concat(parts) => all(parts).map(Hir::concat),
        HirKind::Alternation(parts) => all(parts).map(Hir::alternation),
    }
}

fn all(parts: &[Hir]) -> Option<Vec<Hir>> {
    let spelled: Vec<_> = parts.iter().map(spelled).collect();
    let is_changed = spelled.iter().any(Option::is_some);
    let pairs = spelled.into_iter().zip(parts);
    is_changed.then(|| pairs.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect())
}

/// A piece of a pattern's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This byte, which no client encodes.
    Raw(u8),
    /// This byte, which clients encode, however it is written in the pattern.
    Encoded(u8),
    /// `%XX` of a byte that clients leave raw: a client that encodes it means something else by it.
    Escape(u8),
}

/// The text in pieces. A `%` that begins no `%XX` is a percent sign. One at the end, which digits
/// may follow, is one only if the text is whole; in an expression it stays as it is.
pub(crate) fn pieces(mut text: &[u8], is_whole: bool) -> impl Iterator<Item = Piece> + '_ {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    std::iter::from_fn(move || {
        let (piece, rest) = match text {
            [] => return None,
            [b'%', high, low, rest @ ..] if value(*high).is_some() && value(*low).is_some() => {
                let byte = value(*high)? << 4 | value(*low)?;
                (if is_encoded(byte) { Piece::Encoded(byte) } else { Piece::Escape(byte) }, rest)
            }
            [b'%', rest @ ..] if rest.len() > 1 || rest.iter().any(|b| value(*b).is_none()) => {
                (Piece::Encoded(b'%'), rest)
            }
            [b'%', rest @ ..] if is_whole => (Piece::Escape(b'%'), rest),
            [byte, rest @ ..] if is_encoded(*byte) => (Piece::Encoded(*byte), rest),
            [byte, rest @ ..] => (Piece::Raw(*byte), rest),
        };
        text = rest;
        Some(piece)
    })
}

/// Whether the expression has a segment `.` or `..` in its text, which clients and nginx resolve
/// (RFC 3986 5.2.4, URL standard 4.4), `%2e` too.
pub(super) fn has_dot_segment(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(text) => is_with_dots(&text.0),
        kind => kind.subs().iter().any(has_dot_segment),
    }
}

/// As [`has_dot_segment`], of the text alone.
pub(super) fn is_with_dots(text: &[u8]) -> bool {
    let decoded = pieces(text, true).map(|piece| match piece {
        Piece::Escape(b'/') => b'%',
        Piece::Raw(byte) | Piece::Encoded(byte) | Piece::Escape(byte) => byte,
    });
    let decoded: Vec<u8> = decoded.collect();
    let segments: Vec<_> = decoded.split(|byte| *byte == b'/').collect();
    // The first and the last may go on beyond the text.
    let within = segments.get(1..segments.len() - 1).unwrap_or_default();
    within.iter().any(|segment| matches!(segment, [b'.'] | [b'.', b'.']))
}

/// Whether clients encode this byte in a path. Not `?`, which ends the path, and not controls: a
/// pattern that has one of them means something that no path has.
pub(crate) fn is_encoded(byte: u8) -> bool {
    byte >= 0x80 || b" \"#<>[\\]^`{|}".contains(&byte)
}

/// The text of an expression, or of a `prefix`, which is whole.
pub(super) fn literal(text: &[u8], is_whole: bool) -> Option<Hir> {
    let is_changed = pieces(text, is_whole).any(|piece| !matches!(piece, Piece::Raw(_)));
    let write = |piece| match piece {
        Piece::Raw(byte) => Hir::literal([byte]),
        Piece::Encoded(byte) => spellings(byte, byte),
        Piece::Escape(byte) => escape(byte >> 4, byte & 15, byte & 15),
    };
    is_changed.then(|| Hir::concat(pieces(text, is_whole).map(write).collect()))
}

/// A class with `%` takes encoded characters byte by byte, and a negated one without it leaves
/// them out on purpose: both stay. To others the spellings of their members are added.
fn bytes(class: &ClassBytes) -> Option<Hir> {
    let members = || class.ranges().iter().flat_map(|range| range.start()..=range.end());
    if members().any(|byte| byte == b'%' || byte >= 0x80) || !members().any(is_encoded) {
        return None;
    }
    let spelled = members().filter(|byte| is_encoded(*byte)).map(|byte| spellings(byte, byte));
    let itself = Hir::class(Class::Bytes(class.clone()));
    Some(Hir::alternation(std::iter::once(itself).chain(spelled).collect()))
}

/// As [`bytes`]: alternatives of one character each, as in `(?:ä|ö)`, are parsed as a class.
fn characters(class: &ClassUnicode) -> Option<Hir> {
    if let Some(class) = class.to_byte_class() {
        return bytes(&class);
    }
    let has = |c| class.ranges().iter().any(|range| range.start() <= c && c <= range.end());
    if has('%') || has(char::MAX) {
        return None;
    }
    Some(Hir::alternation(sequences(class).map(|sequence| in_bytes(&sequence)).collect()))
}

/// The UTF-8 forms of a class.
pub(crate) fn sequences(class: &ClassUnicode) -> impl Iterator<Item = Utf8Sequence> + '_ {
    class.ranges().iter().flat_map(|range| Utf8Sequences::new(range.start(), range.end()))
}

fn in_bytes(sequence: &Utf8Sequence) -> Hir {
    let range = |(start, end)| {
        let raw = ClassBytes::new([ClassBytesRange::new(start, end)]);
        match start < 0x80 {
            true => bytes(&raw).unwrap_or_else(|| Hir::class(Class::Bytes(raw))),
            false => spellings(start, end),
        }
    };
    Hir::concat(sequence.as_slice().iter().map(|part| range((part.start, part.end))).collect())
}

/// These bytes, raw or encoded.
fn spellings(start: u8, end: u8) -> Hir {
    let raw = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(start, end)])));
    let encoded = (start >> 4..=end >> 4).map(|high| {
        let low_start = if high == start >> 4 { start & 15 } else { 0 };
        let low_end = if high == end >> 4 { end & 15 } else { 15 };
        escape(high, low_start, low_end)
    });
    Hir::alternation(std::iter::once(raw).chain(encoded).collect())
}

/// `%` and two digits in either case, the second one of several.
fn escape(high: u8, low_start: u8, low_end: u8) -> Hir {
    let digits = |start: u8, end: u8| {
        let cases = |digit: u8| {
            let lower = char::from_digit(digit.into(), 16).expect("four bits are a digit") as u8;
            [lower, lower.to_ascii_uppercase()].map(|byte| ClassBytesRange::new(byte, byte))
        };
        Hir::class(Class::Bytes(ClassBytes::new((start..=end).flat_map(cases))))
    };
    Hir::concat(vec![Hir::literal(*b"%"), digits(high, high), digits(low_start, low_end)])
}
