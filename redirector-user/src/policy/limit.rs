//! A limit on a customer's new connections: so many an hour, and so many at once.

use std::{fmt, num::NonZeroU16};

use super::dial::Refusal;

/// Rate and burst of action `limit`, of each address (IPv6: of each /64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// New connections in the long run.
    pub rate: Rate,
    /// New connections at once after a pause.
    pub burst: NonZeroU16,
}

/// New connections an hour, which is what every unit comes down to without a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU16);

impl Limit {
    /// Reads what a request says; without a burst it is [`DEFAULT_BURST`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`], which says what is allowed.
    pub fn read(rate: Option<&str>, burst: Option<u16>) -> Result<Self, Refusal> {
        let rate = rate
            .ok_or_else(|| Refusal::Usage(format!("action limit needs a rate; {ALLOWED_RATES}")))?;
        let per_hour = per_hour(rate)
            .ok_or_else(|| Refusal::Usage(format!("rate {rate:?}: {ALLOWED_RATES}")))?;
        let burst = NonZeroU16::new(burst.unwrap_or(DEFAULT_BURST)).ok_or_else(|| {
            let problem =
                "burst 0: no connection would ever pass; action drop says so, or give 1 to 65535";
            Refusal::Usage(String::from(problem))
        })?;
        Ok(Self {
            rate: Rate(per_hour),
            burst,
        })
    }

    /// Takes back what [`Rate::per_hour`] and the burst were stored as; `None` if they never were.
    #[must_use]
    pub fn stored(per_hour: i64, burst: i64) -> Option<Self> {
        let number = |stored: i64| u16::try_from(stored).ok().and_then(NonZeroU16::new);
        Some(Self {
            rate: Rate(number(per_hour)?),
            burst: number(burst)?,
        })
    }
}

impl Rate {
    /// New connections an hour.
    #[must_use]
    pub const fn per_hour(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Rate {
    /// In the largest number of whole connections: `2/s`, `90/min`, `100/h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, per_hour): &&(&str, u16)| self.per_hour().is_multiple_of(*per_hour);
        match UNITS.iter().find(whole) {
            Some((unit, per_hour)) => write!(f, "{}/{unit}", self.per_hour() / per_hour),
            None => write!(f, "{}/h", self.per_hour()),
        }
    }
}

fn per_hour(text: &str) -> Option<NonZeroU16> {
    let (number, unit) = text.trim().split_once('/')?;
    let (_, per_hour) = UNITS.iter().find(|(name, _)| *name == unit)?;
    NonZeroU16::new(number.parse::<u16>().ok()?.checked_mul(*per_hour)?)
}

/// Units and how many of one are in an hour.
const UNITS: [(&str, u16); 3] = [("s", 3600), ("min", 60), ("h", 1)];
const ALLOWED_RATES: &str = "allowed is a whole number of connections per s, min or h, as 2/s, 30/min or 100/h, at most 65535/h";
/// Burst of a limit when nothing is said.
pub const DEFAULT_BURST: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, per_hour, written) in [
            ("2/s", 7200, "2/s"),
            ("30/min", 1800, "30/min"),
            ("100/h", 100, "100/h"),
            ("120/min", 7200, "2/s"),
            ("60/h", 60, "1/min"),
            ("65535/h", 65_535, "65535/h"),
        ] {
            let limit = Limit::read(Some(text), None).unwrap();
            assert_eq!(limit.rate.per_hour(), per_hour, "{text}");
            assert_eq!(limit.rate.to_string(), written);
            assert_eq!(limit.burst.get(), DEFAULT_BURST);
            let stored = Limit::stored(i64::from(per_hour), i64::from(DEFAULT_BURST));
            assert_eq!(stored, Some(limit));
        }
    }

    #[test]
    fn other_rates_say_what_is_allowed() {
        for text in [
            "", "30", "30/m", "0/s", "-1/s", "1.5/s", "19/s", "65536/h", "/s",
        ] {
            match Limit::read(Some(text), Some(5)) {
                Err(Refusal::Usage(message)) => {
                    assert!(message.contains("as 2/s, 30/min or 100/h"), "{message}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(Limit::read(None, Some(5)).is_err());
        assert!(Limit::read(Some("1/s"), Some(0)).is_err());
    }

    #[test]
    fn what_was_never_stored_is_not_taken_back() {
        for (per_hour, burst) in [(0, 1), (1, 0), (65_536, 1), (-1, 1)] {
            assert_eq!(Limit::stored(per_hour, burst), None);
        }
    }
}
