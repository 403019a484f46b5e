//! How long things take, in buckets that are fixed when the histogram is made.

use std::time::Duration;

/// Counts of durations by upper bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds in seconds, ascending; the last bucket has none.
    bounds: &'static [f64],
    /// One more than bounds; each value is counted in one bucket alone.
    counts: Vec<u64>,
    sum: Duration,
}

impl Histogram {
    /// For what takes milliseconds, and a minute where somebody waits.
    #[must_use]
    pub fn short() -> Self {
        Self::of(&SHORT)
    }

    /// For what takes milliseconds, and hours where a relay is away.
    #[must_use]
    pub fn long() -> Self {
        Self::of(&LONG)
    }

    fn of(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: Duration::ZERO,
        }
    }

    /// Takes one in.
    pub fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        // A bound is inclusive.
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(took);
    }

    /// Each bound, with how many were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(sums)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

static SHORT: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0];
static LONG: [f64; 10] = [
    0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0, 3600.0, 86_400.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_ascend() {
        for bounds in [&SHORT, &LONG] {
            assert!(bounds.is_sorted_by(|one, other| one < other));
        }
        let mut histogram = Histogram::short();
        for took_ms in [1, 2, 5, 60_000, 60_001] {
            histogram.observe(Duration::from_millis(took_ms));
        }
        let cumulative: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(cumulative, [1, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_millis(120_009));
    }
}
