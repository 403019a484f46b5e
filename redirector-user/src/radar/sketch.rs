//! Estimating how many distinct networks a source has tried to reach.
//!
//! A HyperLogLog whose registers the kernel program has filled. Sketches of several windows are united
//! register by register, which gives the sketch that one long window would have had: a network that
//! was tried in each of them counts once.

use redirector_common::{abi::Sighting, radar::REGISTERS};

/// Registers of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch([u8; REGISTERS]);

impl Sketch {
    /// Of no destination.
    pub const EMPTY: Self = Self([0; REGISTERS]);

    /// Of one source in one window.
    #[must_use]
    pub fn of(sighting: &Sighting) -> Self {
        let mut registers = [0; REGISTERS];
        for (register, value) in registers
            .iter_mut()
            .zip(sighting.destinations.as_flattened())
        {
            *register = *value;
        }
        Self(registers)
    }

    /// Of registers as [`Sketch::registers`] gave them.
    #[must_use]
    pub const fn from_registers(registers: [u8; REGISTERS]) -> Self {
        Self(registers)
    }

    /// Its registers.
    #[must_use]
    pub const fn registers(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    /// Adds the destinations of another sketch.
    pub fn unite(&mut self, other: &Self) {
        for (register, value) in self.0.iter_mut().zip(other.0) {
            *register = value.max(*register);
        }
    }

    /// About how many distinct networks: the standard error is 9 %, and less below a hundred.
    ///
    /// The improved raw estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog
    /// sketches" (2017), algorithm 6: it needs no switch between small and large numbers.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let mut counts = [0_u32; RANK_MAX + 1];
        for register in self.0 {
            // A rank beyond the largest would be our bug; it counts as the largest.
            if let Some(count) = counts.get_mut(usize::from(register).min(RANK_MAX)) {
                *count += 1;
            }
        }
        let share = |count: u32| f64::from(count) / M;
        let [empty, between @ .., full] = counts;
        let mut z = M * tau(1.0 - share(full));
        for count in between.iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += M * sigma(share(empty));
        let estimate = M * M / (2.0 * std::f64::consts::LN_2 * z);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a conversion from a float saturates, and estimates are positive"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }
}

/// What empty registers contribute; infinite if all are.
fn sigma(share: f64) -> f64 {
    let (mut x, mut y, mut z) = (share, 1.0, share);
    if x >= 1.0 {
        return f64::INFINITY;
    }
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// What registers at their largest rank contribute.
fn tau(share: f64) -> f64 {
    let (mut x, mut y, mut z) = (share, 1.0, 1.0 - share);
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

/// Registers, as estimates are reckoned.
const M: f64 = REGISTERS as f64;
/// Largest rank: 57 bits are left of a hash, and one more if they are all zero.
const RANK_MAX: usize = 58;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redirector_common::{addr::Addr, radar::Place};

    use super::*;

    /// The sketch of these networks, by the kernel's own arithmetic.
    fn sketch(networks: impl IntoIterator<Item = u32>) -> Sketch {
        let mut sketch = Sketch::EMPTY;
        for network in networks {
            let [_, a, b, c] = network.to_be_bytes();
            let mapped = Addr::V4([a, b, c, 1]).mapped();
            let place = Place::of(redirector_common::addr::AddrRef {
                mapped: &mapped,
                family: 4,
            });
            let register = &mut sketch.0[usize::from(place.register)];
            *register = place.rank.max(*register);
        }
        sketch
    }

    #[test]
    fn nothing_is_nothing_and_few_are_exact() {
        assert_eq!(Sketch::EMPTY.estimate(), 0);
        for count in 1..=5 {
            assert_eq!(sketch(0..count).estimate(), u64::from(count));
        }
    }

    #[test]
    fn full_registers_are_no_fault() {
        assert!(Sketch([58; REGISTERS]).estimate() > 1 << 60);
        assert!(Sketch([255; REGISTERS]).estimate() > 1 << 60);
    }

    #[test]
    fn the_mean_error_is_the_one_that_is_promised() {
        for count in [30_u32, 300, 3_000, 100_000] {
            let errors = (0..100_u32).map(|round| {
                let first = round.wrapping_mul(0x0001_f123) & 0x00ff_ffff;
                let networks = (0..count).map(|number| (first + number) & 0x00ff_ffff);
                let estimate = u32::try_from(sketch(networks).estimate()).expect("small");
                (f64::from(estimate) / f64::from(count) - 1.0).powi(2)
            });
            let error = (errors.sum::<f64>() / 100.0).sqrt();
            // 1.04 / sqrt(128), and room for the chance in a hundred rounds.
            assert!(error < 0.092 * 1.3, "{error} at {count}");
        }
    }

    /// Fixed draws: a bound on chance that is drawn anew fails by chance.
    #[test]
    fn one_estimate_in_a_hundred_is_further_off_than_three_standard_errors() {
        let far = (1..=1000_u32).filter(|round| {
            let count = round * 100;
            let first = round.wrapping_mul(0x0001_f123) % 0x00f0_0000;
            let estimate = sketch(first..first + count).estimate();
            (estimate as f64 / f64::from(count) - 1.0).abs() > 3.0 * 0.092
        });
        assert!(far.count() <= 10);
    }

    proptest! {
        #[test]
        fn uniting_sketches_is_the_sketch_of_the_union(
            one in prop::collection::hash_set(0..0x0100_0000_u32, 0..500),
            other in prop::collection::hash_set(0..0x0100_0000_u32, 0..500),
        ) {
            let mut united = sketch(one.iter().copied());
            united.unite(&sketch(other.iter().copied()));
            prop_assert_eq!(united, sketch(one.union(&other).copied()));
        }
    }
}
