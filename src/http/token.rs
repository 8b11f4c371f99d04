//! Characters of HTTP: which bytes may stand in names and in values, and which names are the same.

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

/// Whether a field has this name, ASCII case-insensitive.
#[inline]
pub fn is_named(found: &str, name: &str) -> bool {
    // Most names come as they are written here, and most others begin with another letter: few are
    // compared letter by letter, which takes longest.
    let initial = |text: &str| text.as_bytes().first().map(|byte| byte | 0x20);
    found.len() == name.len()
        && (found == name || initial(found) == initial(name) && found.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_named;

    proptest! {
        #[test]
        fn names_are_the_same_in_any_case(found in "[Ee]?[tT^~]?[aA!]{0,2}", name in "[eE]?[tT^~]?[aA]{0,2}") {
            prop_assert_eq!(is_named(&found, &name), found.eq_ignore_ascii_case(&name));
        }
    }
}
