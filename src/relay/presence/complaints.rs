//! Complaints: what the log says of members, not too often; and how many were not tracked. Decides
//! nothing.

use crate::rate_limit::RateLimit;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    /// Those that were not tracked, as there are too many.
    pub(super) untracked: u64,
    full: RateLimit,
    given_up: RateLimit,
}

impl Complaints {
    /// One more is not tracked, as there are so many already.
    pub(super) fn untracked(&mut self, members_max: usize, now_ms: u64) {
        self.untracked += 1;
        if let Some(times) = self.full.note(now_ms) {
            log::warn!(
                "event=presence_full times={times} cause=\"there are {members_max} members already \
                 (limits.presence_members); new ones are not told of\""
            );
        }
    }

    /// Django does not want to know of one.
    pub(super) fn given_up(&mut self, now_ms: u64) {
        if let Some(times) = self.given_up.note(now_ms) {
            log::warn!(
                "event=presence_given_up times={times} cause=\"Django has refused a notice of a \
                 member, which is not sent again; its own log says why\""
            );
        }
    }
}
