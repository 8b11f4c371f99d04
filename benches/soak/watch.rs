//! Whether what the daemon holds grows with time: a trend through looks at its memory.

/// The part of a run whose memory is judged: after its first third.
const WARM_UP: f64 = 1.0 / 3.0;

/// The least of so many samples counts: the daemon gives memory back to the system in steps of some
/// megabytes, and between them what has gone still looks as if it were there.
const MINUTE: usize = 6;

/// The memory is flat if it would have grown by less than one of these in the time judged.
const FLAT_KIB: f64 = 500.0;
const FLAT_PART: f64 = 0.02;

/// A look at the daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) resident_kib: usize,
}

/// How memory goes, by least squares over the samples after the first third.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trend {
    /// KiB a minute, and its standard error.
    pub(crate) slope: f64,
    pub(crate) error: f64,
    pub(crate) mean_kib: f64,
    /// How long these samples took.
    pub(crate) minutes: f64,
}

impl Trend {
    /// `None` for too few samples.
    pub(crate) fn of(samples: &[Sample]) -> Option<Self> {
        let end = samples.last()?.seconds;
        let least = |minute: &[Sample]| minute.iter().copied().min_by_key(|one| one.resident_kib);
        let warm: Vec<(f64, f64)> = samples
            .chunks(MINUTE)
            .filter_map(least)
            .filter(|sample| sample.seconds > end * WARM_UP)
            .map(|sample| (sample.seconds / 60.0, sample.resident_kib as f64))
            .collect();
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
        Some(Self { slope, error, mean_kib, minutes: end * (1.0 - WARM_UP) / 60.0 })
    }

    /// KiB in all.
    pub(crate) fn growth_kib(&self) -> f64 {
        self.slope * self.minutes
    }

    /// Whether memory stayed within [`FLAT_KIB`] or [`FLAT_PART`], or a slope cannot be told from
    /// chance: what is on its way differs by megabytes from one moment to the next.
    pub(crate) fn is_flat(&self) -> bool {
        let growth = self.growth_kib().abs();
        growth < FLAT_KIB.max(self.mean_kib * FLAT_PART) || self.slope.abs() < 2.0 * self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 30 minutes.
    fn samples(resident_kib: impl Fn(usize) -> usize) -> Vec<Sample> {
        (0..=180)
            .map(|index| Sample {
                seconds: index as f64 * 10.0,
                resident_kib: if index < 60 { 100_000 } else { resident_kib(index) },
            })
            .collect()
    }

    #[test]
    fn the_slope_is_of_the_last_two_thirds_and_per_minute() {
        let trend = Trend::of(&samples(|index| 5000 + 2 * index)).unwrap();
        assert!((trend.slope - 12.0).abs() < 1e-6 && trend.error < 1e-6, "{trend:?}");
        assert!((trend.growth_kib() - 240.0).abs() < 1e-6 && trend.is_flat(), "{trend:?}");
        assert!(Trend::of(&samples(|_| 0)[..12]).is_none());
    }

    #[test]
    fn a_leak_is_told_from_noise() {
        let noise = |index: usize| (index * 7919) % 3000;
        assert!(Trend::of(&samples(|index| 9000 + noise(index))).unwrap().is_flat());
        let leak = Trend::of(&samples(|index| 9000 + noise(index) + 10 * index)).unwrap();
        assert!(!leak.is_flat(), "{leak:?}");
        assert!(!Trend::of(&samples(|index| 9000 + 5 * index)).unwrap().is_flat());
    }
}
