//! HTTP dates (RFC 9110 section 5.6.7): parses and writes them, as whole seconds since the Unix
//! epoch. Reads no clock.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_BYTES: usize = 29;

/// 9999-12-31 23:59:59: the last second that a date can say, which has four digits for the year.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// Appends `unix_s` as IMF-fixdate; seconds after the year 9999 are written as its last one.
pub fn write_http_date(unix_s: u64, out: &mut Vec<u8>) {
    let time = UNIX_EPOCH + Duration::from_secs(unix_s.min(LAST_SECOND));
    write!(out, "{}", HttpDate::from(time)).expect("a Vec takes every write");
}

/// Reads a date in any of the three forms of RFC 9110 5.6.7, or with a day of one digit
/// (`Thu, 1 Jan 1970 00:00:00 GMT`, which the updates.js of old pages sends first). It may end in
/// another name of that zone or in none, and in the length that clients of the nineties sent with
/// `If-Modified-Since` (`; length=5`). A date before the epoch is 0. No date is after
/// [`LAST_SECOND`]. `None` for anything else, a wrong weekday and other zones included.
#[must_use]
pub fn parse_http_date(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    // The common case first: subscribers repeat a date that the daemon wrote.
    parse_strict(text).or_else(|| parse_lenient(text))
}

/// [`parse_http_date`] for a date that has none of the three standard forms.
fn parse_lenient(text: &[u8]) -> Option<u64> {
    let date = without_zone(without_length(text));
    let mut whole = [0; DATE_BYTES_MAX];
    let parts: [&[u8]; 4] = match date {
        // A day of one digit; of an asctime date byte 3 is a space.
        [_, _, _, b',', b' ', _, b' ', ..] => [&date[..5], b"0", &date[5..], b" GMT"],
        _ if date.contains(&b',') => [date, b" GMT", b"", b""],
        _ => [date, b"", b"", b""],
    };
    let mut len = 0;
    for part in parts {
        whole.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    let whole = &whole[..len];
    parse_strict(whole).or_else(|| is_before_epoch(whole).then_some(0))
}

/// Bytes of `Wednesday, 09-Nov-94 08:49:37 GMT`.
const DATE_BYTES_MAX: usize = 33;

/// The date without a `; length=N` behind it.
fn without_length(text: &[u8]) -> &[u8] {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, digits) = text.split_at(text.len() - digits);
    match rest.strip_suffix(b"length=").map(|rest| rest.trim_ascii_end().strip_suffix(b";")) {
        Some(Some(date)) if !digits.is_empty() => date.trim_ascii_end(),
        _ => text,
    }
}

/// The date without the zone behind it, if the zone is Greenwich.
fn without_zone(text: &[u8]) -> &[u8] {
    let start = memchr::memrchr(b' ', text).unwrap_or(0);
    let zone = text[start..].trim_ascii_start();
    let is_ours = |name: &&[u8]| zone.eq_ignore_ascii_case(name);
    match [&b"GMT"[..], b"UTC", b"+0000", b"-0000"].iter().any(is_ours) {
        true => text[..start].trim_ascii_end(),
        false => text,
    }
}

fn parse_strict(text: &[u8]) -> Option<u64> {
    let date: HttpDate = std::str::from_utf8(text).ok()?.parse().ok()?;
    let since = SystemTime::from(date).duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// Whether this is a valid date before 1970, which httpdate does not read. The calendar repeats
/// every 400 years, weekdays too: the date is valid exactly if it is so some 400 years later.
fn is_before_epoch(text: &[u8]) -> bool {
    let year_at = match text.len() {
        DATE_BYTES => 12, // IMF-fixdate
        24 => 20,         // asctime
        _ => return false,
    };
    let mut later = [0; DATE_BYTES];
    let later = &mut later[..text.len()];
    later.copy_from_slice(text);
    let digits = &mut later[year_at..year_at + 4];
    // `parse` would accept a sign.
    let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    let Some(year @ ..1970) = text.and_then(|year| year.parse::<u16>().ok()) else { return false };
    let year = year % 400 + 2000;
    for (digit, power) in digits.iter_mut().zip([1000, 100, 10, 1]) {
        *digit = b'0' + (year / power % 10) as u8;
    }
    parse_strict(later).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(unix_s: u64) -> String {
        let mut out = Vec::new();
        write_http_date(unix_s, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_three_spellings_of_one_second_are_read() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            " Sun, 06 Nov 1994 08:49:37 GMT\t",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn other_names_of_greenwich_and_a_length_behind_the_date_are_read_over() {
        for date in [
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 6 Nov 1994 08:49:37",
            "Sunday, 06-Nov-94 08:49:37",
            "Sun Nov  6 08:49:37 1994",
        ] {
            for zone in ["", " GMT", " gmt", " UTC", " utc", " +0000", " -0000"] {
                for length in ["", "; length=5", ";length=12345", " ; length=0"] {
                    let text = format!("{date}{zone}{length}");
                    assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
                }
            }
            for end in [
                " EST",
                " CET",
                " BST",
                " +0100",
                " -0500",
                " +00",
                " 0000",
                " GMT+1",
                " GMT+0000",
                " GMT GMT",
                " GMT UTC",
                "GMT",
                "UTC",
                "+0000",
                " Z",
                "; length=",
                "; length=x",
                " length=5",
                "; size=5",
                "; length=5; length=5",
                " GMT;",
                ", 0",
                "; length=-5",
            ] {
                let text = format!("{date}{end}");
                assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
            }
        }
        assert_eq!(parse_http_date(b"Wed, 31 Dec 1969 23:59:59 UTC"), Some(0));
        assert_eq!(parse_http_date(b"Wednesday, 09-Nov-94 08:49:37 -0000"), Some(784_370_977));
    }

    #[test]
    fn the_first_date_of_updates_js_is_the_epoch() {
        assert_eq!(parse_http_date(b"Thu, 1 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse_http_date(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    }

    #[test]
    fn a_date_before_the_epoch_means_the_epoch() {
        for text in [
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Thu, 29 Feb 1968 00:00:00 GMT",
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "Mon, 1 Jan 0001 00:00:00 GMT",
            "Wed Dec 31 23:59:59 1969",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(0), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "0",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "GMT",
            "; length=5",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Fri, 30 Feb 1968 00:00:00 GMT",
            "Thu, 31 Dec 1969 23:59:59 GMT",
            "Wed, 31 Dec +969 23:59:59 GMT",
            "Sun, 31 Dec +969 23:59:59 GMT",
            "Sun Dec 31 23:59:59 +969",
            "Sun, x Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_last_second_of_the_year_9999_ends_the_calendar() {
        assert_eq!(written(LAST_SECOND), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(written(u64::MAX), written(LAST_SECOND));
        assert_eq!(parse_http_date(b"Fri, 31 Dec 9999 23:59:59 GMT"), Some(LAST_SECOND));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(unix_s in 0..=LAST_SECOND) {
            let text = written(unix_s);
            prop_assert_eq!(text.len(), DATE_BYTES);
            prop_assert_eq!(parse_http_date(text.as_bytes()), Some(unix_s));
        }

        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = parse_http_date(&bytes);
        }

        #[test]
        fn almost_a_date_is_no_reason_to_panic(at in 0..29_usize, byte: u8, form in 0..3_usize) {
            let mut text = [
                b"Sun, 06 Nov 1994 08:49:37 GMT".to_vec(),
                b"Sunday, 06-Nov-94 08:49:37 GMT".to_vec(),
                b"Sun Nov  6 08:49:37 1994".to_vec(),
            ][form].clone();
            let at = at % text.len();
            text[at] = byte;
            let _ = parse_http_date(&text);
            text.remove(at);
            let _ = parse_http_date(&text);
        }
    }
}
