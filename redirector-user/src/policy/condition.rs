//! Under which condition a change is wanted (RFC 9110 section 13.1): what a caller has seen is still so.
//!
//! The validator of a flag (its `ETag`) is its number, the number of rows that the trail has about it, and a hash of what
//! was said of it: `"12.3.5f0c…"`. The first two say which state of the flag it was; what else an answer tells (which
//! relays serve, what they saw) may change without the flag being another, and fails no change.

use super::dial::FlagId;

/// One state of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Which flag.
    pub flag: FlagId,
    /// Rows of the trail about it.
    pub rows: u64,
}

/// What must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// There is no flag (`If-None-Match: *`).
    Absent,
    /// There is one (`If-Match: *`).
    Present,
    /// It is in one of these states (`If-Match`).
    Is(Vec<Revision>),
}

impl Revision {
    /// The validator of an answer; `said` is a hash of it, in hexadecimal.
    #[must_use]
    pub fn tag(self, said: &str) -> String {
        format!("\"{}.{}.{said}\"", self.flag, self.rows)
    }

    /// The state that a validator stands for.
    fn of_tag(tag: &str) -> Option<Self> {
        let inner = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
        let mut parts = inner.split('.');
        let (flag, rows, _said) = (parts.next()?, parts.next()?, parts.next()?);
        let (flag, rows) = (flag.parse().ok()?, rows.parse().ok()?);
        let flag = FlagId(flag);
        parts.next().is_none().then_some(Self { flag, rows })
    }
}

impl Condition {
    /// Reads `If-Match` and `If-None-Match`, each as its values joined by commas. A validator that is not of a flag,
    /// or a weak one, is that of no state, so that the condition fails.
    ///
    /// # Errors
    ///
    /// What may not stand there.
    pub fn read(if_match: Option<&str>, if_none_match: Option<&str>) -> Result<Self, &'static str> {
        match (if_match.map(str::trim), if_none_match.map(str::trim)) {
            (None, None) => Ok(Self::Always),
            (None, Some("*")) => Ok(Self::Absent),
            (None, Some(_)) => Err(
                "If-None-Match: a change knows `*` alone, which means that there must be no flag yet",
            ),
            (Some("*"), None) => Ok(Self::Present),
            (Some(tags), None) => Ok(Self::Is(
                tags.split(',').filter_map(Revision::of_tag).collect(),
            )),
            (Some(_), Some(_)) => {
                Err("If-Match and If-None-Match: one of them; together they contradict each other")
            }
        }
    }

    /// Whether it holds of what there is.
    #[must_use]
    pub fn holds(&self, standing: Option<Revision>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => standing.is_none(),
            Self::Present => standing.is_some(),
            Self::Is(states) => standing.is_some_and(|standing| states.contains(&standing)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_wanted_only_of_what_was_seen() {
        let state = |flag, rows| Revision {
            flag: FlagId(flag),
            rows,
        };
        let seen = state(12, 3).tag("5f0c");
        assert_eq!(seen, "\"12.3.5f0c\"");
        let holds = |if_match, if_none_match, standing| {
            let condition = Condition::read(if_match, if_none_match).unwrap();
            condition.holds(standing)
        };
        let several = format!("\"x\", {seen} ,\"1.1.0\"");
        for (if_match, if_none_match, standing, expected) in [
            (None, None, None, true),
            (None, None, Some(state(1, 1)), true),
            (None, Some("*"), None, true),
            (None, Some(" * "), Some(state(1, 1)), false),
            (Some("*"), None, None, false),
            (Some("*"), None, Some(state(1, 1)), true),
            (Some(seen.as_str()), None, Some(state(12, 3)), true),
            (Some(&several), None, Some(state(12, 3)), true),
            (Some(&seen), None, Some(state(12, 4)), false),
            (Some(&seen), None, Some(state(13, 3)), false),
            (Some(&seen), None, None, false),
        ] {
            let held = holds(if_match, if_none_match, standing);
            assert_eq!(
                held, expected,
                "{if_match:?} {if_none_match:?} {standing:?}"
            );
        }
        let weak = format!("W/{seen}");
        for odd in [
            "",
            "\"\"",
            "12.3.5f0c",
            &weak,
            "\"12.3\"",
            "\"12.3.0.0\"",
            "\"a.3.0\"",
            "\"12.-3.0\"",
        ] {
            assert!(!holds(Some(odd), None, Some(state(12, 3))), "{odd}");
        }
        assert!(Condition::read(None, Some("\"12.3.5f0c\"")).is_err());
        assert!(Condition::read(Some("*"), Some("*")).is_err());
    }
}
