//! All lists and what stands on them: what is to be asked next, and what follows from answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};

use super::{Heard, Ranges, Standing, Step, Sweep, lane::Lane};
use crate::{
    config::{Listings, Zone},
    dnsbl::Family,
    precheck::Fqdn,
};

/// The watch.
#[derive(Clone, Debug)]
pub struct Watch {
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    ranges: Ranges,
    sweep: SignedDuration,
    watch: SignedDuration,
    confirm: SignedDuration,
    /// Who is likely to be listed.
    kept: BTreeSet<IpAddr>,
    notes: Vec<Noted>,
}

/// Whether a list is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It was not asked yet.
    Unknown,
    /// It is.
    Believed,
    /// It is not: it is asked about nobody, and what stands on it stays.
    Aside {
        /// Why.
        why: String,
        /// Since when.
        since: Timestamp,
    },
}

/// What is new about whether a list is to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// It is not any more, and why.
    SetAside(String),
    /// It is again.
    Back,
}

/// What is to be asked; the number is the lane's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What the list says of itself.
    OfItself(usize),
    /// What it says of an address.
    Address(usize, IpAddr),
}

/// What the store is to learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Which list.
    pub zone: Fqdn,
    /// Whom it is about.
    pub address: IpAddr,
    /// What has happened.
    pub step: Step,
    /// What stands then; of what is over, what stood last.
    pub standing: Standing,
    /// When.
    pub at: Timestamp,
}

/// How one family of a list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfZone {
    /// Its name.
    pub zone: Fqdn,
    /// The family.
    pub family: Family,
    /// Whether it is to be believed.
    pub trust: Trust,
    /// Addresses that it names, confirmed.
    pub open: usize,
    /// Those that wait for the second look.
    pub unconfirmed: usize,
    /// Addresses that it is asked about besides the round.
    pub watched: usize,
    /// For how long the most overdue of them has been due.
    pub behind: SignedDuration,
    /// Questions about addresses, since the start.
    pub queries: u64,
    /// Those of them that nobody could answer.
    pub silent: u64,
    /// The round, and how many addresses it has; `None` = there are none of the family to get round.
    pub sweep: Option<(Sweep, u64)>,
}

impl Watch {
    /// From what the store has: standing listings, and how far each round was.
    #[must_use]
    pub fn new(
        config: &Listings,
        ranges: Ranges,
        mut standing: Vec<(Fqdn, IpAddr, Standing)>,
        sweeps: &BTreeMap<Fqdn, Sweep>,
        now: Timestamp,
    ) -> Self {
        let span = |span| SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let mut lanes = Vec::new();
        for zone in &config.zones {
            for family in &zone.families {
                let sweep = sweeps.get(&zone.name).cloned();
                let sweep = sweep.unwrap_or_else(|| Sweep::new(now));
                let sweep = (*family == Family::V4 && ranges.addresses() > 0).then_some(sweep);
                lanes.push(Lane::new(zone.clone(), *family, sweep, now));
            }
        }
        let mut this = Self {
            lanes,
            turn: 0,
            ranges,
            sweep: span(config.sweep),
            watch: span(config.watch),
            confirm: span(config.confirm),
            kept: BTreeSet::new(),
            notes: Vec::new(),
        };
        let confirm = this.confirm;
        for (zone, address, standing) in standing.drain(..) {
            if let Some(lane) = this.lane_of(&zone, address) {
                let lane = &mut this.lanes[lane];
                let second = standing.second_look(confirm);
                lane.agenda
                    .put(address, second.unwrap_or(now), second.is_some());
                lane.standing.insert(address, standing);
            }
        }
        this
    }

    /// Who is likely to be listed, from now on.
    pub fn keep_watch(&mut self, kept: BTreeSet<IpAddr>, now: Timestamp) {
        for lane in &mut self.lanes {
            let ours = |address: &&IpAddr| Family::of(**address) == lane.family;
            for gone in self.kept.difference(&kept).filter(ours) {
                if !lane.standing.contains_key(gone) {
                    lane.agenda.strike(*gone);
                }
            }
            let ours = |address: &&IpAddr| Family::of(**address) == lane.family;
            for new in kept.difference(&self.kept).filter(ours) {
                lane.agenda.put_new(*new, now);
            }
        }
        self.kept = kept;
    }

    /// What is to be asked now, if anything is; each list in turn.
    pub fn next(&mut self, now: Timestamp) -> Option<Ask> {
        let lanes = self.lanes.len();
        for _ in 0..lanes {
            let number = self.turn % lanes;
            self.turn = (number + 1) % lanes;
            let lane = &mut self.lanes[number];
            if lane.of_itself.is_some_and(|at| at <= now) {
                lane.of_itself = None;
                return Some(Ask::OfItself(number));
            }
            if lane.trust != Trust::Believed {
                continue;
            }
            if let Some(address) = lane.next(&self.ranges, self.sweep, now) {
                lane.queries += 1;
                return Some(Ask::Address(number, address));
            }
        }
        None
    }

    /// Which list a lane is of.
    #[must_use]
    pub fn zone(&self, lane: usize) -> Option<(&Zone, Family)> {
        let lane = self.lanes.get(lane)?;
        Some((&lane.zone, lane.family))
    }

    /// The answer to [`Ask::Address`].
    pub fn heard(&mut self, number: usize, address: IpAddr, heard: Heard, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(number) else {
            return;
        };
        let step = Standing::hear(lane.standing.get(&address), &heard, now, self.confirm);
        match &heard {
            Heard::Silent(_) => {
                lane.silent += 1;
                lane.silent_in_a_row += 1;
                if lane.silent_in_a_row >= SILENT_IN_A_ROW && lane.of_itself.is_some() {
                    lane.of_itself = Some(now);
                }
            }
            Heard::Named { .. } | Heard::Absent => {
                lane.silent_in_a_row = 0;
                lane.tries.remove(&address);
            }
        }
        let silent = matches!(heard, Heard::Silent(_));
        match step {
            // Whether it does is for the list to say.
            Step::Opens | Step::Closes => {
                lane.ready.insert(address, (step, heard, now));
                if lane.of_itself.is_some() {
                    lane.of_itself = Some(now);
                }
            }
            Step::Nothing => {}
            Step::Begins | Step::Stays | Step::Forgets | Step::Doubts => {
                lane.ready.remove(&address);
                self.notes.extend(lane.take_step(address, step, heard, now));
            }
        }
        let next = self.next_look(number, address, silent, now);
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.agenda.done(address, next);
        }
    }

    /// What somebody else has heard, who was asked by a person.
    pub fn heard_by_the_way(&mut self, zone: &Fqdn, address: IpAddr, heard: Heard, now: Timestamp) {
        if let Some(number) = self.lane_of(zone, address)
            && self.lanes[number].agenda.begin(address)
        {
            self.lanes[number].queries += 1;
            self.heard(number, address, heard, now);
        }
    }

    /// The answer to [`Ask::OfItself`], which was put at `asked_at`: why the list is not to be believed, if so. What of that is
    /// news.
    pub fn heard_of_itself(
        &mut self,
        number: usize,
        asked_at: Timestamp,
        why_not: Option<String>,
        now: Timestamp,
    ) -> News {
        let Some(lane) = self.lanes.get_mut(number) else {
            return News::None;
        };
        lane.silent_in_a_row = 0;
        let before = std::mem::replace(&mut lane.trust, Trust::Believed);
        let Some(why) = why_not else {
            lane.aside = 0;
            lane.of_itself = Some(now + TRUSTED_FOR);
            let ready = std::mem::take(&mut lane.ready);
            for (address, (step, heard, at)) in ready {
                if at > asked_at {
                    lane.of_itself = Some(now);
                    lane.ready.insert(address, (step, heard, at));
                    continue;
                }
                self.notes.extend(lane.take_step(address, step, heard, at));
                let kept = self.kept.contains(&address) || lane.standing.contains_key(&address);
                match kept {
                    true => lane.agenda.put(address, now + self.watch, false),
                    false => lane.agenda.strike(address),
                }
            }
            return match before {
                Trust::Aside { .. } => News::Back,
                Trust::Unknown | Trust::Believed => News::None,
            };
        };
        lane.aside += 1;
        let pause = ASIDE_FIRST * 2_i32.saturating_pow(lane.aside.min(10) - 1);
        lane.of_itself = Some(now + pause.min(TRUSTED_FOR));
        // They are looked at again once it is to be believed.
        lane.ready.clear();
        let (since, news) = match before {
            Trust::Aside { since, .. } => (since, News::None),
            Trust::Unknown | Trust::Believed => (now, News::SetAside(why.clone())),
        };
        lane.trust = Trust::Aside { why, since };
        news
    }

    /// What the store is to learn since the last time.
    pub fn notes(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.notes)
    }

    /// Back to where they were: the store could not take them.
    pub fn put_back(&mut self, mut notes: Vec<Noted>) {
        notes.append(&mut self.notes);
        self.notes = notes;
    }

    /// Whether the store is to learn something at once.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.notes.iter().any(|noted| noted.step != Step::Stays)
    }

    /// How far each round is.
    #[must_use]
    pub fn sweeps(&self) -> BTreeMap<Fqdn, Sweep> {
        let sweeps = self.lanes.iter();
        let sweeps = sweeps.filter_map(|lane| Some((lane.zone.name.clone(), lane.sweep.clone()?)));
        sweeps.collect()
    }

    /// How each list is.
    #[must_use]
    pub fn of_zones(&self, now: Timestamp) -> Vec<OfZone> {
        let of_lane = |lane: &Lane| {
            let opened = lane.standing.values().filter(|it| it.opened_at.is_some());
            let open = opened.count();
            let behind = lane.agenda.first_due().map(|at| now.duration_since(at));
            OfZone {
                zone: lane.zone.name.clone(),
                family: lane.family,
                trust: lane.trust.clone(),
                open,
                unconfirmed: lane.standing.len() - open,
                watched: lane.agenda.len(),
                behind: behind.unwrap_or_default().max(SignedDuration::ZERO),
                queries: lane.queries,
                silent: lane.silent,
                sweep: lane.sweep.clone().map(|it| (it, self.ranges.addresses())),
            }
        };
        self.lanes.iter().map(of_lane).collect()
    }

    fn lane_of(&self, zone: &Fqdn, address: IpAddr) -> Option<usize> {
        let family = Family::of(address);
        let mut lanes = self.lanes.iter();
        lanes.position(|lane| lane.zone.name == *zone && lane.family == family)
    }

    fn next_look(
        &mut self,
        number: usize,
        address: IpAddr,
        silent: bool,
        now: Timestamp,
    ) -> Option<(Timestamp, bool)> {
        let lane = self.lanes.get_mut(number)?;
        let retry = now + RETRY.min(self.watch);
        let standing = lane.standing.get(&address);
        let second = standing.and_then(|it| it.second_look(self.confirm));
        if let Some(second) = second {
            return Some((if second > now { second } else { retry }, true));
        }
        let watched = standing.is_some() || self.kept.contains(&address);
        match (silent, watched) {
            (false, true) => Some((now + self.watch, false)),
            (false, false) => None,
            (true, true) => Some((retry, false)),
            // Only the round has come by: it comes again.
            (true, false) => {
                let tries = lane.tries.entry(address).or_default();
                *tries += 1;
                if *tries < TRIES {
                    return Some((retry, false));
                }
                lane.tries.remove(&address);
                None
            }
        }
    }
}

/// How long a list is believed that nobody doubts.
const TRUSTED_FOR: SignedDuration = SignedDuration::from_mins(5);
/// How soon one that is set aside is asked of itself again; twice as long after each time.
const ASIDE_FIRST: SignedDuration = SignedDuration::from_secs(10);
/// So many questions without an answer, and the list is asked of itself.
const SILENT_IN_A_ROW: u32 = 8;
/// How soon somebody is asked about again about whom nobody could tell.
const RETRY: SignedDuration = SignedDuration::from_secs(30);
/// How often somebody is asked about in one round at most.
const TRIES: u32 = 3;
