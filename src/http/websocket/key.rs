//! The key of a WebSocket handshake: whether it is one, and the proof that the server has read it
//! (RFC 6455 4.2.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`; `None` if that is not 16 bytes in
/// base64.
#[must_use]
pub fn accept_key(key: &[u8]) -> Option<[u8; 28]> {
    let digits = key.strip_suffix(b"==")?;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if digits.len() != 22 || !digits.iter().all(is_digit) {
        return None;
    }
    let mut sha1 = Sha1::from(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let length = STANDARD.encode_slice(sha1.digest().bytes(), &mut accept);
    debug_assert_eq!(length, Ok(28), "20 bytes are 28 digits");
    Some(accept)
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    #[test]
    fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
        // RFC 6455 1.3.
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            accept.as_ref().map(|accept| &accept[..]),
            Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..])
        );
    }

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        for key in
            ["AAAAAAAAAAAAAAAAAAAAAA==", "x3JJHMbDL1EzLkh9GBhXDw==", "++++////++++////++++//=="]
        {
            assert!(accept_key(key.as_bytes()).is_some(), "{key}");
        }
        for key in [
            "",
            "==",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25jZQAA",
            "dGhlIHNhbXBsZSBub25jZQA=",
            "dGhlIHNhbXBsZSBub25jZ==",
            "dGhlIHNhbXBsZSBub25jZQA==",
            "dGhlIHNhbXBsZSBub25jZ-_==",
            "dGhlIHNhbXBsZSBub25j Q==",
            "=GhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(accept_key(key.as_bytes()), None, "{key}");
        }
    }
}
