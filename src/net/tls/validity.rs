//! Validity: from when to when a certificate is valid (RFC 5280 4.1.2.5), read out of its DER.

/// Seconds since 1970 of its first and of its last second; `None`: it is no certificate, or of a
/// time before 1970.
pub(super) fn of(certificate: &[u8]) -> Option<(u64, u64)> {
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (mut signed, _) = element(whole, SEQUENCE)?;
    // Its version, if it is not the first.
    if let Some((_, behind)) = element(signed, VERSION) {
        signed = behind;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        // Its number, how it is signed, and by whom.
        signed = element(signed, tag)?.1;
    }
    let (dates, _) = element(signed, SEQUENCE)?;
    let (begin, dates) = time(dates)?;
    let (end, _) = time(dates)?;
    Some((begin, end))
}

/// The contents of the element that `der` begins with, if it has this tag, and what is behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// The time that `der` begins with, and what is behind it.
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let ((text, behind), year_digits) = match element(der, UTC_TIME) {
        Some(found) => (found, 2),
        None => (element(der, GENERALIZED_TIME)?, 4),
    };
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = text.split_at_checked(year_digits)?;
    let mut year = number(year)?;
    if year_digits == 2 {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let mut fields = rest.chunks_exact(2).map(number);
    let mut next = || fields.next().flatten();
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    let days = (is_date && is_time && year >= 1970).then(|| days_before(year, month, day))?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second, behind))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits
        .iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

/// Days from 1970 to this one. Years are counted from March, so that the leap day is the last.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_TO_1970
}

/// From the first of March of year 0.
const DAYS_TO_1970: u64 = 719_468;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn certificate(begin: u64, end: u64) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut about = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let at = |time| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time);
        (about.not_before, about.not_after) = (at(begin), at(end));
        about.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_ends_are_read_in_either_spelling() {
        for (begin, end) in [
            (0, 1),
            (951_782_399, 951_868_799), // around the 29th of February 2000
            (1_795_946_400, 1_867_226_400), // 2026, 2029
            (2_524_607_999, 2_524_608_000), // the turn from 2049 to 2050, and of its spelling
            (4_107_542_399, 67_767_976_233), // around 2100, which has no leap day, and 4117
        ] {
            assert_eq!(of(&certificate(begin, end)), Some((begin, end)));
        }
    }

    #[test]
    fn what_is_no_certificate_or_not_whole_is_not_read() {
        let whole = certificate(0, 1);
        for length in 0..120 {
            assert_eq!(of(&whole[..length]), None, "{length}");
        }
        assert_eq!(of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
