//! Text: bytes as a transcript writes them, and back.

use pushserver::http::write_http_date;

use crate::tokens;

/// Times up to so many seconds from the begin of a run are written relative to it.
const NEAR_S: i64 = 100_000;

/// Runs of one byte from this length on are written short.
const RUN_MIN: usize = 32;

/// `\r`, `\n`, `\t`, `\0`, `\\`, `\xHH`; `{T+1}` is the date a second after the run began, `{t+1}`
/// the same as a number; `{ab*3}` is `ababab`; `{token:c=room;e=60}` is a token.
pub(super) fn decode(text: &str, begin_unix_s: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        let braced = || rest.split_once('}').and_then(|(inner, _)| expand(inner, begin_unix_s));
        match (char, rest.as_bytes().first()) {
            ('\\', Some(b'x')) => {
                let byte = u8::from_str_radix(&rest[1..3], 16).expect("\\x and two digits");
                out.push(byte);
                rest = &rest[3..];
            }
            ('\\', Some(escaped)) => {
                out.push(match escaped {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    other => *other,
                });
                rest = &rest[1..];
            }
            ('{', Some(_)) if braced().is_some() => {
                out.extend(braced().expect("just seen"));
                rest = rest.split_once('}').expect("just seen").1;
            }
            (other, _) => out.extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn expand(inner: &str, begin_unix_s: u64) -> Option<Vec<u8>> {
    if let Some((text, times)) = inner.rsplit_once('*') {
        return Some(decode(text, begin_unix_s).repeat(times.parse().ok()?));
    }
    if let Some(claims) = inner.strip_prefix("token:") {
        return tokens::of_text(claims, begin_unix_s).map(String::into_bytes);
    }
    let (kind, offset) = inner.split_at_checked(1)?;
    let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    let unix_s = begin_unix_s.checked_add_signed(offset)?;
    match kind {
        "T" => {
            let mut date = Vec::new();
            write_http_date(unix_s, &mut date);
            Some(date)
        }
        "t" => Some(unix_s.to_string().into_bytes()),
        _ => None,
    }
}

/// The opposite of `decode`.
pub(super) fn encode(bytes: &[u8], begin_unix_s: u64) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    while let Some(byte) = rest.first() {
        let run = rest.iter().take_while(|other| *other == byte).count();
        let digits = rest.iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).unwrap_or_default();
        let near = number.parse().ok().and_then(|unix_s| offset(unix_s, begin_unix_s));
        if let (Some(offset), 10) = (near, digits) {
            out.push_str(&format!("{{t{offset}}}"));
            rest = &rest[10..];
        } else if run >= RUN_MIN {
            out.push_str(&format!("{{{}*{run}}}", byte.escape_ascii()));
            rest = &rest[run..];
        } else {
            match byte {
                b'"' | b'\'' => out.push(char::from(*byte)),
                other => out.push_str(&other.escape_ascii().to_string()),
            }
            rest = &rest[1..];
        }
    }
    out
}

/// `unix_s` less the begin, as ``, `+1` or `-1`; `None` if that is far.
pub(super) fn offset(unix_s: u64, begin_unix_s: u64) -> Option<String> {
    match i64::try_from(unix_s).ok()? - i64::try_from(begin_unix_s).ok()? {
        0 => Some(String::new()),
        offset if offset.abs() < NEAR_S => Some(format!("{offset:+}")),
        _ => None,
    }
}
