//! Answer head: the first bytes of an upstream's answer, until its head is whole. Reads no line of
//! it.

use crate::http::{HeadLimits, HttpError, Scan, head::HEADERS_MAX, scan_response};
use crate::relay::options::Limits;

/// How large the head of an upstream's answer may be, whatever `limits.header_bytes` says: several
/// cookies as large as browsers take them.
const HEAD_BYTES: usize = 128 << 10;

/// Bounds of the head of an upstream's answer, and of a request that was rewritten.
pub(super) fn answer_limits(limits: &Limits) -> HeadLimits {
    let header_bytes = limits.header_bytes.max(HEAD_BYTES);
    HeadLimits { header_bytes, headers: HEADERS_MAX, uri_bytes: header_bytes }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct AnswerHead {
    /// What has come of a head, of which so many bytes are scanned.
    buffer: Vec<u8>,
    scanned: usize,
    /// Bytes of an answer have come.
    has_begun: bool,
}

impl AnswerHead {
    /// Bytes have come: puts them behind those that wait and gives them all; `None`: none wait.
    pub(super) fn join(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.has_begun = true;
        if self.buffer.is_empty() {
            return None;
        }
        self.buffer.extend_from_slice(bytes);
        Some(std::mem::take(&mut self.buffer))
    }

    /// Keeps what is not dealt with; `joined` is what [`AnswerHead::join`] gave, of which so many
    /// bytes are.
    pub(super) fn keep(&mut self, joined: Option<Vec<u8>>, bytes: &[u8], used: usize) {
        self.buffer = joined.unwrap_or_else(|| bytes.to_vec());
        self.buffer.drain(..used);
    }

    /// Finds the end of a head in `input`; `None`: more bytes are needed.
    ///
    /// # Errors
    /// As [`scan_response`].
    pub(super) fn scan(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, HttpError> {
        match scan_response(input, self.scanned, &answer_limits(limits))? {
            Scan::Complete { len } => {
                self.scanned = 0;
                Ok(Some(len))
            }
            Scan::Partial { scanned } => {
                self.scanned = scanned;
                Ok(None)
            }
        }
    }

    /// Whether bytes of an answer have come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }
}
