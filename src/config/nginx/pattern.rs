//! nginx pattern: a location's paths as an expression for nginx's PCRE. Written from the parsed
//! expression, never copied: some expressions mean different things in the two dialects (`\v`,
//! `[a&&b]`), and nginx matches the decoded path, where `%C3%B6` is two bytes.
//!
//! The output has backslashes only before `x`, `b` and `z`, which nginx's quoting does not change;
//! so the expression needs no escaping between double quotes.

use std::fmt::Write as _;

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Look, Repetition};

use super::super::settings::Common;
use crate::relay::location::spelling::{self, Piece, is_encoded, pieces, sequences};

/// The anchored expression, with the channel id in a group of this name; `None` if PCRE has none
/// for the same paths.
pub(super) fn of(common: &Common, capture: &str) -> Option<String> {
    let mut out = "^".to_owned();
    match (&common.url, &common.prefix) {
        (Some(url), _) => {
            write(&mut out, &spelling::parse(url).ok()?, capture, Place::Sequence)?;
        }
        (None, prefix) => {
            text(&mut out, prefix.as_deref().unwrap_or_default().as_bytes(), true);
            let _ = write!(out, "(?<{capture}>.+)");
        }
    }
    out.push_str("\\z");
    Some(out)
}

/// What nginx does differently for this pattern, because it matches the decoded path.
pub(super) fn notes(common: &Common) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if has(common, Piece::Escape(b'/')) {
        notes.push("%2F in its pattern is a slash for nginx: paths with that are served, too.");
    }
    if has(common, Piece::Raw(b'%')) {
        notes
            .push("A % before a class or a group: nginx has decoded %XX, so that it is not found.");
    }
    notes
}

/// Whether the pattern's text contains this.
fn has(common: &Common, piece: Piece) -> bool {
    fn any(hir: &Hir, piece: Piece) -> bool {
        match hir.kind() {
            HirKind::Literal(text) => pieces(&text.0, false).any(|one| one == piece),
            kind => kind.subs().iter().any(|sub| any(sub, piece)),
        }
    }
    match (&common.url, &common.prefix) {
        (Some(url), _) => spelling::parse(url).is_ok_and(|hir| any(&hir, piece)),
        (None, prefix) => {
            pieces(prefix.as_deref().unwrap_or_default().as_bytes(), true).any(|one| one == piece)
        }
    }
}

/// An expression that matches no byte.
const NOTHING: &str = "[^\\x00-\\xff]";

/// The place of a part, which decides whether the part needs a group around it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Alone within parentheses: needs none.
    Group,
    /// Beside others: alternatives need one.
    Sequence,
    /// Before a repetition: all but a byte, a class or a group need one.
    Repeated,
}

fn write(out: &mut String, hir: &Hir, capture: &str, place: Place) -> Option<()> {
    let needs_group = match hir.kind() {
        HirKind::Literal(bytes) => bytes.0.len() > 1 && place == Place::Repeated,
        HirKind::Repetition(_) | HirKind::Concat(_) => place == Place::Repeated,
        HirKind::Alternation(_) => place != Place::Group,
        _ => false,
    };
    if needs_group {
        out.push_str("(?:");
    }
    match hir.kind() {
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Literal(bytes) => text(out, &bytes.0, false),
        HirKind::Class(Class::Bytes(bytes)) => class(out, &decoded(bytes)),
        HirKind::Class(Class::Unicode(characters)) => match characters.to_byte_class() {
            Some(bytes) => class(out, &decoded(&bytes)),
            None => {
                for (index, sequence) in sequences(characters).enumerate() {
                    out.push_str(if index == 0 { "(?:" } else { "|" });
                    for part in sequence.as_slice() {
                        class(out, &ClassBytes::new([ClassBytesRange::new(part.start, part.end)]));
                    }
                }
                out.push(')');
            }
        },
        HirKind::Look(look) => out.push_str(match look {
            Look::Start => "(?:^)",
            Look::End => "(?:\\z)",
            Look::WordAscii => "(?:\\b)",
            _ => return None,
        }),
        HirKind::Repetition(repetition) => {
            write(out, &repetition.sub, capture, Place::Repeated)?;
            times(out, repetition);
        }
        HirKind::Capture(group) => {
            let _ = write!(out, "(?<{capture}>");
            write(out, &group.sub, capture, Place::Group)?;
            out.push(')');
        }
        HirKind::Concat(parts) => {
            parts.iter().try_for_each(|part| write(out, part, capture, Place::Sequence))?;
        }
        HirKind::Alternation(parts) => {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write(out, part, capture, Place::Sequence)?;
            }
        }
    }
    if needs_group {
        out.push(')');
    }
    Some(())
}

fn times(out: &mut String, repetition: &Repetition) {
    match (repetition.min, repetition.max) {
        (0, None) => out.push('*'),
        (1, None) => out.push('+'),
        (0, Some(1)) => out.push('?'),
        (min, None) => drop(write!(out, "{{{min},}}")),
        (min, Some(max)) if min == max => drop(write!(out, "{{{min}}}")),
        (min, Some(max)) => drop(write!(out, "{{{min},{max}}}")),
    }
    if !repetition.greedy {
        out.push('?');
    }
}

/// The expression for these bytes of a decoded path.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let mut out = String::new();
    bytes.iter().for_each(|byte| literal(&mut out, *byte));
    out
}

fn text(out: &mut String, text: &[u8], is_whole: bool) {
    for piece in pieces(text, is_whole) {
        match piece {
            Piece::Raw(byte) if is_in_no_path(byte) => out.push_str(NOTHING),
            Piece::Raw(byte) | Piece::Encoded(byte) | Piece::Escape(byte) => literal(out, byte),
        }
    }
}

/// Whether no raw path has this byte: a pattern with the raw byte does not mean its encoded form.
fn is_in_no_path(byte: u8) -> bool {
    byte == b'?' || byte.is_ascii_control()
}

/// A class for decoded paths. One with `%` matches encoded characters, a negated one without `%`
/// does not. More is not possible: nginx does not say whether a client encoded a letter.
fn decoded(class: &ClassBytes) -> ClassBytes {
    let has = |byte| class.ranges().iter().any(|one| one.start() <= byte && byte <= one.end());
    let bytes = |test: fn(u8) -> bool| {
        let bytes = (0..=u8::MAX).filter(|byte| test(*byte));
        ClassBytes::new(bytes.map(|byte| ClassBytesRange::new(byte, byte)))
    };
    let encoded = || bytes(|byte| is_encoded(byte) || byte == b'?');
    let mut decoded = class.clone();
    match (has(b'%'), has(0xff)) {
        (true, false) => decoded.union(&encoded()),
        (false, true) => decoded.difference(&encoded()),
        (false, false) => decoded.difference(&bytes(is_in_no_path)),
        (true, true) => {}
    }
    // A class of raw bytes beyond ASCII has nothing else.
    if decoded.ranges().is_empty() && has(0xff) { class.clone() } else { decoded }
}

fn literal(out: &mut String, byte: u8) {
    match byte {
        b'.' | b'+' | b'*' | b'(' | b')' => {
            let _ = write!(out, "[{}]", char::from(byte));
        }
        _ => plain_or_escaped(out, byte, b"/-_~%:=@!,;"),
    }
}

/// Writes a letter, a digit or one of `plain` as it is, and other bytes as `\x24`.
pub(super) fn plain_or_escaped(out: &mut String, byte: u8, plain: &[u8]) {
    if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

fn class(out: &mut String, class: &ClassBytes) {
    let mut others = class.clone();
    others.negate();
    match (class.ranges(), others.ranges()) {
        ([], _) => out.push_str(NOTHING),
        (_, []) => out.push_str("(?s:.)"),
        (_, [one]) if (one.start(), one.end()) == (b'\n', b'\n') => out.push('.'),
        (ranges, others) => {
            // The shorter expression.
            let is_negated = others.len() <= ranges.len() && class.ranges()[0].start() == 0;
            out.push_str(if is_negated { "[^" } else { "[" });
            for range in if is_negated { others } else { ranges } {
                member(out, range.start());
                if range.start() != range.end() {
                    out.push('-');
                    member(out, range.end());
                }
            }
            out.push(']');
        }
    }
}

fn member(out: &mut String, byte: u8) {
    plain_or_escaped(out, byte, b"/_.+%:");
}

#[cfg(test)]
mod tests {
    use regex::bytes::RegexBuilder;

    use super::super::super::settings::Common;
    use super::of;
    use crate::relay::location::Pattern;

    fn common(url: Option<&str>, prefix: Option<&str>) -> Common {
        Common {
            url: url.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            store: "default".to_owned(),
            channel_group: String::new(),
            signed: false,
        }
    }

    #[test]
    fn plain_expressions_stay_as_they_are() {
        for (url, written) in [
            ("/updates/([^/]+)", r"^/updates/(?<id>[^/]+)\z"),
            ("/a/(.+)", r"^/a/(?<id>.+)\z"),
            (r"/a\.b/(\d+)", r"^/a[.]b/(?<id>[0-9]+)\z"),
            ("/(a|bc)|/b", r"^(?:/(?<id>a|bc)|/b)\z"),
            (r"/(?P<x>[a-z&&[^b-y]]{2,})", r"^/(?<id>[az]{2,})\z"),
            (r"/\$/(a+?)(?:bc)*", r"^/\x24/(?<id>a+?)(?:bc)*\z"),
        ] {
            assert_eq!(of(&common(Some(url), None), "id").as_deref(), Some(written), "{url}");
        }
        for (url, written) in [
            (
                "/ö%c3%B6 %2f/(?:ä|ö)(.)",
                r"^/\xc3\xb6\xc3\xb6\x20//(?:[\xc3][\xa4]|[\xc3][\xb6])(?<id>.)\z",
            ),
            (r"/100%/\?x/([\w%]+)", "^/100%/[^\\x00-\\xff]x/"),
        ] {
            let whole = of(&common(Some(url), None), "id").expect("PCRE can say it");
            assert!(whole.starts_with(written), "{url}: {whole}");
        }
        let prefix = of(&common(None, Some("/a.b$\"/")), "id");
        assert_eq!(prefix.as_deref(), Some(r"^/a[.]b\x24\x22/(?<id>.+)\z"));
    }

    /// What is written is understood alike by `regex` and by PCRE, so the first can judge it.
    #[test]
    fn what_is_written_takes_the_same_paths_and_the_same_ids() {
        let urls = [
            "/updates/([^/]+)",
            "/(a|bc)?/x",
            "/a(?:b|cd){2,3}/([a-z&&[^aeiou]]+)",
            "/(?i)Updates/([^/]+)",
            "(?x) /a b / ([^/ ]+) ",
            r"/[\v\t]*(.*)",
            "/x^/(.*)|/y/(?:z)",
            r"/\b(\w+)\b",
            "/n/((?:a*b?)*?c)",
            "/é/([^/]+)",
            r"/(?s:(.))(?-i:a)+",
            r"/a$|/(b)",
        ];
        let paths = [
            "/updates/a",
            "/updates/a/b",
            "/UPDATES/x",
            "/Updates/",
            "/a/x",
            "/bc/x",
            "/x",
            "//x",
            "/abb/bcd",
            "/abcdcd/b",
            "/abb/aei",
            "/ab/c",
            "/y/z",
            "/a b",
            "/a-b",
            "/n/c",
            "/n/aabac",
            "/é/x",
            "/xaaa",
            "/xa",
            "/a",
            "/b",
            "/x^/",
            "/",
            "",
        ];
        for url in urls {
            let Ok(pattern) = Pattern::url(url) else { continue };
            let written = of(&common(Some(url), None), "id").expect(url);
            let regex = RegexBuilder::new(&written).unicode(false).build().expect(&written);
            for path in paths {
                let id = regex.captures(path.as_bytes()).and_then(|found| found.name("id"));
                let id = id.map(|id| id.as_bytes());
                assert_eq!(id, pattern.channel_part(path.as_bytes()), "{url} {written} {path}");
            }
        }
    }

    #[test]
    fn what_pcre_cannot_say_is_told() {
        assert_eq!(of(&common(Some(r"/(?m:^)(a)"), None), "id"), None);
    }
}
