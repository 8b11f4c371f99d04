//! Stamp: the body of a message: run, channel, number and time, padded to a fixed size. A body that
//! is not exactly as written is refused.

/// The shortest body that holds a stamp, in bytes.
pub(crate) const SIZE_MIN: usize = 67;

const MARK: &[u8] = b"pushserver-bench ";
/// Repeated to fill a body after the stamp.
const FILL: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789\n";

/// What a message says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Identifies this run's messages.
    pub(crate) run: u32,
    /// The index of its channel.
    pub(crate) channel: u32,
    /// Its place in the channel, from 1.
    pub(crate) sequence: u64,
    /// When it was due or sent: nanoseconds of the load generator's clock.
    pub(crate) sent_ns: u64,
}

impl Stamp {
    /// Appends the body of `size` bytes, at least [`SIZE_MIN`].
    pub(crate) fn write(&self, body: &mut Vec<u8>, size: usize) {
        let end = body.len() + size;
        body.extend_from_slice(MARK);
        number(body, u64::from(self.run), 10);
        number(body, u64::from(self.channel), 8);
        number(body, self.sequence, 10);
        number(body, self.sent_ns, 18);
        while body.len() < end {
            let rest = (end - body.len()).min(FILL.len());
            body.extend_from_slice(&FILL[..rest]);
        }
    }

    /// The stamp of a body that [`Stamp::write`] made with this size; `None` for any other bytes.
    pub(crate) fn read(body: &[u8], size: usize) -> Option<Self> {
        if body.len() != size {
            return None;
        }
        let rest = body.strip_prefix(MARK)?;
        let (run, rest) = digits(rest, 10)?;
        let (channel, rest) = digits(rest, 8)?;
        let (sequence, rest) = digits(rest, 10)?;
        let (sent_ns, rest) = digits(rest, 18)?;
        if rest.chunks(FILL.len()).any(|piece| !FILL.starts_with(piece)) {
            return None;
        }
        let (run, channel) = (u32::try_from(run).ok()?, u32::try_from(channel).ok()?);
        Some(Self { run, channel, sequence, sent_ns })
    }
}

/// Appends the last `width` decimal digits of `value`, and a space.
fn number(body: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = body.len();
    body.resize(start + width, b'0');
    for digit in body[start..].iter_mut().rev() {
        *digit += (value % 10) as u8;
        value /= 10;
    }
    body.push(b' ');
}

/// `width` decimal digits and a space: their value, and the bytes after.
fn digits(bytes: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width)?;
    let mut value = 0;
    for digit in number {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    Some((value, rest.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::{SIZE_MIN, Stamp};

    const STAMP: Stamp =
        Stamp { run: u32::MAX, channel: 17_999, sequence: 1_234_567, sent_ns: 98_765_432_109_876 };

    #[test]
    fn a_stamp_reads_back_from_a_body_of_any_size() {
        for size in [SIZE_MIN, SIZE_MIN + 1, 200, 1000] {
            let mut body = Vec::new();
            STAMP.write(&mut body, size);
            assert_eq!(body.len(), size);
            assert_eq!(Stamp::read(&body, size), Some(STAMP));
        }
    }

    #[test]
    fn a_body_with_one_byte_changed_is_never_the_same_stamp() {
        let mut body = Vec::new();
        STAMP.write(&mut body, 120);
        for index in 0..body.len() {
            body[index] ^= 1;
            assert_ne!(Stamp::read(&body, 120), Some(STAMP), "byte {index}");
            body[index] ^= 1;
        }
    }

    #[test]
    fn a_body_of_another_size_is_refused() {
        let mut body = Vec::new();
        STAMP.write(&mut body, 120);
        assert_eq!(Stamp::read(&body[..119], 120), None);
        assert_eq!(Stamp::read(&body, 121), None);
    }
}
