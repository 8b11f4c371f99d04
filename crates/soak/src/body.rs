//! Body: the content of a message: channel, number and size, then a pattern that depends on the
//! number. A body with one byte changed, lost or added is refused.

/// A shorter body has no room for channel, number and size; the content type identifies an empty
/// message.
pub(crate) const SIZE_MIN: usize = 44;

/// Prime, so that the pattern never repeats at the boundaries of buffers and pages.
const PATTERN_LEN: usize = 251;

/// Appends the body of `size` bytes, 0 or at least [`SIZE_MIN`].
pub(crate) fn write(channel: usize, number: u64, size: usize, out: &mut Vec<u8>) {
    if size == 0 {
        return;
    }
    let end = out.len() + size;
    out.extend_from_slice(stamp(channel, number, size).as_bytes());
    while out.len() < end {
        let pattern = pattern(number);
        let length = (end - out.len()).min(PATTERN_LEN);
        out.extend_from_slice(&pattern[..length]);
    }
}

/// The number of a message of `channel`, if the body is intact.
pub(crate) fn read(channel: usize, body: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(body.get(9..21)?).ok()?.parse().ok()?;
    let rest = body.strip_prefix(stamp(channel, number, body.len()).as_bytes())?;
    let pattern = pattern(number);
    rest.chunks(PATTERN_LEN).all(|chunk| pattern.starts_with(chunk)).then_some(number)
}

fn stamp(channel: usize, number: u64, size: usize) -> String {
    format!("{channel:08} {number:012} {size:08} {number:012} ")
}

fn pattern(number: u64) -> [u8; PATTERN_LEN] {
    // All 256 bytes occur, line ends and zeros too.
    std::array::from_fn(|index| (index as u64 * 7 + number) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_it_is() {
        for size in [SIZE_MIN, 45, 300, 20_000] {
            let mut body = Vec::new();
            write(3, 77, size, &mut body);
            assert_eq!((body.len(), read(3, &body)), (size, Some(77)));
            assert_eq!(read(4, &body), None);
        }
    }

    #[test]
    fn a_damaged_body_is_refused() {
        let mut body = Vec::new();
        write(3, 77, 600, &mut body);
        for index in 0..body.len() {
            let mut damaged = body.clone();
            damaged[index] ^= 1;
            assert_eq!(read(3, &damaged), None, "byte {index}");
            damaged.remove(index);
            assert_eq!(read(3, &damaged), None, "without byte {index}");
        }
        body.push(0);
        assert_eq!(read(3, &body), None);
    }
}
