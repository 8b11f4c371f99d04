//! Secret: a text that no log and no message shows, and a key that nothing shows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// See the module.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Bytes of a [`SigningKey`].
const KEY_BYTES: usize = 32;

/// A key that tokens are signed with: what `django.core.signing` derives from a `SECRET_KEY` and a
/// salt, or one for hashes. No token is signed with it here, and its bytes are not kept.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// From base64url without padding; `None`: that is no text of 32 bytes.
    #[must_use]
    pub fn of(text: &Secret) -> Option<Self> {
        let key = URL_SAFE_NO_PAD.decode(&text.0).ok()?;
        if key.len() != KEY_BYTES {
            return None;
        }
        Hmac::new_from_slice(&key).ok().map(Self)
    }

    /// One of this run of the daemon, made of its seed.
    #[must_use]
    pub fn of_run(seed: u64) -> Self {
        Self(Hmac::new_from_slice(&seed.to_be_bytes()).expect("any length will do"))
    }

    /// A hash of this text that nobody has without the key.
    #[must_use]
    pub fn hash(&self, text: &[u8]) -> [u8; 32] {
        self.0.clone().chain_update(text).finalize().into_bytes().into()
    }

    /// Whether it has signed this text; takes as long for a wrong signature.
    #[must_use]
    pub fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        self.0.clone().chain_update(text).verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, SigningKey};

    /// Of the `SECRET_KEY` "a secret key of tests".
    const KEY: &str = "WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg";

    #[test]
    fn a_key_is_32_bytes_as_base64url_without_padding() {
        assert!(SigningKey::of(&KEY.into()).is_some());
        let (short, standard) = (&KEY[..42], KEY.replace('_', "/"));
        let padded = format!("{KEY}=");
        // The last character of 43 has two bits that say nothing, and must be 0.
        let loose = format!("{}h", &KEY[..42]);
        for wrong in ["", short, &format!("{KEY}A"), &padded, &standard, &loose, "ä"] {
            assert!(SigningKey::of(&Secret::from(wrong)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn nothing_shows_a_key() {
        let key = SigningKey::of(&KEY.into()).unwrap();
        assert_eq!(format!("{key:?} {:?}", Secret::from(KEY)), "SigningKey(…) Secret(…)");
    }
}
