//! When which report is due, and what is known to have been sent. Pure.
//!
//! A day's reports are spread over most of the next one, each at a moment that follows from the day, the domain and the
//! relay: a restart agrees, and several relays do not send all at once. So it is enough to keep up to which of them all
//! are done. What could not be delivered is kept by itself, and tried again with growing pauses for a day (RFC 8460
//! section 5.5).

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::report::end_of;

/// What is kept on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Of each day, the last report of those that are done.
    reached: BTreeMap<Date, Turn>,
    /// What is to be tried again.
    pub(super) pending: Vec<Pending>,
}

/// A report's place among those of a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    /// Seconds from the end of the day on.
    after_s: u32,
    pub(super) domain: String,
}

/// A delivery that has not come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) day: Date,
    pub(super) domain: String,
    /// The HTTPS endpoint; `None` = where reports are wanted could not be found out.
    pub(super) to: Option<String>,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next.
    due: Timestamp,
}

/// The turns of one day, in order.
pub(super) fn turns(day: Date, domains: &BTreeSet<String>, relay: &str) -> Vec<Turn> {
    let turn = |domain: &String| Turn {
        after_s: after_s(day, domain, relay),
        domain: domain.clone(),
    };
    let mut turns: Vec<Turn> = domains.iter().map(turn).collect();
    turns.sort_unstable();
    turns
}

/// Days of which reports may still be due.
pub(super) fn is_reported(day: Date, now: Timestamp) -> bool {
    let age = now.duration_since(end_of(day));
    (SignedDuration::ZERO..REPORTED_FOR).contains(&age)
}

impl Progress {
    /// The turns of `day` that have come and are not done, in order.
    pub(super) fn due<'a>(
        &self,
        day: Date,
        turns: &'a [Turn],
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Turn> {
        let reached = self.reached.get(&day);
        let done = turns.partition_point(|turn| reached.is_some_and(|reached| turn <= reached));
        let age = now.duration_since(end_of(day));
        let rest = turns.get(done..).unwrap_or_default();
        rest.iter()
            .take_while(move |turn| SignedDuration::from_secs(turn.after_s.into()) <= age)
    }

    /// All turns up to this one are done.
    pub(super) fn reach(&mut self, day: Date, turn: &Turn) {
        self.reached.insert(day, turn.clone());
    }

    /// Keeps something for another try; whether there was room.
    pub(super) fn add(
        &mut self,
        day: Date,
        domain: &str,
        to: Option<String>,
        due: Timestamp,
    ) -> bool {
        let room = self.pending.len() < PENDING_MAX;
        if room {
            self.pending.push(Pending {
                day,
                domain: domain.to_owned(),
                to,
                attempts: 0,
                due,
            });
        }
        room
    }

    /// Takes out what is due, at most `limit`.
    pub(super) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Pending> {
        let mut left = limit;
        let due = |pending: &mut Pending| {
            let due = pending.due <= now && left > 0;
            left -= usize::from(due);
            due
        };
        self.pending.extract_if(.., due).collect()
    }

    /// Puts back what has failed, unless it was tried for long enough; whether it will be tried again.
    pub(super) fn put_back(&mut self, mut pending: Pending, now: Timestamp) -> bool {
        let Some(pause) = PAUSES_MIN.get(pending.attempts as usize) else {
            return false;
        };
        pending.attempts += 1;
        pending.due = now + SignedDuration::from_mins(*pause);
        self.pending.push(pending);
        true
    }

    /// Forgets days that nobody will ask about again.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let today = now.to_zoned(TimeZone::UTC).date();
        let oldest = today.saturating_sub(jiff::Span::new().days(KEPT_DAYS));
        self.reached.retain(|day, _| *day >= oldest);
        self.pending.retain(|pending| pending.day >= oldest);
    }
}

fn after_s(day: Date, domain: &str, relay: &str) -> u32 {
    let digest = Sha256::digest(format!("{day} {domain} {relay}"));
    let mut number = [0; 4];
    for (octet, of_digest) in number.iter_mut().zip(digest) {
        *octet = of_digest;
    }
    FIRST_AFTER_S + u32::from_be_bytes(number) % SPREAD_S
}

/// What was counted in the last minute is on disk by then, and clocks may differ.
const FIRST_AFTER_S: u32 = 15 * 60;
const SPREAD_S: u32 = 20 * 3600;
/// A relay that was down for a day still has the results.
const REPORTED_FOR: SignedDuration = SignedDuration::from_hours(48);
/// What results and pending deliveries outlive that by.
const KEPT_DAYS: i64 = 4;
/// A quarter of an hour less than a day.
const PAUSES_MIN: [i64; 7] = [15, 30, 60, 120, 240, 480, 480];
/// Whoever has more endpoints that fail than this loses reports, not the others their order.
const PENDING_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = Date::constant(2026, 11, 21);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn domains(count: usize) -> BTreeSet<String> {
        (0..count).map(|n| format!("d{n}.example")).collect()
    }

    #[test]
    fn reports_are_spread_and_each_relay_has_its_own_order() {
        let turns_of = |relay| turns(DAY, &domains(1000), relay);
        let (one, two) = (turns_of("relay-1"), turns_of("relay-2"));
        assert_eq!(one, turns_of("relay-1"));
        assert_ne!(one, two);
        let in_quarter = |quarter: u32| {
            let start = FIRST_AFTER_S + quarter * SPREAD_S / 4;
            let range = start..start + SPREAD_S / 4;
            one.iter()
                .filter(|turn| range.contains(&turn.after_s))
                .count()
        };
        assert!((0..4).all(|quarter| in_quarter(quarter) > 200));
        let next = turns(DAY.tomorrow().unwrap(), &domains(1000), "relay-1");
        assert_ne!(one[0].domain, next[0].domain);
    }

    #[test]
    fn each_is_due_once_whatever_happens_in_between() {
        let turns = turns(DAY, &domains(100), "relay-1");
        let mut progress = Progress::default();
        assert!(!is_reported(DAY, at("2026-11-21T23:59:59Z")));
        assert_eq!(
            progress
                .due(DAY, &turns, at("2026-11-22T00:14:59Z"))
                .count(),
            0
        );
        let mut sent = Vec::new();
        for hour in 0..=23 {
            let now = at(&format!("2026-11-22T{hour:02}:30:00Z"));
            assert!(is_reported(DAY, now));
            let due: Vec<Turn> = progress.due(DAY, &turns, now).cloned().collect();
            for turn in due {
                progress.reach(DAY, &turn);
                sent.push(turn.domain);
                // A restart.
                let kept = serde_json::to_string(&progress).unwrap();
                progress = serde_json::from_str(&kept).unwrap();
            }
        }
        assert_eq!(sent.len(), 100);
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), 100);
        // A day that was missed is due at once, and one that is older no more.
        let missed = Progress::default();
        assert_eq!(
            missed.due(DAY, &turns, at("2026-11-23T00:00:00Z")).count(),
            100
        );
        assert!(is_reported(DAY, at("2026-11-23T23:59:59Z")));
        assert!(!is_reported(DAY, at("2026-11-24T00:00:00Z")));
        progress.forget(at("2026-11-26T00:00:00Z"));
        assert_eq!(progress, Progress::default());
    }

    #[test]
    fn what_fails_is_tried_for_a_day() {
        let mut progress = Progress::default();
        let mut now = at("2026-11-22T03:00:00Z");
        let first = now;
        assert!(progress.add(DAY, "a.example", Some("https://a.example/".into()), now));
        let mut tries = 0;
        loop {
            let due = progress.take_due(now, 16);
            let Some(pending) = due.into_iter().next() else {
                now += SignedDuration::from_mins(1);
                continue;
            };
            tries += 1;
            if !progress.put_back(pending, now) {
                break;
            }
        }
        let spent = now.duration_since(first);
        assert_eq!(tries, PAUSES_MIN.len() + 1);
        assert!((SignedDuration::from_hours(22)..SignedDuration::from_hours(24)).contains(&spent));
        assert!(progress.pending.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut progress = Progress::default();
        let now = at("2026-11-22T03:00:00Z");
        for number in 0..PENDING_MAX {
            assert!(progress.add(DAY, &number.to_string(), None, now));
        }
        assert!(!progress.add(DAY, "one more", None, now));
        assert_eq!(progress.take_due(now, 16).len(), 16);
        assert_eq!(progress.pending.len(), PENDING_MAX - 16);
    }
}
