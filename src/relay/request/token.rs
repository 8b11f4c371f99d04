//! Token: what a signed URL proves, as `django.core.signing.dumps` writes it with the salt
//! `pushserver.channel`: `JSON:TIME:SIGNATURE`, where JSON and SIGNATURE are base64url and TIME is
//! a unix second in base 62. Pure; says nothing of why a forged one is none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};

use crate::secret::SigningKey;

/// Most bytes of the name of a user.
pub(super) const USER_BYTES_MAX: usize = 128;

/// What one token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::relay) struct Token {
    /// The ids of the channels, as a request has them when they are decoded.
    pub(super) channels: Vec<String>,
    /// When it was signed, and when its time is up: unix seconds.
    pub(super) signed_s: u64,
    pub(super) ends_s: u64,
    /// Who has it, as the application names its users.
    pub(super) user: Option<Box<str>>,
    /// To publish; else to subscribe.
    pub(super) publishes: bool,
    /// The channel group and the store of the channels.
    pub(super) group: String,
    pub(super) store: String,
}

/// The JSON of a token. What is not known is passed over; a claim given twice is an error.
#[derive(Deserialize)]
struct Claims {
    c: Channels,
    e: u64,
    #[serde(default, deserialize_with = "given")]
    u: Option<Box<str>>,
    #[serde(default, deserialize_with = "given")]
    a: Option<String>,
    #[serde(default)]
    g: String,
    #[serde(default = "default_store")]
    s: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Channels {
    One(String),
    Several(Vec<String>),
}

/// A claim that is there is no null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// The store of settings that name none.
fn default_store() -> String {
    "default".to_owned()
}

impl Token {
    /// Reads a token that one of these keys has signed, and that is good for `most_s` at most;
    /// `None`: it is no such token. Nothing of it is read before its signature is compared, with
    /// all keys, in constant time.
    pub(in crate::relay) fn read(text: &[u8], keys: &[SigningKey], most_s: u64) -> Option<Self> {
        let (signed, signature) = split_last(text)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_good =
            keys.iter().fold(false, |is_good, key| key.has_signed(signed, &signature) | is_good);
        if !is_good {
            return None;
        }
        let (json, time) = split_last(signed)?;
        let signed_s = base_62(time)?;
        // A `.` before it says that it is compressed, which base64url has not.
        let json = URL_SAFE_NO_PAD.decode(json).ok()?;
        if !json.starts_with(b"{") {
            // A list would be taken as the claims in their order.
            return None;
        }
        let Claims { c, e, u, a, g, s } = serde_json::from_slice(&json).ok()?;
        let is_user = |user: &str| !user.is_empty() && user.len() <= USER_BYTES_MAX;
        let is_action = |action: &str| action == "pub";
        if !(1..=most_s).contains(&e)
            || !u.as_deref().is_none_or(is_user)
            || !a.as_deref().is_none_or(is_action)
        {
            return None;
        }
        let channels = match c {
            Channels::One(id) => vec![id],
            Channels::Several(ids) => ids,
        };
        let (ends_s, publishes) = (signed_s.checked_add(e)?, a.is_some());
        Some(Self { channels, signed_s, ends_s, user: u, publishes, group: g, store: s })
    }

    /// Whether it names this channel.
    pub(super) fn names(&self, id: &[u8]) -> bool {
        self.channels.iter().any(|one| one.as_bytes() == id)
    }
}

/// What is before the last colon, and behind it.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', text)?;
    Some((&text[..colon], &text[colon + 1..]))
}

/// A number as Django writes it (`django.core.signing.b62_encode`).
fn base_62(text: &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number = number.checked_mul(62)?.checked_add(digit.into())?;
    }
    (!text.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests;
