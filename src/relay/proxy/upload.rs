//! Upload: a request's body on its way to the upstream, and what is kept of it for a location of
//! ours. Sends nothing.

use super::kept::Kept;
use super::reframer::Reframer;
use crate::http::{BodyDecoder, Framing, HttpError};
use crate::relay::uploads::Uploads;

/// See the module.
#[derive(Debug)]
pub(super) struct Upload {
    /// What is still to come; `None` when all of it has left.
    rest: Option<Reframer>,
    copy: Copy,
    awaited: Continue,
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
    Kept(Kept),
}

impl Upload {
    /// Of a body with this decoder, which passes as chunks if it has chunks.
    pub(super) fn new(decoder: BodyDecoder, chunked: bool, copy: Copy, awaited: Continue) -> Self {
        let rest = (!decoder.is_done()).then(|| Reframer::request(decoder, chunked));
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
        let copy = &mut self.copy;
        let passed = rest.pass_with(input, out, |data| {
            if let Copy::Kept(kept) = copy {
                kept.add(data, uploads);
            }
        });
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

    /// Whether it waits for ours.
    pub(super) fn awaits_ours(&self) -> bool {
        self.awaited == Continue::Ours
    }

    /// The client waits for no `100 Continue` any more; gives for whose it did.
    pub(super) fn take_awaited(&mut self) -> Continue {
        std::mem::take(&mut self.awaited)
    }

    /// What of the body is still to come is of no use.
    pub(super) fn drop_rest(&mut self) {
        self.rest = None;
    }

    /// No location gets the body.
    pub(super) fn drop_copy(&mut self, uploads: &mut Uploads) {
        self.take_copy(uploads);
    }

    /// Whether what has passed of the body is there for a location.
    pub(super) fn has_copy(&self) -> bool {
        match &self.copy {
            Copy::NotNeeded => true,
            Copy::Passed => false,
            Copy::Kept(kept) => kept.bytes().is_some(),
        }
    }

    /// Takes the whole body of a request that is whole; empty where it is not there.
    pub(super) fn take_copy(&mut self, uploads: &mut Uploads) -> Vec<u8> {
        match std::mem::replace(&mut self.copy, Copy::Passed) {
            Copy::NotNeeded | Copy::Passed => Vec::new(),
            Copy::Kept(kept) => kept.into_bytes(uploads),
        }
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

    #[test]
    fn a_malformed_body_is_refused_before_the_upstream_hears_of_it() {
        assert!(sound_body(Framing::Chunked, b"5\r\nhello\r\n0\r\n\r\nGET").is_ok());
        assert!(sound_body(Framing::Chunked, b"").is_ok());
        assert_eq!(sound_body(Framing::Chunked, b"5\r\nhelloX").unwrap_err().status, 400);
        assert!(sound_body(Framing::Length(1 << 40), b"abc").is_ok());
    }
}
