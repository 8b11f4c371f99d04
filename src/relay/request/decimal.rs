//! Decimal: a number as requests give it, in digits alone.

/// The number; `None`: it is none, or too large.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
