//! Repair of response heads: removes the white space before a colon (RFC 9112 section 5.1), joins
//! the lines of a folded value (5.2), and merges equal lengths (6.3). Never repairs what has two
//! readings, nor a field that frames the message or lists options of the connection.

use memchr::memchr;

use super::token::is_token;

/// Fields whose lines are not repaired, so that the strict parser refuses them.
const STRICT: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"connection"];

/// The repaired head of an answer that [`scan_response`](super::scan_response) found. `None`: it
/// cannot be repaired, or has nothing to repair. The caller parses the result strictly.
#[must_use]
pub fn mend_response(head: &[u8]) -> Option<Vec<u8>> {
    let mut lines = head.strip_suffix(b"\r\n\r\n")?.split(|byte| *byte == b'\n');
    let mut out = Vec::with_capacity(head.len());
    out.extend_from_slice(without_cr(lines.next()?));
    let mut is_mended = false;
    let mut length: Option<&[u8]> = None;
    // The first field has no line before it to continue (RFC 9112 section 2.2).
    let mut may_fold = false;
    for line in lines.map(without_cr) {
        if line.first().is_some_and(|byte| is_space(*byte)) {
            if !may_fold {
                return None;
            }
            is_mended = true;
            out.truncate(trimmed_end(&out).len());
            out.push(b' ');
            out.extend_from_slice(trimmed(line));
            continue;
        }
        let (name, value) = line.split_at(memchr(b':', line)?);
        let sound = trimmed_end(name);
        if sound.is_empty() || !sound.iter().copied().all(is_token) {
            return None;
        }
        let is_strict = STRICT.iter().any(|strict| sound.eq_ignore_ascii_case(strict));
        may_fold = !is_strict;
        if sound.len() < name.len() {
            if is_strict {
                return None;
            }
            is_mended = true;
        }
        if sound.eq_ignore_ascii_case(STRICT[0]) {
            let same = same_length(&value[1..])?;
            match length {
                Some(known) if known != same => return None,
                Some(_) => {
                    is_mended = true;
                    continue;
                }
                None => {}
            }
            length = Some(same);
            if same.len() < trimmed(&value[1..]).len() {
                is_mended = true;
                out.extend_from_slice(b"\r\nContent-Length: ");
                out.extend_from_slice(same);
                continue;
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(sound);
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n\r\n");
    is_mended.then_some(out)
}

/// The number in a list of equal numbers.
fn same_length(value: &[u8]) -> Option<&[u8]> {
    let mut numbers = value.split(|byte| *byte == b',').map(trimmed);
    let first = numbers.next().filter(|first| first.iter().all(u8::is_ascii_digit))?;
    numbers.all(|number| number == first).then_some(first)
}

/// The text without space and HTAB around it: no other byte is white space (RFC 9110 section
/// 5.6.3).
fn trimmed(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    trimmed_end(&text[start..])
}

fn trimmed_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::{HeaderSlots, parse_response};

    fn mended(fields: &str) -> Option<String> {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let mended = mend_response(head.as_bytes())?;
        let mended = String::from_utf8(mended).unwrap();
        Some(mended["HTTP/1.1 200 OK\r\n".len()..mended.len() - 4].to_owned())
    }

    #[test]
    fn what_has_one_reading_is_mended() {
        for (fields, sound) in [
            ("A : b", "A: b"),
            ("A \t: b:c\r\nD: e", "A: b:c\r\nD: e"),
            ("A: b\r\n c", "A: b c"),
            ("A: b \t\r\n\t c \r\n  d\r\nE: f", "A: b c d\r\nE: f"),
            ("A:\r\n b", "A: b"),
            ("A: b\r\n ", "A: b "),
            ("Content-Length: 3\r\nA: b\r\ncontent-length: 3", "Content-Length: 3\r\nA: b"),
            ("Content-Length: 3, 3", "Content-Length: 3"),
            ("Content-Length: 3,3\r\nContent-Length: 3", "Content-Length: 3"),
        ] {
            assert_eq!(mended(fields).as_deref(), Some(sound), "{fields:?}");
        }
    }

    #[test]
    fn what_has_two_readings_or_none_is_not() {
        for fields in [
            "A: b",
            " A: b",
            "\tA: b\r\nB: c",
            "A b: c",
            " : b",
            ": b",
            "A",
            "A : b\r\nB",
            "Content-Length : 3",
            "Content-Length: 3\r\n 4",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3, 4",
            "Content-Length: 3, ",
            "Content-Length: 3, +3",
            "Content-Length: 3, 03",
            "Content-Length:\x0c3, 3",
            "Content-Length: 3,\x0c3",
            "A\x0c: b",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\r\n chunked",
            "Connection : close",
            "Connection: a,\r\n close",
        ] {
            assert_eq!(mended(fields), None, "{fields:?}");
        }
    }

    #[test]
    fn no_control_is_taken_for_white_space() {
        // The strict reader sees it.
        assert_eq!(mended("A : b\r\nB: \x0cc\x0c"), Some("A: b\r\nB: \x0cc\x0c".to_owned()));
        assert_eq!(mended("A: b\x0c\r\n \x0cc").as_deref(), Some("A: b\x0c \x0cc"));
    }

    proptest! {
        /// Whatever is mended has no two readings left, and a sound head needs no mending.
        #[test]
        fn a_mended_head_is_sound_or_refused(
            fields in "((A|Content-Length|transfer-encoding|Connection|B-c)[ \t]{0,2}:[ \ta-c,0-3]{0,6}\r\n[ \t]?){0,5}",
        ) {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            if let Some(mended) = mend_response(head.as_bytes()) {
                prop_assert_eq!(mend_response(&mended), None);
                let mut slots = HeaderSlots::new();
                let _ = parse_response(&mended, &mut slots, false);
            }
        }
    }
}
