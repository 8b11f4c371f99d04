//! HTTP dates (RFC 9110 section 5.6.7): parses and writes them, as whole seconds since the Unix
//! epoch. Reads no clock.

use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// Bytes of `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_BYTES: usize = 29;

/// 9999-12-31 23:59:59: the last second that a date can say, which has four digits for the year.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// Appends `unix_s` as IMF-fixdate; seconds after the year 9999 are written as its last one.
pub fn write_http_date(unix_s: u64, out: &mut Vec<u8>) {
    let unix_s = unix_s.min(LAST_SECOND);
    let (days, second) = ((unix_s / DAY_S) as u32, (unix_s % DAY_S) as u32);
    let [year, month, day] = date_of(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(WEEKDAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let places = [5, 12, 14, 17, 20, 23];
    for (at, number) in places.into_iter().zip([day, year / 100, year % 100, hour, minute, second])
    {
        text[at] = b'0' + (number / 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    }
    out.extend_from_slice(&text);
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
    parse_fixed(text).or_else(|| parse_strict(text)).or_else(|| parse_lenient(text))
}

/// An IMF-fixdate, read at its fixed places and nowhere else: for it httpdate takes eight times as
/// long, most of that to write the date again and compare.
fn parse_fixed(text: &[u8]) -> Option<u64> {
    let &[n1, n2, n3, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', ref rest @ ..] = text else {
        return None;
    };
    let &[y1, y2, y3, y4, b' ', ref time @ ..] = rest else { return None };
    let &[h1, h2, b':', i1, i2, b':', s1, s2, b' ', b'G', b'M', b'T'] = time else { return None };
    let month = month_number([m1, m2, m3])?;
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let days = days_since_epoch(year, month, two_digits(d1, d2)?)?;
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(i1, i2)?, two_digits(s1, s2)?);
    if *WEEKDAYS[(days % 7) as usize] != [n1, n2, n3] || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(u64::from(days) * DAY_S + u64::from(hour * 3600 + minute * 60 + second))
}

/// As a match it is decided byte by byte, ten times as fast as by a search through [`MONTHS`].
#[inline]
fn month_number(name: [u8; 3]) -> Option<u32> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Days from the epoch to a date; `None`: there is no such date, or it is before that. `month`: 1
/// to 12.
#[inline]
fn days_since_epoch(year: u32, month: u32, day: u32) -> Option<u32> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in_month = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || day == 0 || day > days_in_month {
        return None;
    }
    // Of years that begin in March the leap day is the last, and the lengths of months repeat.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = years / 4 - years / 100 + years / 400;
    Some(years * 365 + leap_days + (months * 153 + 2) / 5 + day - 1 - DAYS_BEFORE_EPOCH)
}

/// The year, month and day so many days behind the epoch: the way back.
fn date_of(days: u32) -> [u32; 3] {
    let days = days + DAYS_BEFORE_EPOCH;
    let (centuries_4, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let leap_days = day / 1460 - day / 36_524 + day / (DAYS_OF_400_YEARS - 1);
    let years = (day - leap_days) / 365;
    let day = day - (years * 365 + years / 4 - years / 100);
    let months = (day * 5 + 2) / 153;
    let month = if months < 10 { months + 3 } else { months - 9 };
    let year = centuries_4 * 400 + years + u32::from(month < 3);
    [year, month, day - (months * 153 + 2) / 5 + 1]
}

const DAY_S: u64 = 86_400;

/// Days from the first of March of year 0 to the epoch.
const DAYS_BEFORE_EPOCH: u32 = 719_468;

const DAYS_OF_400_YEARS: u32 = 146_097;

/// In order from the weekday of the epoch on.
const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

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
    use std::time::Duration;

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

    /// A year's first and last days, each month's last ones and the days behind them, in years
    /// of every kind: whatever the fixed form is read as, httpdate reads it so, too.
    #[test]
    fn every_day_of_a_month_is_read_as_httpdate_does() {
        for year in [1969, 1970, 1971, 1999, 2000, 2023, 2024, 2099, 2100, 2400, 9999] {
            for month in ["Jan", "Feb", "Mar", "Apr", "Jun", "Aug", "Sep", "Oct", "Nov", "Dec"] {
                for day in [0, 1, 2, 28, 29, 30, 31, 32] {
                    let read = WEEKDAYS.map(|name| {
                        let name = std::str::from_utf8(name).unwrap();
                        let text = format!("{name}, {day:02} {month} {year} 23:59:59 GMT");
                        let fixed = parse_fixed(text.as_bytes());
                        assert_eq!(fixed, parse_strict(text.as_bytes()), "{text}");
                        fixed
                    });
                    let is_date = year >= 1970 && (1..=28).contains(&day);
                    let count = read.iter().flatten().count();
                    assert!(count == 1 || count == 0 && !is_date, "{day} {month} {year}: {read:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_fixed_date_is_read_and_written_as_httpdate_does(
            unix_s in 0..=LAST_SECOND, at in 0..DATE_BYTES, byte: u8, digit in b'0'..=b':',
        ) {
            let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix_s));
            let text = date.to_string();
            prop_assert_eq!(written(unix_s), &*text);
            let text = text.into_bytes();
            prop_assert_eq!(parse_fixed(&text), Some(unix_s));
            for byte in [byte, digit] {
                let mut other = text.clone();
                other[at] = byte;
                // httpdate trims the text, which is done before here.
                let is_trimmed = other.trim_ascii() == other;
                prop_assert!(!is_trimmed || parse_fixed(&other) == parse_strict(&other));
            }
        }

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
