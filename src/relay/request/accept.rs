//! The media ranges of `Accept` (RFC 9110 12.5.1). Pure; compares no weights.

/// The name of each range in the fields `accept`, but of those with weight 0: what they name is not
/// wanted.
pub(in crate::relay) fn ranges<'b>(
    accept: impl IntoIterator<Item = &'b [u8]>,
) -> impl Iterator<Item = &'b [u8]> {
    accept.into_iter().flat_map(|value| value.split(|byte| *byte == b',')).filter_map(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        (name.contains(&b'/') && !parts.any(is_weight_0)).then_some(name)
    })
}

/// `q=0` to `q=0.000`.
fn is_weight_0(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0'] => true,
        [b'q' | b'Q', b'=', b'0', b'.', zeros @ ..] => zeros.iter().all(|byte| *byte == b'0'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn ranges_are_those_of_all_fields_but_what_has_weight_0() {
        let accept = [
            &b"text/html, Text/Plain;level=1 ; q=0.001,*/*;q=0"[..],
            b"a/b;Q=0.000 , ,c/d;q=0.;x=0,e, f/g;q=01,h/i;q=1",
        ];
        let names: Vec<&[u8]> = ranges(accept).collect();
        assert_eq!(names, [&b"text/html"[..], b"Text/Plain", b"f/g", b"h/i"]);
    }
}
