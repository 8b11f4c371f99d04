//! Seconds: a time as the settings have it.

use serde::{Deserialize, Serialize, Serializer};

/// A time in seconds, which may be fractional; schema.json bounds it by 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Seconds(f64);

impl Seconds {
    /// Rounded up, so that a time that is not 0 never becomes 0, which means "never" elsewhere.
    pub(super) fn milliseconds(self) -> u64 {
        if self.0 == 0.0 {
            return 0;
        }
        // The millionth is for thousandths that binary fractions miss: 4.1 s is 4100 ms, not 4101.
        (self.0 * 1000.0 - 1e-6).ceil().max(1.0) as u64
    }
}

impl Serialize for Seconds {
    /// A whole number without a fraction: 10, not 10.0.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 {
            serializer.serialize_u64(self.0 as u64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn seconds_become_milliseconds_and_never_0_by_rounding() {
        for (seconds, milliseconds) in [
            (0.0, 0),
            (1e-12, 1),
            (1e-4, 1),
            (0.007, 7),
            (0.0071, 8),
            (1.1, 1100),
            (4.1, 4100),
            (55.0, 55_000),
            (3_153_600_000.0, 3_153_600_000_000),
        ] {
            assert_eq!(Seconds(seconds).milliseconds(), milliseconds, "{seconds} s");
        }
    }
}
