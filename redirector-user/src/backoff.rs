//! How long to wait before something is tried once more: longer each time, and never all at once.

use std::{io, time::Duration};

/// Waits that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After many.
    pub longest: Duration,
}

impl Backoff {
    /// How long to wait after so many failures in a row. `chance`, which should be random, spreads the waits over a fifth
    /// to either side, so that those who failed together do not come back together.
    #[must_use]
    pub fn after(self, failures: u32, chance: u16) -> Duration {
        let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let plain = self.first.saturating_mul(1 << doublings).min(self.longest);
        let permille = 800 + 400 * u32::from(chance) / u32::from(u16::MAX);
        plain.saturating_mul(permille) / 1000
    }
}

/// Randomness for [`Backoff::after`].
///
/// # Errors
///
/// That the kernel has none.
pub fn chance() -> io::Result<u16> {
    let mut octets = [0; 2];
    rustix::rand::getrandom(&mut octets[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(octets))
}

/// The longest waits of all are reached before.
const DOUBLINGS_MAX: u32 = 30;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(3600),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let middle = u16::MAX / 2 + 1;
        let waits = [1, 2, 3, 10, 11, u32::MAX].map(|failures| BACKOFF.after(failures, middle));
        assert_eq!(
            waits.map(|wait| wait.as_secs()),
            [5, 10, 20, 2560, 3600, 3600]
        );
    }

    proptest! {
        #[test]
        fn every_wait_is_within_a_fifth_of_what_it_should_be(failures in 1_u32.., chance: u16) {
            let plain = 5_u64.saturating_mul(1 << (failures - 1).min(20)).min(3600);
            let wait = BACKOFF.after(failures, chance);
            prop_assert!(wait >= Duration::from_secs(plain) * 4 / 5, "{wait:?}");
            prop_assert!(wait <= Duration::from_secs(plain) * 6 / 5, "{wait:?}");
        }
    }
}
