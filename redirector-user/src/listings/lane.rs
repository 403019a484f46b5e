//! One family of one list: whether it is to be believed, what stands on it, and who it is asked about next.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};

use super::{Agenda, Heard, Noted, Ranges, Standing, Step, Sweep, Trust};
use crate::{config::Zone, dnsbl::Family};

/// One family of one list.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) zone: Zone,
    pub(super) family: Family,
    pub(super) trust: Trust,
    /// When it is to be asked of itself again; `None` = it is being asked.
    pub(super) of_itself: Option<Timestamp>,
    /// How often it was not to be believed, one after the other.
    pub(super) aside: u32,
    pub(super) agenda: Agenda,
    /// Turns that it had.
    pub(super) turns: u32,
    pub(super) sweep: Option<Sweep>,
    pub(super) standing: HashMap<IpAddr, Standing>,
    /// What would open or close, were the list to be believed still.
    pub(super) ready: BTreeMap<IpAddr, (Step, Heard, Timestamp)>,
    /// How often nobody could tell, for those who are on no agenda.
    pub(super) tries: HashMap<IpAddr, u32>,
    pub(super) queries: u64,
    pub(super) silent: u64,
    pub(super) silent_in_a_row: u32,
}

impl Lane {
    pub(super) fn new(zone: Zone, family: Family, sweep: Option<Sweep>, now: Timestamp) -> Self {
        Self {
            zone,
            family,
            trust: Trust::Unknown,
            of_itself: Some(now),
            aside: 0,
            agenda: Agenda::default(),
            turns: 0,
            sweep,
            standing: HashMap::new(),
            ready: BTreeMap::new(),
            tries: HashMap::new(),
            queries: 0,
            silent: 0,
            silent_in_a_row: 0,
        }
    }

    /// Of four turns one is the round's first, however many others wait.
    pub(super) fn next(
        &mut self,
        ranges: &Ranges,
        period: SignedDuration,
        now: Timestamp,
    ) -> Option<IpAddr> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(4) {
            let address = self.next_of_sweep(ranges, period, now);
            return address.or_else(|| self.agenda.take(now));
        }
        let address = self.agenda.take(now);
        address.or_else(|| self.next_of_sweep(ranges, period, now))
    }

    fn next_of_sweep(
        &mut self,
        ranges: &Ranges,
        period: SignedDuration,
        now: Timestamp,
    ) -> Option<IpAddr> {
        let sweep = self.sweep.as_mut()?;
        let address = IpAddr::V4(sweep.take(ranges, period, now)?);
        // Who is being asked about is not asked about twice.
        self.agenda.begin(address).then_some(address)
    }

    pub(super) fn take_step(
        &mut self,
        address: IpAddr,
        step: Step,
        heard: Heard,
        at: Timestamp,
    ) -> Option<Noted> {
        let before = self.standing.get(&address).cloned();
        let (codes, words) = match heard {
            Heard::Named { codes, words } => (codes, words),
            Heard::Absent | Heard::Silent(_) => {
                let before = before.as_ref()?;
                (before.codes.clone(), before.words.clone())
            }
        };
        let standing = match (before, step) {
            (_, Step::Nothing) => return None,
            (None, _) => Standing {
                first_at: at,
                last_at: at,
                opened_at: None,
                absent_at: None,
                codes,
                words,
            },
            (Some(before), Step::Begins | Step::Stays) => Standing {
                last_at: at,
                absent_at: None,
                codes,
                words,
                ..before
            },
            (Some(before), Step::Opens) => Standing {
                last_at: at,
                opened_at: Some(at),
                codes,
                words,
                ..before
            },
            (Some(before), Step::Doubts) => Standing {
                absent_at: Some(at),
                ..before
            },
            (Some(before), Step::Forgets | Step::Closes) => before,
        };
        match step {
            Step::Forgets | Step::Closes => drop(self.standing.remove(&address)),
            Step::Nothing | Step::Begins | Step::Stays | Step::Opens | Step::Doubts => {
                self.standing.insert(address, standing.clone());
            }
        }
        Some(Noted {
            zone: self.zone.name.clone(),
            address,
            step,
            standing,
            at,
        })
    }
}
