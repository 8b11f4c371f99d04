//! Kept body: a copy of the part of a request's body that has passed to the upstream, for the
//! publisher location that the upstream may hand the request to (`X-Accel-Redirect`). Never delays
//! the body, and gives way to the bodies of publishers: a copy that does not fit is dropped.
//!
//! Only a POST has one, only where there is a publisher location, and only until the head of the
//! answer is there.

use crate::http::Framing;
use crate::relay::uploads::{Share, Uploads};

/// A copy of this size is always kept: it is part of what an exchange may take.
const SMALL_BYTES: usize = 32 << 10;

/// Larger copies, together with the bodies that come in for publishers, may take one part in so many
/// of what those bodies may take: the rest is theirs alone.
const LARGER_PART: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// Bytes of one message.
    bytes_max: usize,
    /// Bytes of all bodies, with the larger copies.
    sum_max: usize,
    share: Share,
    is_lost: bool,
}

impl Kept {
    /// Of a body that begins. `uploads_max`: what all bodies that are coming in may take together.
    pub(super) fn begin(framing: Framing, bytes_max: usize, uploads_max: usize) -> Self {
        let is_lost = matches!(framing, Framing::Length(length) if length > bytes_max as u64);
        let sum_max = uploads_max / LARGER_PART;
        Self { bytes: Vec::new(), bytes_max, sum_max, share: Share::default(), is_lost }
    }

    /// More of the body has passed.
    pub(super) fn add(&mut self, data: &[u8], uploads: &mut Uploads) {
        if self.is_lost {
            return;
        }
        let len = self.bytes.len() + data.len();
        let fits = len <= self.bytes_max
            && (len <= SMALL_BYTES || uploads.set(&mut self.share, len) <= self.sum_max);
        if fits {
            self.bytes.extend_from_slice(data);
        } else {
            self.is_lost = true;
            self.bytes = Vec::new();
            uploads.set(&mut self.share, 0);
        }
    }

    /// The body so far, unless some of it was not kept.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        (!self.is_lost).then_some(&self.bytes)
    }

    /// As [`Kept::bytes`]; empty where some of it was not kept.
    pub(super) fn into_bytes(mut self, uploads: &mut Uploads) -> Vec<u8> {
        uploads.set(&mut self.share, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Framing = Framing::Length(5);

    #[test]
    fn a_small_body_is_kept_whatever_others_take_and_counts_nowhere() {
        let (mut sum, mut others) = (Uploads::default(), Share::default());
        sum.set(&mut others, 1 << 30);
        let mut kept = Kept::begin(LENGTH, 100_000, 1 << 20);
        kept.add(b"he", &mut sum);
        kept.add(b"llo", &mut sum);
        assert_eq!(kept.bytes(), Some(&b"hello"[..]));
        assert_eq!(sum.bytes(), 1 << 30);
        kept.add(&[b'x'; SMALL_BYTES], &mut sum);
        assert_eq!((kept.bytes(), sum.bytes()), (None, 1 << 30));
    }

    #[test]
    fn larger_ones_are_kept_within_their_part_of_what_bodies_may_take() {
        let mut sum = Uploads::default();
        let mut first = Kept::begin(Framing::Chunked, 1 << 20, 400_000);
        first.add(&[b'x'; 60_000], &mut sum);
        assert_eq!((first.bytes().map(<[u8]>::len), sum.bytes()), (Some(60_000), 60_000));
        let mut second = Kept::begin(Framing::Chunked, 1 << 20, 400_000);
        second.add(&[b'x'; 40_000], &mut sum);
        assert_eq!(sum.bytes(), 100_000);
        first.add(b"x", &mut sum);
        assert_eq!((first.bytes(), sum.bytes()), (None, 40_000));
        first.add(b"x", &mut sum);
        assert_eq!(first.bytes(), None);
        second.into_bytes(&mut sum);
        assert_eq!(sum.bytes(), 0);
    }

    #[test]
    fn what_no_message_may_be_is_not_kept() {
        let mut sum = Uploads::default();
        let announced = Kept::begin(Framing::Length(11), 10, 1 << 20);
        assert_eq!(announced.bytes(), None);
        let mut chunks = Kept::begin(Framing::Chunked, 10, 1 << 20);
        chunks.add(b"0123456789", &mut sum);
        assert!(chunks.bytes().is_some());
        chunks.add(b"0", &mut sum);
        assert_eq!(chunks.bytes(), None);
    }
}
