//! Watch: decides from samples whether the daemon's memory grows with time.

/// The share of rounds at the start that is not judged.
const WARM_UP: f64 = 1.0 / 3.0;

/// Memory without clients is flat if the trend over the judged time is less than this.
const FLAT_KIB: f64 = 500.0;

/// The trend of memory: least squares over the rounds after the first third.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trend {
    /// KiB a minute, and its standard error.
    pub(crate) slope: f64,
    pub(crate) error: f64,
    pub(crate) mean_kib: f64,
    /// From the first judged round to the last.
    pub(crate) minutes: f64,
}

impl Trend {
    /// `rounds`: time in minutes, memory in KiB. `None`: too few rounds.
    pub(crate) fn of(rounds: &[(f64, f64)]) -> Option<Self> {
        let warm = &rounds[(rounds.len() as f64 * WARM_UP) as usize..];
        if warm.len() < 3 {
            return None;
        }
        let count = warm.len() as f64;
        let sum = |value: &dyn Fn(&(f64, f64)) -> f64| warm.iter().map(value).sum::<f64>();
        let (time, mean_kib) = (sum(&|point| point.0) / count, sum(&|point| point.1) / count);
        let variance = sum(&|point| (point.0 - time).powi(2));
        let slope = sum(&|point| (point.0 - time) * (point.1 - mean_kib)) / variance;
        let rest = sum(&|point| (point.1 - mean_kib - slope * (point.0 - time)).powi(2));
        let error = (rest / (count - 2.0) / variance).sqrt();
        let minutes = warm[warm.len() - 1].0 - warm[0].0;
        Some(Self { slope, error, mean_kib, minutes })
    }

    /// Growth over the judged time.
    pub(crate) fn growth_kib(&self) -> f64 {
        self.slope * self.minutes
    }

    /// Whether memory without clients stayed the same.
    pub(crate) fn is_flat(&self) -> bool {
        self.growth_kib() < FLAT_KIB
    }

    /// Whether a rise is within twice its standard error: for memory under load, which varies by
    /// megabytes.
    pub(crate) fn may_be_chance(&self) -> bool {
        self.slope < 2.0 * self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 30 minutes.
    fn rounds(kib: impl Fn(usize) -> usize) -> Vec<(f64, f64)> {
        let kib = |index| if index < 10 { 100_000 } else { kib(index) };
        (0..30).map(|index| (index as f64, kib(index) as f64)).collect()
    }

    #[test]
    fn the_slope_is_of_the_last_two_thirds_and_per_minute() {
        let trend = Trend::of(&rounds(|index| 5000 + 12 * index)).unwrap();
        assert!((trend.slope - 12.0).abs() < 1e-6 && trend.error < 1e-6, "{trend:?}");
        assert!((trend.growth_kib() - 228.0).abs() < 1e-6 && trend.is_flat(), "{trend:?}");
        assert!(Trend::of(&rounds(|_| 0)[..3]).is_none());
    }

    #[test]
    fn a_leak_is_told_from_noise() {
        let noise = |index: usize| (index * 7919) % 3000;
        assert!(Trend::of(&rounds(|index| 9000 + noise(index))).unwrap().may_be_chance());
        let leak = Trend::of(&rounds(|index| 9000 + noise(index) + 150 * index)).unwrap();
        assert!(!leak.may_be_chance() && !leak.is_flat(), "{leak:?}");
        assert!(!Trend::of(&rounds(|index| 5000 + 30 * index)).unwrap().is_flat());
    }
}
