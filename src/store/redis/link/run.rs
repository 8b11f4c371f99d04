//! Run: which run of which server has answered, and whether it may have lost what an earlier one
//! gave.

/// For so long after a change, ids are to be above all that were seen, milliseconds.
const FRESH_MS: u64 = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// `None`: none has answered, or it did not say.
    id: Option<Box<str>>,
    fresh_until_ms: u64,
}

impl Run {
    /// A connection is up, to a server that says this of itself.
    pub(super) fn up(&mut self, id: Option<Box<str>>, now_ms: u64) {
        if id.is_none() || id != self.id {
            self.fresh_until_ms = now_ms + FRESH_MS;
        }
        self.id = id;
    }

    /// Whether another run may have answered a moment ago.
    pub(super) fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms < self.fresh_until_ms
    }
}
