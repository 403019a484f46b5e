//! How many different ones there were, of which only some octets are kept (HyperLogLog).
//!
//! Few are remembered one by one, and counted exactly; more become 256 registers, whose estimate has a standard error of
//! 6.5 % (1.04 / sqrt(256)). A sketch never forgets and never counts one twice.

/// A set of which only the size is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Kept);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// What each leaves, in ascending order; at most [`FEW`].
    Few(Vec<u32>),
    /// The largest rank that was seen of each register.
    Many(Box<[u8; REGISTERS]>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl Sketch {
    /// Adds the one with this hash.
    pub fn insert(&mut self, hash: u64) {
        // The lower half would do as well: each bit depends on every octet.
        self.insert_trace(u32::try_from(hash >> 32).unwrap_or(u32::MAX));
    }

    /// How many there are.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        match &self.0 {
            Kept::Few(few) => few.len() as u64,
            Kept::Many(registers) => estimate(registers),
        }
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Kept::Few(few) => few.iter().for_each(|&trace| self.insert_trace(trace)),
            Kept::Many(theirs) => {
                for (own, their) in core::iter::zip(self.registers(), theirs.iter()) {
                    *own = (*own).max(*their);
                }
            }
        }
    }

    /// Octets beside its own.
    #[must_use]
    pub fn heap_octets(&self) -> usize {
        match &self.0 {
            Kept::Few(few) => few.capacity() * size_of::<u32>(),
            Kept::Many(_) => REGISTERS,
        }
    }

    fn insert_trace(&mut self, trace: u32) {
        match &mut self.0 {
            Kept::Few(few) => match few.binary_search(&trace) {
                Ok(_known) => {}
                Err(place) if few.len() < FEW => few.insert(place, trace),
                Err(_full) => raise(self.registers(), trace),
            },
            Kept::Many(registers) => raise(registers, trace),
        }
    }

    /// As registers, from here on.
    fn registers(&mut self) -> &mut [u8; REGISTERS] {
        if let Kept::Few(few) = &self.0 {
            let mut registers = Box::new([0; REGISTERS]);
            few.iter().for_each(|&trace| raise(&mut registers, trace));
            self.0 = Kept::Many(registers);
        }
        match &mut self.0 {
            Kept::Many(registers) => registers,
            Kept::Few(_) => unreachable!("they are registers since just now"),
        }
    }

    pub(super) fn parts(&self) -> Result<&[u32], &[u8; REGISTERS]> {
        match &self.0 {
            Kept::Few(few) => Ok(few),
            Kept::Many(registers) => Err(registers),
        }
    }

    pub(super) fn of_few(few: impl IntoIterator<Item = u32>) -> Self {
        let mut sketch = Self::default();
        few.into_iter().for_each(|trace| sketch.insert_trace(trace));
        sketch
    }

    /// Ranks that there cannot be are cut.
    pub(super) fn of_many(mut registers: [u8; REGISTERS]) -> Self {
        registers
            .iter_mut()
            .for_each(|it| *it = (*it).min(RANK_MAX));
        Self(Kept::Many(Box::new(registers)))
    }
}

fn raise(registers: &mut [u8; REGISTERS], trace: u32) {
    let [register, ..] = trace.to_be_bytes();
    // The lower 24 bits: how long they begin with zeros is geometric.
    let rank = (trace << REGISTER_BITS).leading_zeros().min(24) + 1;
    let rank = u8::try_from(rank).unwrap_or(RANK_MAX);
    if let Some(kept) = registers.get_mut(usize::from(register)) {
        *kept = (*kept).max(rank);
    }
}

fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let count = REGISTERS as f64;
    let sum: f64 = registers
        .iter()
        .map(|&rank| (-f64::from(rank)).exp2())
        .sum();
    let raw = ALPHA * count * count / sum;
    let empty = registers.iter().filter(|&&rank| rank == 0).count();
    // Flajolet and others, 2007: few are better told by the registers that are still empty.
    let estimate = if raw <= 2.5 * count && empty > 0 {
        count * (count / empty as f64).ln()
    } else {
        raw
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a finite number that is not negative"
    )]
    let whole = estimate.round() as u64;
    whole
}

const REGISTER_BITS: u32 = 8;
pub(super) const REGISTERS: usize = 1 << REGISTER_BITS;
/// For 256 registers.
const ALPHA: f64 = 0.7213 / (1.0 + 1.079 / 256.0);
const RANK_MAX: u8 = 25;
/// As much as the registers take.
pub(super) const FEW: usize = REGISTERS / size_of::<u32>();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hash;
    use super::*;

    fn of(numbers: core::ops::Range<u64>) -> Sketch {
        let mut sketch = Sketch::default();
        numbers.for_each(|number| sketch.insert(hash::of(&number.to_be_bytes())));
        sketch
    }

    #[test]
    fn few_are_counted_exactly() {
        for count in [0, 1, 63, 64] {
            assert_eq!(of(0..count).estimate(), count);
        }
        let mut twice = of(0..10);
        twice.merge(&of(5..15));
        assert_eq!(twice.estimate(), 15);
    }

    #[test]
    fn many_are_told_with_a_known_error() {
        // Five standard errors of 6.5 %, over twenty sets of each size.
        let mut squares = 0.0;
        let mut sets = 0.0;
        for count in [65_u64, 200, 1000, 10_000, 100_000] {
            for set in 0..20_u64 {
                let sketch = of(set << 32..(set << 32) + count);
                let error = sketch.estimate() as f64 / count as f64 - 1.0;
                assert!(error.abs() < 0.325, "{count}: {error}");
                squares += error * error;
                sets += 1.0;
            }
        }
        let deviation = (squares / sets).sqrt();
        assert!(deviation < 0.08, "{deviation}");
    }

    proptest! {
        #[test]
        fn a_union_is_what_both_would_be(a in 0_u64..500, b in 0_u64..500, both in 0_u64..500) {
            let (first, second) = (of(0..a + both), of(a..a + both + b));
            let mut union = first;
            union.merge(&second);
            prop_assert_eq!(union.estimate(), of(0..a + both + b).estimate());
        }
    }
}
