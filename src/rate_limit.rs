//! Rate limit of a warning that repeats: allows it once per period and counts the others. Logs
//! nothing itself and reads no clock.

/// The rate limit of one kind of warning. By default once a minute, as for all warnings of the
/// daemon.
#[derive(Debug, Clone)]
pub struct RateLimit {
    period_ms: u64,
    /// When the next warning may be logged, monotonic milliseconds.
    open_ms: u64,
    /// Occurrences since the last warning that was logged.
    held_back: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new(60_000)
    }
}

impl RateLimit {
    /// Allows a warning once per `period_ms` milliseconds.
    #[must_use]
    pub const fn new(period_ms: u64) -> Self {
        Self { period_ms, open_ms: 0, held_back: 0 }
    }

    /// Notes one occurrence at `now_ms` (monotonic milliseconds). `Some(count)`: log a warning now,
    /// for this occurrence and those since the last warning.
    pub fn note(&mut self, now_ms: u64) -> Option<u64> {
        self.held_back += 1;
        if now_ms < self.open_ms {
            return None;
        }
        self.open_ms = now_ms.saturating_add(self.period_ms);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::RateLimit;

    #[test]
    fn the_first_occurrence_warns_at_once() {
        assert_eq!(RateLimit::new(60_000).note(0), Some(1));
    }

    #[test]
    fn within_the_period_occurrences_are_counted_and_told_with_the_next_warning() {
        let mut limit = RateLimit::new(60_000);
        assert_eq!(limit.note(5_000), Some(1));
        assert_eq!(limit.note(5_001), None);
        assert_eq!(limit.note(64_999), None);
        assert_eq!(limit.note(65_000), Some(3));
        assert_eq!(limit.note(65_000), None);
    }
}
