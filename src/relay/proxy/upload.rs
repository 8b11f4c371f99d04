//! Upload: a request's body on its way to the upstream, and the copy of what has passed, for the
//! publisher location that the upstream may hand the request to (`X-Accel-Redirect`). Sends
//! nothing.
//!
//! The copy never delays the body, and gives way to the bodies of publishers: one that does not fit
//! is dropped. Only a POST has one, only where there is a publisher location, and only until the
//! head of the answer is there.

use super::reframer::Reframer;
use crate::http::{BodyDecoder, Framing, HttpError};
use crate::relay::uploads::{Share, Uploads};

/// A copy of this size is always kept: it is part of what an exchange may take.
const SMALL_BYTES: usize = 32 << 10;

/// Larger copies, together with the bodies that come in for publishers, may take one part in so
/// many of what those bodies may take: the rest is theirs alone.
const LARGER_PART: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Upload {
    /// What is still to come; `None` when all of it has left.
    rest: Option<Reframer>,
    pub(super) copy: Copy,
    pub(super) awaited: Continue,
}

/// Whose `100 Continue` a client waits for before it sends its body (RFC 9110 10.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Continue {
    /// Nobody's, or it has begun to send.
    #[default]
    None,
    /// The upstream's, which is asked for it.
    Upstreams,
    /// Ours, sent once there is a connection: the upstream knows none.
    Ours,
}

/// What is left of a request's body when the upstream hands the request over.
#[derive(Debug)]
pub(super) enum Copy {
    /// The request has no body, or one that no location takes.
    NotNeeded,
    /// No copy was kept, or it is not needed any more.
    Passed,
    /// A copy of what has passed.
    Kept {
        bytes: Vec<u8>,
        /// Bytes of one message.
        bytes_max: usize,
        /// Bytes of all bodies, with the larger copies.
        sum_max: usize,
        share: Share,
    },
}

impl Copy {
    /// Of a body that begins. `uploads_max`: what all bodies that are coming in may take together.
    pub(super) fn begin(framing: Framing, bytes_max: usize, uploads_max: usize) -> Self {
        if matches!(framing, Framing::Length(length) if length > bytes_max as u64) {
            return Self::Passed;
        }
        let sum_max = uploads_max / LARGER_PART;
        Self::Kept { bytes: Vec::new(), bytes_max, sum_max, share: Share::default() }
    }

    /// More of the body has passed.
    fn add(&mut self, data: &[u8], uploads: &mut Uploads) {
        let Self::Kept { bytes, bytes_max, sum_max, share } = self else { return };
        let len = bytes.len() + data.len();
        let fits = len <= *bytes_max && (len <= SMALL_BYTES || uploads.set(share, len) <= *sum_max);
        if fits {
            bytes.extend_from_slice(data);
        } else {
            self.take(uploads);
        }
    }

    /// Whether a location can have what has passed of the body.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Passed)
    }

    /// Takes what has passed of the body, whose place it gives back; empty where it is not there.
    pub(super) fn take(&mut self, uploads: &mut Uploads) -> Vec<u8> {
        let taken = std::mem::replace(self, Self::Passed);
        let Self::Kept { bytes, mut share, .. } = taken else { return Vec::new() };
        uploads.set(&mut share, 0);
        bytes
    }
}

impl Upload {
    /// Of a body with this decoder, which passes as chunks if it has chunks.
    pub(super) fn new(decoder: BodyDecoder, chunked: bool, copy: Copy, awaited: Continue) -> Self {
        let rest = (!decoder.is_done()).then(|| Reframer::new(decoder, chunked));
        Self { rest, copy, awaited }
    }

    /// Appends what `input` has of the body, as the upstream gets it; gives how many bytes of
    /// `input` that were.
    ///
    /// # Errors
    /// As [`BodyDecoder::decode`].
    pub(super) fn pass(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        uploads: &mut Uploads,
    ) -> Result<usize, HttpError> {
        let Some(rest) = &mut self.rest else { return Ok(0) };
        let passed = rest.pass(input, out, |data| self.copy.add(data, uploads));
        if rest.is_done() {
            self.rest = None;
        }
        passed
    }

    /// Whether all of the body has left.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    /// Whether the client waits for `100 Continue` and has sent nothing of its body.
    pub(super) fn awaits_continue(&self) -> bool {
        self.awaited != Continue::None
    }

    /// The client waits for no `100 Continue` any more; gives whether it did.
    pub(super) fn take_awaited(&mut self) -> bool {
        std::mem::take(&mut self.awaited) != Continue::None
    }

    /// What of the body is still to come is of no use.
    pub(super) fn drop_rest(&mut self) {
        self.rest = None;
    }
}

/// The decoder of a body whose beginning is sound: nothing of a malformed one should come to the
/// upstream, as far as that can be known.
pub(super) fn sound_body(framing: Framing, input: &[u8]) -> Result<BodyDecoder, HttpError> {
    // A stream has no limit; `limits.body_bytes` is for what is kept here.
    let decoder = BodyDecoder::new(framing, u64::MAX)?;
    let mut probe = decoder.clone();
    let mut used = 0;
    while used < input.len() && !probe.is_done() {
        used += probe.decode(&input[used..])?.consumed;
    }
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Framing = Framing::Length(5);

    fn bytes(copy: &Copy) -> Option<&[u8]> {
        match copy {
            Copy::Kept { bytes, .. } => Some(bytes),
            Copy::NotNeeded | Copy::Passed => None,
        }
    }

    #[test]
    fn a_small_body_is_kept_whatever_others_take_and_counts_nowhere() {
        let (mut sum, mut others) = (Uploads::default(), Share::default());
        sum.set(&mut others, 1 << 30);
        let mut kept = Copy::begin(LENGTH, 100_000, 1 << 20);
        kept.add(b"he", &mut sum);
        kept.add(b"llo", &mut sum);
        assert_eq!(bytes(&kept), Some(&b"hello"[..]));
        assert_eq!(sum.bytes(), 1 << 30);
        kept.add(&[b'x'; SMALL_BYTES], &mut sum);
        assert_eq!((bytes(&kept), sum.bytes()), (None, 1 << 30));
    }

    #[test]
    fn larger_ones_are_kept_within_their_part_of_what_bodies_may_take() {
        let mut sum = Uploads::default();
        let mut first = Copy::begin(Framing::Chunked, 1 << 20, 400_000);
        first.add(&[b'x'; 60_000], &mut sum);
        assert_eq!((bytes(&first).map(<[u8]>::len), sum.bytes()), (Some(60_000), 60_000));
        let mut second = Copy::begin(Framing::Chunked, 1 << 20, 400_000);
        second.add(&[b'x'; 40_000], &mut sum);
        assert_eq!(sum.bytes(), 100_000);
        first.add(b"x", &mut sum);
        assert_eq!((bytes(&first), sum.bytes()), (None, 40_000));
        first.add(b"x", &mut sum);
        assert_eq!(bytes(&first), None);
        second.take(&mut sum);
        assert_eq!(sum.bytes(), 0);
    }

    #[test]
    fn what_no_message_may_be_is_not_kept() {
        let mut sum = Uploads::default();
        let announced = Copy::begin(Framing::Length(11), 10, 1 << 20);
        assert_eq!(bytes(&announced), None);
        let mut chunks = Copy::begin(Framing::Chunked, 10, 1 << 20);
        chunks.add(b"0123456789", &mut sum);
        assert!(bytes(&chunks).is_some());
        chunks.add(b"0", &mut sum);
        assert_eq!(bytes(&chunks), None);
    }

    #[test]
    fn a_malformed_body_is_refused_before_the_upstream_hears_of_it() {
        assert!(sound_body(Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\nGET").is_ok());
        assert!(sound_body(Framing::Chunked, b"").is_ok());
        assert_eq!(sound_body(Framing::Chunked, b"5\r\nhelloX").unwrap_err().status, 400);
        assert!(sound_body(Framing::Length(1 << 40), b"abc").is_ok());
    }
}
