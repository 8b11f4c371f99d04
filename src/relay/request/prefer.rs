//! Prefer: which preferences of a publisher are known here (RFC 7240): how long it waits for its
//! message to reach somebody. Pure; refuses nothing, since what is not understood is passed over.

use super::decimal::decimal;
use crate::http::RequestHead;

/// Longest wait of a publisher, seconds. Whoever asks for more is told that it is this.
pub(in crate::relay) const WAIT_S_MAX: u8 = 30;

/// How long a publisher wants to wait until a subscriber is sent its message, `wait=N`, seconds, at
/// most [`WAIT_S_MAX`]; 0: not at all. The first `wait` of all its fields counts.
pub(in crate::relay) fn wait_s(head: &RequestHead<'_>) -> u8 {
    let preferences = head.header_all("Prefer").flat_map(|value| parts(value, b','));
    let mut named = preferences.filter_map(|preference| {
        // Parameters of a preference follow behind a `;`.
        let (name, value) = split_once(parts(preference, b';').next()?, b'=');
        name.trim_ascii().eq_ignore_ascii_case(b"wait").then(|| value.trim_ascii())
    });
    named.next().map_or(0, seconds)
}

/// A number of whole seconds, which may stand in quotes; 0: it is none.
fn seconds(value: &[u8]) -> u8 {
    let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let digits = bare.unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    // One that does not fit is more than the most.
    let seconds = decimal(digits).unwrap_or(u64::MAX);
    seconds.min(WAIT_S_MAX.into()) as u8
}

fn split_once(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    let end = memchr::memchr(at, text).unwrap_or(text.len());
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}

/// The pieces of a text between separators that stand in no quoted string (RFC 9110 5.6.4).
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.iter().position(|byte| {
            let is_plain = std::mem::take(&mut is_escaped);
            match byte {
                _ if is_plain => {}
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                _ => return !is_quoted && *byte == separator,
            }
            false
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadLimits, HeaderSlots, parse_request};

    fn wait(fields: &[&str]) -> u8 {
        let fields: String = fields.iter().map(|value| format!("Prefer: {value}\r\n")).collect();
        let head = format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let limits = HeadLimits { header_bytes: 4096, headers: 20, uri_bytes: 1024 };
        let mut slots = HeaderSlots::new();
        wait_s(&parse_request(head.as_bytes(), &mut slots, &limits).unwrap())
    }

    #[test]
    fn whole_seconds_are_understood_and_more_than_the_most_is_the_most() {
        for (value, seconds) in [("1", 1), ("2", 2), ("30", 30), ("007", 7), ("\"5\"", 5)] {
            assert_eq!(wait(&[&format!("wait={value}")]), seconds, "{value}");
        }
        for more in ["31", "3600", "99999999999999999999"] {
            assert_eq!(wait(&[&format!("wait={more}")]), 30, "{more}");
        }
        for none in ["0", "000", "", "1.5", "-1", "+1", "x", "2 3", "\"2", "2\"", "\"\"", "2s"] {
            assert_eq!(wait(&[&format!("wait={none}")]), 0, "{none}");
        }
        assert_eq!((wait(&[]), wait(&[""]), wait(&["wait"]), wait(&["waits=2"])), (0, 0, 0, 0));
    }

    #[test]
    fn it_is_found_among_others_in_one_field_or_several() {
        assert_eq!(wait(&["respond-async, wait=2"]), 2);
        assert_eq!(wait(&["return=minimal; foo=\"a;b\" ,, WAIT = 3 ; x=y;z"]), 3);
        assert_eq!(wait(&["handling=lenient", "respond-async", "Wait=4"]), 4);
        assert_eq!(wait(&["foo=\"a, wait=9, \\\" wait=8\", wait=5"]), 5);
        assert_eq!(wait(&["foo; wait=9"]), 0, "a parameter of another preference");
        assert_eq!(wait(&["foo=\"open, wait=9", "wait=6"]), 6);
    }

    #[test]
    fn the_first_of_several_counts_whatever_it_says() {
        assert_eq!(wait(&["wait=2, wait=3"]), 2);
        assert_eq!(wait(&["wait=2", "wait=3"]), 2);
        assert_eq!(wait(&["wait=x", "wait=3"]), 0);
    }
}
