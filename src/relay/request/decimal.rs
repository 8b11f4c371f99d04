//! Decimal: a number as requests give it, in digits alone.

/// The number; `None`: it is none, or too large.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    (!digits.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decimal;

    proptest! {
        #[test]
        fn a_number_is_read_as_the_standard_library_does(
            text in prop_oneof!["[0-9]{0,21}", "0{0,9}1844674407370955161[0-9]{1,2}", "[-+0-9a ]{0,4}"],
        ) {
            // `parse` takes a sign.
            let parsed = text.parse().ok().filter(|_| !text.starts_with('+'));
            prop_assert_eq!(decimal(text.as_bytes()), parsed);
        }
    }
}
