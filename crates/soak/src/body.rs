//! Body: the content of a message: channel, number and size, then a pattern that depends on the
//! number. A body with one byte changed, lost or added is refused.

/// A shorter body has no room for channel, number and size; the content type identifies an empty
/// message.
pub(crate) const SIZE_MIN: usize = 44;

/// Prime, so that the pattern never repeats at the boundaries of buffers and pages.
const PATTERN_LEN: usize = 251;

/// Where the pattern has a CRLF, which is one line end.
const LINE_END_AT: usize = 17;

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

/// As [`read`], of a body whose lines an event stream has told: each line end became a LF.
pub(crate) fn read_lines(channel: usize, lines: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(lines.get(9..30)?).ok()?;
    let (number, size) = text.split_once(' ')?;
    let (number, size) = (number.parse().ok()?, size.parse::<usize>().ok()?);
    let mut body = Vec::new();
    write(channel, number, size.min(2 * lines.len()), &mut body);
    (with_line_feeds(&body) == lines).then_some(number)
}

/// The body with a LF for each CRLF, CR and LF (HTML standard 9.2.5).
pub(crate) fn with_line_feeds(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len());
    let mut before = 0;
    for byte in body {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\r' => lines.push(b'\n'),
            other => lines.push(*other),
        }
        before = *byte;
    }
    lines
}

fn stamp(channel: usize, number: u64, size: usize) -> String {
    format!("{channel:08} {number:012} {size:08} {number:012} ")
}

fn pattern(number: u64) -> [u8; PATTERN_LEN] {
    // All 256 bytes occur, line ends and zeros too.
    let mut pattern = std::array::from_fn(|index| (index as u64 * 7 + number) as u8);
    pattern[LINE_END_AT..LINE_END_AT + 2].copy_from_slice(b"\r\n");
    pattern
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

    #[test]
    fn the_lines_of_a_body_say_what_it_is_and_damaged_ones_are_refused() {
        let mut body = Vec::new();
        write(3, 77, 600, &mut body);
        let mut lines = with_line_feeds(&body);
        assert_eq!((read_lines(3, &lines), read_lines(4, &lines)), (Some(77), None));
        assert_eq!(read_lines(3, &body), None);
        for index in 0..lines.len() {
            let mut damaged = lines.clone();
            damaged[index] ^= 1;
            assert_eq!(read_lines(3, &damaged), None, "byte {index}");
            damaged.remove(index);
            assert_eq!(read_lines(3, &damaged), None, "without byte {index}");
        }
        lines.push(b'\n');
        assert_eq!(read_lines(3, &lines), None);
    }

    #[test]
    fn each_kind_of_line_end_becomes_one_line_feed() {
        assert_eq!(with_line_feeds(b"a\r\nb\rc\nd\n\r\r\n"), b"a\nb\nc\nd\n\n\n");
    }
}
