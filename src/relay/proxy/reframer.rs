//! Reframer: one body on its way through, whose framing is taken off and put on anew. Keeps none of
//! its bytes.

use std::io::Write as _;

use crate::http::{BodyDecoder, HttpError};

/// See the module.
#[derive(Debug)]
pub(super) struct Reframer {
    decoder: BodyDecoder,
    chunked: bool,
}

impl Reframer {
    /// `chunked`: it leaves in chunks.
    pub(super) fn new(decoder: BodyDecoder, chunked: bool) -> Self {
        Self { decoder, chunked }
    }

    /// Appends what `input` has of the body; gives how many bytes of `input` that were. `look` sees
    /// the body without its framing. Not to be called once it is done.
    ///
    /// # Errors
    /// As [`BodyDecoder::decode`].
    pub(super) fn pass(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        mut look: impl FnMut(&[u8]),
    ) -> Result<usize, HttpError> {
        let mut used = 0;
        while used < input.len() && !self.decoder.is_done() {
            let decoded = self.decoder.decode(&input[used..])?;
            used += decoded.consumed;
            if decoded.data.is_empty() {
                continue;
            }
            look(decoded.data);
            if self.chunked {
                push_size(out, decoded.data.len());
            }
            out.extend_from_slice(decoded.data);
            if self.chunked {
                out.extend_from_slice(b"\r\n");
            }
        }
        if self.chunked && self.decoder.is_done() {
            out.extend_from_slice(LAST_CHUNK);
        }
        Ok(used)
    }

    /// The whole body has passed.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// The upstream has closed its connection: whether that ends the body, and then its last
    /// bytes for the client.
    pub(super) fn end(&self) -> Option<&'static [u8]> {
        self.decoder.may_end().then_some(if self.chunked { LAST_CHUNK } else { b"" })
    }
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A chunk-size line.
fn push_size(out: &mut Vec<u8>, size: usize) {
    write!(out, "{size:x}\r\n").expect("a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Framing, ResponseFraming};

    fn answer(framing: ResponseFraming, chunked: bool) -> Reframer {
        Reframer::new(BodyDecoder::for_response(framing), chunked)
    }

    fn pass(body: &mut Reframer, input: &[u8], out: &mut Vec<u8>) -> usize {
        body.pass(input, out, |_| ()).unwrap()
    }

    #[test]
    fn chunks_are_made_anew_and_their_extensions_and_trailers_are_dropped() {
        let framing = ResponseFraming::Known(Framing::Chunked);
        let input = b"5;a=b\r\nhello\r\n00010\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\nGET";
        for split in 0..input.len() {
            let mut body = answer(framing, false);
            let mut out = Vec::new();
            let mut used = pass(&mut body, &input[..split], &mut out);
            if !body.is_done() {
                assert_eq!(used, split);
                used += pass(&mut body, &input[split..], &mut out);
            }
            assert_eq!((&*out, used), (&b"hello0123456789abcdef"[..], input.len() - 3));
            assert!(body.is_done());
        }
        let mut body = answer(framing, true);
        let mut out = Vec::new();
        pass(&mut body, input, &mut out);
        assert_eq!(out, b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    }

    #[test]
    fn a_body_until_the_end_becomes_chunks_and_only_an_end_ends_it() {
        let mut body = answer(ResponseFraming::UntilClose, true);
        let mut out = Vec::new();
        pass(&mut body, b"abc", &mut out);
        assert!(!body.is_done());
        out.extend_from_slice(body.end().unwrap());
        assert_eq!(out, b"3\r\nabc\r\n0\r\n\r\n");
        let cut = answer(ResponseFraming::Known(Framing::Length(3)), false);
        assert_eq!(cut.end(), None);
    }

    #[test]
    fn a_chunk_size_is_hexadecimal_without_leading_zeros() {
        for size in [0_usize, 1, 15, 16, 255, 256, 65_535, 65_536, 0x0012_3abc] {
            let mut out = Vec::new();
            push_size(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }
}
