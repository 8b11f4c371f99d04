//! Figures: what happened in the relay since the start, in numbers. Decides nothing.

use std::fmt;

/// Statuses with which a request is refused; each is counted.
const REFUSALS: [u16; 16] =
    [400, 401, 403, 404, 405, 408, 413, 414, 417, 421, 431, 501, 502, 503, 504, 505];

/// What happened since the start; each counted where it happens.
#[derive(Debug, Default)]
pub(super) struct RelayFigures {
    /// Bodies that are coming in now.
    pub(super) uploads: u64,
    pub(super) published: u64,
    /// Messages sent to subscribers.
    pub(super) delivered: u64,
    /// Deliveries that told of a gap.
    pub(super) gaps: u64,
    /// Connections cut because their peer took nothing for `write_timeout`.
    pub(super) slow_readers: u64,
    /// Idle connections closed to make room.
    pub(super) shed: u64,
    /// Beside [`REFUSALS`].
    refused: [u64; REFUSALS.len()],
}

impl RelayFigures {
    /// Counts an answer of ours, if it is a refusal.
    pub(super) fn answered(&mut self, status: u16) {
        if status >= 400
            && let Some(index) = REFUSALS.iter().position(|refusal| *refusal == status)
        {
            self.refused[index] += 1;
        }
    }
}

impl fmt::Display for RelayFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, delivered, gaps, slow_readers, shed, refused, .. } = self;
        write!(f, "published={published} delivered={delivered} gaps={gaps}")?;
        write!(f, " slow_readers={slow_readers} shed={shed}")?;
        for (status, count) in REFUSALS.iter().zip(refused) {
            write!(f, " refused_{status}={count}")?;
        }
        Ok(())
    }
}
