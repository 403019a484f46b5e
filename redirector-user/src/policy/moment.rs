//! A moment in eight octets. A flag has three, there may be a million flags, and a [`Timestamp`] takes sixteen.

use std::{cmp::Ordering, fmt, num::NonZeroU64};

use jiff::Timestamp;
use serde::Serialize;

/// A moment as exact as the store keeps it, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(
    /// Microseconds since [`BEFORE_ALL_US`]; never 0, so that an `Option` of it takes no more.
    NonZeroU64,
);

impl Moment {
    /// The same as what one counts with.
    #[must_use]
    pub fn at(self) -> Timestamp {
        let since = i64::try_from(self.0.get()).unwrap_or(i64::MAX);
        // It was made of one, so that there is one.
        Timestamp::from_microsecond(since.saturating_add(BEFORE_ALL_US)).unwrap_or(Timestamp::MAX)
    }

    /// As the store has it.
    #[must_use]
    pub fn as_microsecond(self) -> i64 {
        self.at().as_microsecond()
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let since = at.as_microsecond().saturating_sub(BEFORE_ALL_US);
        let since = u64::try_from(since).ok().and_then(NonZeroU64::new);
        Self(since.unwrap_or(NonZeroU64::MIN))
    }
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        moment.at()
    }
}

impl PartialEq<Timestamp> for Moment {
    fn eq(&self, other: &Timestamp) -> bool {
        self.at() == *other
    }
}

impl PartialOrd<Timestamp> for Moment {
    fn partial_cmp(&self, other: &Timestamp) -> Option<Ordering> {
        self.at().partial_cmp(other)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at().fmt(out)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.at(), out)
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.at().serialize(serializer)
    }
}

/// A second before the first moment that there is a [`Timestamp`] for.
const BEFORE_ALL_US: i64 = -377_705_023_202_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_microsecond_that_there_is_comes_back() {
        let all = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX];
        for (before, after) in all.iter().zip(all.iter().skip(1)) {
            assert!(Moment::from(*before) < Moment::from(*after));
        }
        for at in all {
            let moment = Moment::from(at);
            assert_eq!(moment.as_microsecond(), at.as_microsecond());
            assert!(moment <= at);
        }
        assert_eq!(Moment::from(Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH);
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
