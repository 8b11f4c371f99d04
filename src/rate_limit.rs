//! Rate limit of a warning that repeats: allows it once per period and counts the others. Logs
//! nothing itself and reads no clock.

/// A warning is logged once in so many milliseconds.
const PERIOD_MS: u64 = 60_000;

/// The rate limit of one kind of warning.
#[derive(Debug, Clone, Default)]
pub struct RateLimit {
    /// When the next warning may be logged, monotonic milliseconds.
    open_ms: u64,
    /// Occurrences since the last warning that was logged.
    held_back: u64,
}

impl RateLimit {
    /// Notes one occurrence if no warning may be logged now; gives whether that is so.
    pub fn is_held_back(&mut self, now_ms: u64) -> bool {
        let is_held_back = now_ms < self.open_ms;
        self.held_back += u64::from(is_held_back);
        is_held_back
    }

    /// Notes one occurrence at `now_ms` (monotonic milliseconds). `Some(count)`: log a warning now,
    /// for this occurrence and those since the last warning.
    pub fn note(&mut self, now_ms: u64) -> Option<u64> {
        self.held_back += 1;
        if now_ms < self.open_ms {
            return None;
        }
        self.open_ms = now_ms.saturating_add(PERIOD_MS);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::RateLimit;

    #[test]
    fn the_first_occurrence_warns_at_once() {
        assert_eq!(RateLimit::default().note(0), Some(1));
    }

    #[test]
    fn within_the_period_occurrences_are_counted_and_told_with_the_next_warning() {
        let mut limit = RateLimit::default();
        assert_eq!(limit.note(5_000), Some(1));
        assert_eq!(limit.note(5_001), None);
        assert_eq!(limit.note(64_999), None);
        assert!(limit.is_held_back(64_999) && !limit.is_held_back(65_000));
        assert_eq!(limit.note(65_000), Some(4));
        assert_eq!(limit.note(65_000), None);
    }
}
