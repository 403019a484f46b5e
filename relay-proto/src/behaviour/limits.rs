//! What a customer may do, and the one limit that it has reached.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use super::gcra::Rate;

/// The length of time that a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

/// What is counted one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Connections that were served.
    Connections,
    /// Messages whose content was asked for.
    Messages,
    /// Recipients that were taken.
    Recipients,
    /// Octets of contents that were received whole.
    Octets,
}

/// What is counted once for each that is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distinct {
    /// Addresses written to.
    Recipients,
    /// Reverse-paths.
    Senders,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Of what is counted one by one.
    Rate(Measure, Period),
    /// Of what is counted once for each.
    Distinct(Distinct, Period),
}

/// What one customer may do. Nothing is limited by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    rates: [[Option<NonZeroU64>; 3]; 4],
    distinct: [[Option<NonZeroU64>; 2]; 2],
}

/// A limit that has been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub name: Name,
    /// What it allows.
    pub limit: NonZeroU64,
    /// After what time the same may be tried again.
    pub wait: Duration,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long it is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        })
    }

    pub(super) const fn nanoseconds(self) -> u64 {
        self.duration().as_secs() * 1_000_000_000
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// With its article.
    const fn one(self) -> &'static str {
        match self {
            Self::Minute => "a minute",
            Self::Hour => "an hour",
            Self::Day => "a day",
        }
    }
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Connections,
        Self::Messages,
        Self::Recipients,
        Self::Octets,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Octets => "octets",
        }
    }
}

impl Distinct {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recipients, Self::Senders];
    /// The periods that there are windows of.
    pub const PERIODS: [Period; 2] = [Period::Hour, Period::Day];

    const fn word(self) -> &'static str {
        match self {
            Self::Recipients => "distinct_recipients",
            Self::Senders => "distinct_senders",
        }
    }
}

impl Name {
    /// All of them, in the order of the configuration's documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        let rates = Measure::ALL
            .into_iter()
            .flat_map(|measure| Period::ALL.map(|period| Self::Rate(measure, period)));
        let distinct = Distinct::ALL
            .into_iter()
            .flat_map(|what| Distinct::PERIODS.map(|period| Self::Distinct(what, period)));
        rates.chain(distinct)
    }

    fn does(self) -> (&'static str, &'static str, Period) {
        match self {
            Self::Rate(Measure::Connections, period) => ("made", "connections", period),
            Self::Rate(Measure::Messages, period) => ("sent", "messages", period),
            Self::Rate(Measure::Recipients, period) => ("wrote to", "recipients", period),
            Self::Rate(Measure::Octets, period) => ("sent", "octets", period),
            Self::Distinct(Distinct::Recipients, period) => {
                ("wrote to", "different recipients", period)
            }
            Self::Distinct(Distinct::Senders, period) => ("sent as", "different senders", period),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(measure, period) => write!(f, "{}_per_{}", measure.word(), period.word()),
            Self::Distinct(what, period) => write!(f, "{}_per_{}", what.word(), period.word()),
        }
    }
}

impl Limits {
    /// Sets one; `None` = it does not bound anything. A name without a window (distinct ones of a minute) has none.
    pub fn set(&mut self, name: Name, limit: Option<NonZeroU64>) {
        let place = match name {
            Name::Rate(measure, period) => {
                let periods = self.rates.get_mut(measure as usize);
                periods.and_then(|periods| periods.get_mut(period as usize))
            }
            Name::Distinct(what, period) => {
                let periods = self.distinct.get_mut(what as usize);
                Distinct::PERIODS
                    .iter()
                    .position(|it| *it == period)
                    .and_then(|place| periods.and_then(|periods| periods.get_mut(place)))
            }
        };
        if let Some(place) = place {
            *place = limit;
        }
    }

    /// The rates of one measure.
    pub(super) fn rates(&self, measure: Measure) -> impl Iterator<Item = Rate> {
        let counts = self.rates.get(measure as usize).copied();
        let counts = counts.unwrap_or_default();
        let rates = core::iter::zip(Period::ALL, counts);
        rates.filter_map(|(per, count)| count.map(|count| Rate { count, per }))
    }

    /// How many different ones there may be.
    pub(super) fn distinct(&self, what: Distinct) -> impl Iterator<Item = (Period, NonZeroU64)> {
        let counts = self.distinct.get(what as usize).copied();
        let counts = counts.unwrap_or_default();
        core::iter::zip(Distinct::PERIODS, counts)
            .filter_map(|(period, count)| count.map(|count| (period, count)))
    }
}

/// `sent more than 200 messages in an hour (limit messages_per_hour)`.
impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (did, what, period) = self.name.does();
        let (limit, one) = (self.limit, period.one());
        write!(
            f,
            "{did} more than {limit} {what} in {one} (limit {})",
            self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_itself() {
        let exceeded = |name| {
            let limit = NonZeroU64::new(200).unwrap();
            let wait = Duration::from_secs(18);
            Exceeded { name, limit, wait }.to_string()
        };
        let messages = Name::Rate(Measure::Messages, Period::Hour);
        assert_eq!(
            exceeded(messages),
            "sent more than 200 messages in an hour (limit messages_per_hour)"
        );
        assert_eq!(
            exceeded(Name::Distinct(Distinct::Recipients, Period::Day)),
            "wrote to more than 200 different recipients in a day (limit distinct_recipients_per_day)"
        );
    }

    #[test]
    fn each_limit_has_a_place_of_its_own() {
        let mut limits = Limits::default();
        for (number, name) in (1..).zip(Name::all()) {
            limits.set(name, NonZeroU64::new(number));
        }
        let rates = Measure::ALL.map(|measure| limits.rates(measure).count());
        assert_eq!(rates, [3; 4]);
        let mut counts: Vec<u64> = Measure::ALL
            .into_iter()
            .flat_map(|measure| limits.rates(measure).map(|rate| rate.count.get()))
            .chain(
                Distinct::ALL
                    .into_iter()
                    .flat_map(|what| limits.distinct(what).map(|(_, count)| count.get())),
            )
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=16).collect::<Vec<u64>>());
        let mut names: Vec<String> = Name::all().map(|name| name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 16);
    }
}
