//! Characters of HTTP: which bytes may stand in names and in values.

/// `tchar` of RFC 9110 5.6.2.
#[must_use]
pub const fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// A byte of a field value (RFC 9110 5.5): HTAB, SP, VCHAR or obs-text.
#[must_use]
pub const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
