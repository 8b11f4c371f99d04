//! Histogram: nanoseconds in log-linear buckets, with constant memory, no allocation per value, and
//! every percentile within 1/128 of the exact one. Never knows what was measured.

use serde::Serialize;

/// Each power of two is divided into so many buckets of equal width.
const PER_OCTAVE: u64 = 128;
const OCTAVE_BITS: u32 = PER_OCTAVE.trailing_zeros();

/// Counts of times, by length.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = vec![0; bucket(u64::MAX) + 1].into_boxed_slice();
        Self { counts, total: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Histogram {
    /// Counts one value, in nanoseconds.
    pub(crate) fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
        self.total += 1;
        self.sum += u128::from(ns);
        self.min = self.min.min(ns);
        self.max = self.max.max(ns);
    }

    /// Counts all that `other` has counted, too.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values were counted.
    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// The smallest value that at least this share (0 to 1) of all values do not exceed, in
    /// nanoseconds; 0 when nothing was counted.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        let rank = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return upper_bound(index).min(self.max);
            }
        }
        0
    }

    /// Percentiles and their values, in microseconds: a dozen to each nine, up to the largest
    /// value, which stands where all but one value are below it.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let all = self.total as f64;
        let slower = (0..).map(|step| 10_f64.powf(-f64::from(step) / 12.0));
        let shares = slower.take_while(|slower| slower * all > 1.0).map(|slower| 1.0 - slower);
        let point = |share: f64, ns: u64| (share * 100.0, ns as f64 / 1e3);
        let mut curve: Vec<_> = shares.map(|share| point(share, self.percentile(share))).collect();
        if self.total > 0 {
            curve.push(point(1.0 - 1.0 / all, self.max));
        }
        curve
    }

    /// The counts in at most `rows_max` rows, from the first row that is not empty to the last;
    /// each power of two has as many rows as fit. A row: upper bound in microseconds, count.
    pub(crate) fn plot(&self, rows_max: usize) -> Vec<(f64, u64)> {
        let mut width = (PER_OCTAVE / 8) as usize;
        loop {
            let rows = self.rows(width);
            if rows.len() <= rows_max {
                return rows;
            }
            width *= 2;
        }
    }

    /// The counts with `width` buckets to a row.
    fn rows(&self, width: usize) -> Vec<(f64, u64)> {
        let row = |(index, counts): (usize, &[u64])| {
            let last = index * width + counts.len() - 1;
            (upper_bound(last) as f64 / 1e3, counts.iter().sum())
        };
        let rows: Vec<(f64, u64)> = self.counts.chunks(width).enumerate().map(row).collect();
        let filled = |(_, count): &(f64, u64)| *count > 0;
        let Some(first) = rows.iter().position(filled) else { return Vec::new() };
        let last = rows.iter().rposition(filled).unwrap_or(first);
        rows[first..=last].to_vec()
    }

    /// The figures that a report shows; `None` when nothing was counted.
    pub(crate) fn distribution(&self) -> Option<Distribution> {
        if self.total == 0 {
            return None;
        }
        let at = |share| self.percentile(share) as f64 / 1e3;
        Some(Distribution {
            count: self.total,
            mean_us: self.sum as f64 / self.total as f64 / 1e3,
            min_us: self.min as f64 / 1e3,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.max as f64 / 1e3,
        })
    }
}

/// A histogram in a few figures, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) min_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// Values below `PER_OCTAVE` have a bucket each; above, the leading bit chooses the octave and the
/// next `OCTAVE_BITS` bits the bucket in it.
fn bucket(ns: u64) -> usize {
    if ns < PER_OCTAVE {
        return ns as usize;
    }
    let shift = ns.ilog2() - OCTAVE_BITS;
    (u64::from(shift) * PER_OCTAVE + (ns >> shift)) as usize
}

fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PER_OCTAVE {
        return bucket;
    }
    let shift = bucket / PER_OCTAVE - 1;
    let lower = (bucket - shift * PER_OCTAVE) << shift;
    lower + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::{Histogram, PER_OCTAVE, bucket, upper_bound};

    /// Numbers without a pattern, the same in each run (xorshift64).
    fn numbers(count: usize) -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count).map(|_| next() >> (next() % 60)).collect()
    }

    #[test]
    fn every_percentile_is_within_one_bucket_of_the_exact_one() {
        let mut histogram = Histogram::default();
        let mut sorted = numbers(10_000);
        sorted.iter().for_each(|&ns| histogram.record(ns));
        sorted.sort_unstable();
        for share in [0.0001, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((share * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1];
            let found = histogram.percentile(share);
            assert!(found >= exact, "{share}: {found} is below {exact}");
            assert!(
                found - exact <= exact / PER_OCTAVE + 1,
                "{share}: {found} is far from {exact}"
            );
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_hole_up_to_the_largest_number() {
        for index in 1..bucket(u64::MAX) {
            assert_eq!(bucket(upper_bound(index)), index);
            assert_eq!(bucket(upper_bound(index) + 1), index + 1);
        }
        assert_eq!(upper_bound(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn an_empty_histogram_has_no_distribution() {
        assert_eq!(Histogram::default().percentile(0.5), 0);
        assert!(Histogram::default().distribution().is_none());
    }

    #[test]
    fn the_extremes_are_exact() {
        let mut histogram = Histogram::default();
        [1_000_001, 5, 77_777_777].into_iter().for_each(|ns| histogram.record(ns));
        let found = histogram.distribution().expect("three values");
        assert_eq!((found.min_us, found.max_us, found.count), (0.005, 77_777.777, 3));
    }

    #[test]
    fn counted_together_is_as_counted_one_after_the_other() {
        let (mut both, mut first, mut second) = <(Histogram, Histogram, Histogram)>::default();
        for (index, ns) in numbers(1000).into_iter().enumerate() {
            both.record(ns);
            if index % 3 == 0 {
                first.record(ns)
            } else {
                second.record(ns)
            };
        }
        first.add(&second);
        let figures = |of: &Histogram| format!("{:?}", of.distribution());
        assert_eq!(figures(&first), figures(&both));
        assert_eq!(first.curve(), both.curve());
    }

    #[test]
    fn the_curve_ascends_from_the_smallest_value_to_the_largest() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.curve(), []);
        (1..=1000).for_each(|us| histogram.record(us * 1000));
        let curve = histogram.curve();
        assert_eq!((curve[0].0, curve.len()), (0.0, 37));
        assert!(curve[0].1 < 1.01 && curve[36] == (99.9, 1000.0), "{curve:?}");
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{curve:?}");
        let (_, ninety) = curve[12];
        assert!((899.0..908.0).contains(&ninety), "{curve:?}");
    }

    #[test]
    fn the_plot_has_as_many_rows_as_fit_and_loses_nothing() {
        let mut histogram = Histogram::default();
        [1024, 1279, 1280, 2047, 2048].into_iter().for_each(|ns| histogram.record(ns));
        let rows = histogram.plot(5);
        assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), [2, 1, 0, 1, 1]);
        assert_eq!(rows[0].0, 1.279);
        assert_eq!(histogram.plot(1).iter().map(|row| row.1).collect::<Vec<_>>(), [5]);
    }
}
