//! Which turns of the dial a customer is told of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::dial::{FlagId, Height};

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Mail is restricted.
    Flag,
    /// It is restricted further.
    Raise,
    /// It is restricted less.
    Ease,
    /// It is free again.
    Lift,
}

/// One turn of the dial that is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it was.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// By which flag; of a lift, the one that ended.
    pub flag: FlagId,
    /// Where the dial was before, as [`Height::name`] spells it.
    pub before: String,
    /// Where it is since.
    pub after: String,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Flag, Self::Raise, Self::Ease, Self::Lift];

    /// Its name, as templates and the command line have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Raise => "raise",
            Self::Ease => "ease",
            Self::Lift => "lift",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// What a turn of the dial is for a customer: nothing, if its mail goes as before.
    #[must_use]
    pub fn between(before: Height, after: Height) -> Option<Self> {
        let free = |height| height <= Height::Observe;
        match (free(before), free(after)) {
            (true, true) => None,
            (true, false) => Some(Self::Flag),
            (false, true) => Some(Self::Lift),
            (false, false) if after > before => Some(Self::Raise),
            (false, false) if after < before => Some(Self::Ease),
            (false, false) => None,
        }
    }

    /// What several steps are together; the last one, if they have led nowhere.
    #[must_use]
    pub fn of_all(steps: &[Step]) -> Option<Self> {
        let height = |name: &str| Height::from_name(name).unwrap_or_default();
        let (first, last) = (steps.first()?, steps.last()?);
        Self::between(height(&first.before), height(&last.after)).or(Some(last.kind))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(before: Height, after: Height) -> Step {
        Step {
            kind: Kind::between(before, after).unwrap_or(Kind::Flag),
            at: Timestamp::UNIX_EPOCH,
            flag: FlagId(1),
            before: before.name().to_owned(),
            after: after.name().to_owned(),
        }
    }

    #[test]
    fn what_changes_for_a_customer_has_a_kind() {
        use Height::{Drop, Filter, Limit, None as Free, Observe, Refuse};
        for (before, after, kind) in [
            (Free, Observe, None),
            (Observe, Limit, Some(Kind::Flag)),
            (Free, Drop, Some(Kind::Flag)),
            (Filter, Refuse, Some(Kind::Raise)),
            (Refuse, Filter, Some(Kind::Ease)),
            (Refuse, Refuse, None),
            (Refuse, Observe, Some(Kind::Lift)),
            (Limit, Free, Some(Kind::Lift)),
        ] {
            assert_eq!(Kind::between(before, after), kind, "{before:?} {after:?}");
        }
    }

    #[test]
    fn steps_together_are_where_they_lead() {
        use Height::{Drop, Filter, None as Free, Refuse};
        let steps = [step(Drop, Free), step(Free, Filter)];
        assert_eq!(Kind::of_all(&steps), Some(Kind::Ease));
        let steps = [step(Free, Filter), step(Filter, Refuse)];
        assert_eq!(Kind::of_all(&steps), Some(Kind::Flag));
        let steps = [step(Free, Filter), step(Filter, Free)];
        assert_eq!(
            Kind::of_all(&steps),
            Some(Kind::Lift),
            "nowhere: it is free"
        );
        assert_eq!(Kind::of_all(&[]), None);
    }

    proptest! {
        #[test]
        fn there_and_back_are_opposites(one in 0..9_usize, other in 0..9_usize) {
            let (one, other) = (Height::ALL[one], Height::ALL[other]);
            let opposite = |kind| match kind {
                Kind::Flag => Kind::Lift,
                Kind::Lift => Kind::Flag,
                Kind::Raise => Kind::Ease,
                Kind::Ease => Kind::Raise,
            };
            prop_assert_eq!(Kind::between(one, other), Kind::between(other, one).map(opposite));
        }
    }
}
