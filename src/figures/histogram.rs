//! Histogram: how often something took how long, in fixed steps. Never reads a clock.

/// The upper bounds of all buckets but the last, which has none, in microseconds.
pub const BOUNDS_US: [u64; 9] =
    [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000];

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket, and into none before it.
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// It has taken so many microseconds once more.
    pub fn note(&mut self, took_us: u64) {
        let bucket = BOUNDS_US.iter().position(|bound| took_us <= *bound);
        self.counts[bucket.unwrap_or(BOUNDS_US.len())] += 1;
        self.sum_us = self.sum_us.saturating_add(took_us);
    }

    /// How often it took as long as each of [`BOUNDS_US`], or less.
    pub fn up_to(&self) -> impl Iterator<Item = u64> + '_ {
        let mut sum = 0;
        self.counts[..BOUNDS_US.len()].iter().map(move |count| {
            sum += count;
            sum
        })
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long all of them took together, microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_its_bound_and_all_that_is_less() {
        let mut histogram = Histogram::default();
        for took_us in [0, 1_000, 1_001, 10_000_000, 10_000_001, u64::MAX] {
            histogram.note(took_us);
        }
        let up_to: Vec<_> = histogram.up_to().collect();
        assert_eq!(up_to, [2, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!((histogram.count(), histogram.sum_us()), (6, u64::MAX));
    }
}
