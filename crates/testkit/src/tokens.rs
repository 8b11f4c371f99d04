//! Tokens, as `django.core.signing.dumps` makes them: what an application's pages would have.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The setting `signing_keys`: the keys of Django's SECRET_KEY "a secret key of tests", and of its
/// fallback "an older one".
pub const SIGNING_KEYS: [&str; 2] =
    ["WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg", "Iz4EmekEW4lQnuGhvyKvDmMpS2p_dacV8fgJFHPNvQM"];

/// A key that is in no settings.
const FOREIGN_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The token of these claims that was signed with a key at this second.
pub fn sign(key: &str, claims: &Value, unix_s: u64) -> String {
    let json = URL_SAFE_NO_PAD.encode(claims.to_string());
    sign_text(key, format!("{json}:{}", base_62(unix_s)).as_bytes())
}

/// A text, whatever it is, with its signature behind it; bytes that are no ASCII are replaced.
pub(crate) fn sign_text(key: &str, text: &[u8]) -> String {
    let key = URL_SAFE_NO_PAD.decode(key).expect("a key is base64url");
    let text: String =
        text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update(text.as_bytes());
    format!("{text}:{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// The token that such a text stands for, where it is now `unix_s`: `c=room;u=42;e=60`, with `at`
/// (seconds from now) and `key` (`old`, or `none` that anybody has). `None`: there is no such
/// claim.
pub(crate) fn of_text(text: &str, unix_s: u64) -> Option<String> {
    let (mut claims, mut key, mut at) = (Map::new(), SIGNING_KEYS[0], 0);
    for claim in text.split(';') {
        let (name, value) = claim.split_once('=')?;
        match (name, value) {
            ("at", seconds) => at = seconds.parse().ok()?,
            ("key", "old") => key = SIGNING_KEYS[1],
            ("key", "none") => key = FOREIGN_KEY,
            ("e", seconds) => drop(claims.insert("e".into(), seconds.parse::<i64>().ok()?.into())),
            ("c", ids) if ids.contains(',') => {
                drop(claims.insert("c".into(), ids.split(',').collect()));
            }
            ("c" | "u" | "a" | "g" | "s", _) => drop(claims.insert(name.into(), value.into())),
            _ => return None,
        }
    }
    Some(sign(key, &claims.into(), unix_s.checked_add_signed(at)?))
}

/// A number as Django writes it there.
fn base_62(mut number: u64) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    while number > 0 || text.is_empty() {
        text.insert(0, DIGITS[(number % 62) as usize]);
        number /= 62;
    }
    String::from_utf8(text).expect("digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_django() {
        let (at, token) = (1_795_936_048, "eyJjIjoicm9vbSIsImUiOjM2MDB9:1xXZ0S:");
        let of = |text| of_text(text, at).unwrap();
        assert_eq!(
            of("c=room;e=3600"),
            format!("{token}NCZ7aEQU9pmIbthwlNh46cTQ6QpzapzIWyxlF-bM2JQ")
        );
        assert_eq!(
            of_text("c=room;e=3600;key=old;at=-5", at + 5).unwrap(),
            format!("{token}yrO5qLRzrmX20bmscFCyqNXrYHL90T4Zv1vxj35yBbk")
        );
        assert_eq!(of_text("c=room;x=1", at), None);
    }
}
