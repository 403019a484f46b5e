//! All that is known of what one customer does.

use std::collections::BTreeMap;

use super::answers::Answered;
use super::gcra::{Cell, Rate};
use super::hash;
use super::identity::Identity;
use super::limits::{Distinct, Exceeded, Limits, Measure, Name, Period};
use super::tally::{ALL, Count, Counts, Tally};
use super::window::Window;
use crate::Time;

/// One customer. Limits are asked first ([`Self::room`], [`Self::room_for_another`]), and what then happens is told, so
/// that what was refused elsewhere costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    pub(super) usage: Usage<ALL>,
    pub(super) distinct: [[Window; 2]; 2],
    pub(super) sites: BTreeMap<Identity, Usage<OF_A_SITE>>,
}

/// What is used up, and what the last hour had. A site inside of a shared host has this and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage<const KINDS: usize> {
    pub(super) cells: [[Cell; 3]; 4],
    pub(super) tally: Tally<KINDS>,
    pub(super) last: Time,
}

/// What is told of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Of the last hour.
    pub counts: Counts,
    /// Different addresses that were written to in the last hour.
    pub distinct_recipients: u64,
    /// Different reverse-paths of the last hour.
    pub distinct_senders: u64,
    /// How much of each limit is used up.
    pub used: Vec<(Name, u64, u64)>,
    /// Its sites, by name.
    pub sites: Vec<(Identity, Counts)>,
}

impl Default for Customer {
    fn default() -> Self {
        let windows = || Distinct::PERIODS.map(Window::new);
        Self {
            usage: Usage::default(),
            distinct: [windows(), windows()],
            sites: BTreeMap::new(),
        }
    }
}

impl Customer {
    /// The limit that so many more would exceed.
    pub fn room(
        &self,
        measure: Measure,
        units: u64,
        limits: &Limits,
        now: Time,
    ) -> Result<(), Exceeded> {
        self.usage.room(measure, units, limits, now)
    }

    /// The limit that one more would exceed, whoever it is: a sketch cannot tell for sure who is in it.
    pub fn room_for_another(
        &self,
        what: Distinct,
        limits: &Limits,
        now: Time,
    ) -> Result<(), Exceeded> {
        for (period, limit) in limits.distinct(what) {
            if let Some(window) = self.window(what, period)
                && window.estimate(now) >= limit.get()
            {
                let (name, wait) = (Name::Distinct(what, period), window.next_turn(now));
                return Err(Exceeded { name, limit, wait });
            }
        }
        Ok(())
    }

    /// So many were let in, asked for, or received.
    pub fn used(&mut self, measure: Measure, units: u64, limits: &Limits, now: Time) {
        self.usage.used(measure, units, limits, now);
    }

    /// The content of a message was not asked for after all.
    pub fn message_never_came(&mut self, limits: &Limits, now: Time) {
        for rate in limits.rates(Measure::Messages) {
            if let Some(cell) = self.usage.cell_mut(Measure::Messages, rate) {
                cell.give_back(rate, 1);
            }
        }
        self.usage.tally.take_back(Count::Messages, now);
    }

    /// An address was written to, or as; in any case of letters it is the same.
    pub fn saw(&mut self, what: Distinct, address: &str, now: Time) {
        let lower: Vec<u8> = address.bytes().map(|it| it.to_ascii_lowercase()).collect();
        let hash = hash::of(&lower);
        for window in self.distinct.get_mut(what as usize).into_iter().flatten() {
            window.insert(hash, now);
        }
    }

    /// A server has answered about a recipient, or about a message.
    pub fn answered(&mut self, answer: Answered, now: Time) {
        let count = match answer {
            Answered::Taken => Count::Taken,
            Answered::Unknown => Count::Unknown,
            Answered::ByPolicy => Count::ByPolicy,
            Answered::Otherwise => Count::Otherwise,
        };
        self.usage.tally.add(count, 1, now);
    }

    /// A message was found to be spam.
    pub fn sent_spam(&mut self, now: Time) {
        self.usage.tally.add(Count::Spam, 1, now);
    }

    /// It was told that it has reached a limit.
    pub fn was_limited(&mut self, now: Time) {
        self.usage.tally.add(Count::Limited, 1, now);
    }

    /// What it did in the last hour.
    #[must_use]
    pub fn counts(&self, now: Time) -> Counts {
        self.usage.tally.sum(now)
    }

    /// Different ones of the last period.
    #[must_use]
    pub fn distinct(&self, what: Distinct, period: Period, now: Time) -> u64 {
        self.window(what, period).map_or(0, |it| it.estimate(now))
    }

    /// The limit of a site that so many more would exceed.
    pub fn site_room(
        &self,
        site: &Identity,
        measure: Measure,
        units: u64,
        limits: &Limits,
        now: Time,
    ) -> Result<(), Exceeded> {
        let usage = self.sites.get(site);
        usage.map_or(Ok(()), |usage| usage.room(measure, units, limits, now))
    }

    /// The same as [`Self::used`] of a site. Of more than [`SITES_MAX`] the one that was silent for longest is forgotten.
    pub fn site_used(
        &mut self,
        site: &Identity,
        measure: Measure,
        units: u64,
        limits: &Limits,
        now: Time,
    ) {
        if !self.sites.contains_key(site) && self.sites.len() >= SITES_MAX {
            let silent = self.sites.iter().min_by_key(|(_, usage)| usage.last);
            if let Some(silent) = silent.map(|(name, _)| name.clone()) {
                self.sites.remove(&silent);
            }
        }
        let usage = self.sites.entry(site.clone()).or_default();
        usage.last = now;
        usage.used(measure, units, limits, now);
    }

    /// What is told of it.
    #[must_use]
    pub fn figures(&self, limits: &Limits, now: Time) -> Figures {
        let rates = Measure::ALL.into_iter().flat_map(|measure| {
            let cells = limits.rates(measure);
            cells.filter_map(move |rate| {
                let cell = self.usage.cell(measure, rate)?;
                let name = Name::Rate(measure, rate.per);
                Some((name, cell.used(rate, now), rate.count.get()))
            })
        });
        let distinct = Distinct::ALL.into_iter().flat_map(|what| {
            limits.distinct(what).map(move |(period, limit)| {
                let used = self.distinct(what, period, now);
                (Name::Distinct(what, period), used, limit.get())
            })
        });
        Figures {
            counts: self.counts(now),
            distinct_recipients: self.distinct(Distinct::Recipients, Period::Hour, now),
            distinct_senders: self.distinct(Distinct::Senders, Period::Hour, now),
            used: rates.chain(distinct).collect(),
            sites: self
                .sites
                .iter()
                .map(|(name, usage)| (name.clone(), usage.tally.sum(now)))
                .collect(),
        }
    }

    /// Octets that it takes; of maps, of their entries.
    #[must_use]
    pub fn octets(&self) -> usize {
        let windows = self.distinct.iter().flatten().map(Window::heap_octets);
        let sites = self.sites.keys().map(|name| name.as_str().len());
        size_of::<Self>()
            + windows.sum::<usize>()
            + sites.sum::<usize>()
            + self.sites.len() * size_of::<(Identity, Usage<OF_A_SITE>)>()
    }

    fn window(&self, what: Distinct, period: Period) -> Option<&Window> {
        let place = Distinct::PERIODS.iter().position(|it| *it == period)?;
        self.distinct.get(what as usize)?.get(place)
    }
}

impl<const KINDS: usize> Usage<KINDS> {
    fn room(
        &self,
        measure: Measure,
        units: u64,
        limits: &Limits,
        now: Time,
    ) -> Result<(), Exceeded> {
        // The longest wait: what is told must be true.
        let exceeded = limits.rates(measure).filter_map(|rate| {
            let wait = self.cell(measure, rate)?.wait(rate, units, now)?;
            Some(Exceeded {
                name: Name::Rate(measure, rate.per),
                limit: rate.count,
                wait,
            })
        });
        exceeded.max_by_key(|it| it.wait).map_or(Ok(()), Err)
    }

    fn used(&mut self, measure: Measure, units: u64, limits: &Limits, now: Time) {
        for rate in limits.rates(measure) {
            if let Some(cell) = self.cell_mut(measure, rate) {
                cell.charge(rate, units, now);
            }
        }
        match measure {
            Measure::Connections => self.tally.add(Count::Connections, units, now),
            Measure::Messages => self.tally.add(Count::Messages, units, now),
            Measure::Recipients => self.tally.add(Count::Recipients, units, now),
            Measure::Octets => self.tally.add_octets(units, now),
        }
    }

    fn cell(&self, measure: Measure, rate: Rate) -> Option<&Cell> {
        self.cells.get(measure as usize)?.get(rate.per as usize)
    }

    fn cell_mut(&mut self, measure: Measure, rate: Rate) -> Option<&mut Cell> {
        let cells = self.cells.get_mut(measure as usize)?;
        cells.get_mut(rate.per as usize)
    }
}

/// Messages and recipients.
pub(super) const OF_A_SITE: usize = 2;
/// Sites of one customer that are remembered.
pub(super) const SITES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use core::num::NonZeroU64;
    use core::time::Duration;

    use super::*;

    const START: Time = Duration::from_secs(1_790_000_400);

    fn limits(named: &[(Name, u64)]) -> Limits {
        let mut limits = Limits::default();
        for &(name, limit) in named {
            limits.set(name, NonZeroU64::new(limit));
        }
        limits
    }

    #[test]
    fn the_limit_that_keeps_one_out_for_longest_is_named() {
        let minute = Name::Rate(Measure::Messages, Period::Minute);
        let hour = Name::Rate(Measure::Messages, Period::Hour);
        let limits = limits(&[(minute, 5), (hour, 8)]);
        let mut customer = Customer::default();
        let mut send = |now| {
            let room = customer.room(Measure::Messages, 1, &limits, now);
            if room.is_ok() {
                customer.used(Measure::Messages, 1, &limits, now);
            }
            room.map_err(|exceeded| exceeded.name)
        };
        assert_eq!((0..5).try_for_each(|_| send(START)), Ok(()));
        assert_eq!(send(START), Err(minute));
        let later = START + Duration::from_secs(60);
        assert_eq!((0..3).try_for_each(|_| send(later)), Ok(()));
        assert_eq!(send(later), Err(hour));
        let figures = customer.figures(&limits, later);
        assert_eq!(figures.used, [(minute, 3, 5), (hour, 8, 8)]);
        assert_eq!(figures.counts.messages, 8);
    }

    #[test]
    fn different_addresses_are_counted_once_in_any_case_of_letters() {
        let name = Name::Distinct(Distinct::Recipients, Period::Hour);
        let limits = limits(&[(name, 2)]);
        let mut customer = Customer::default();
        for address in ["<a@x.example>", "<A@X.example>", "<b@x.example>"] {
            let room = customer.room_for_another(Distinct::Recipients, &limits, START);
            assert_eq!(room, Ok(()));
            customer.saw(Distinct::Recipients, address, START);
        }
        let full = customer.room_for_another(Distinct::Recipients, &limits, START);
        assert_eq!(full.unwrap_err().name, name);
        assert_eq!(
            customer.room_for_another(Distinct::Senders, &limits, START),
            Ok(())
        );
        let wait = full.unwrap_err().wait;
        assert!(wait <= Duration::from_secs(1200));
        let later = START + Duration::from_secs(3600);
        assert_eq!(
            customer.room_for_another(Distinct::Recipients, &limits, later),
            Ok(())
        );
    }

    #[test]
    fn sites_have_limits_of_their_own_and_are_bounded() {
        let name = Name::Rate(Measure::Messages, Period::Hour);
        let limits = limits(&[(name, 1)]);
        let mut customer = Customer::default();
        let site = |number: usize| Identity::clean(&format!("site-{number}")).unwrap();
        customer.site_used(&site(0), Measure::Messages, 1, &limits, START);
        let room = |customer: &Customer, number| {
            let (site, now) = (site(number), START);
            customer.site_room(&site, Measure::Messages, 1, &limits, now)
        };
        assert_eq!(room(&customer, 0).unwrap_err().name, name);
        assert_eq!(room(&customer, 1), Ok(()));
        assert_eq!(customer.room(Measure::Messages, 1, &limits, START), Ok(()));
        for number in 1..1000 {
            let now = START + Duration::from_secs(number as u64);
            customer.site_used(&site(number), Measure::Messages, 1, &limits, now);
        }
        assert_eq!(customer.sites.len(), SITES_MAX);
        assert!(customer.sites.contains_key(&site(999)));
    }
}
