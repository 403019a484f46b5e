//! When a certificate is renewed, and when it is tried again. Pure.
//!
//! Renewal is due at two thirds of a certificate's life, or inside of the window that its authority suggests (RFC 9773).
//! Where exactly follows from the certificate itself ([`Place`]): the certificates of many relays are not renewed at the
//! same moment, and a restart agrees without anything having been written.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::tls::Facts;

/// When the authority would like a certificate to be renewed (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// A certificate's own place inside of any span, in parts of 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(certificate).into();
        let [first, second, ..] = digest;
        Self(u16::from_be_bytes([first, second]))
    }

    fn in_span(self, span: SignedDuration) -> SignedDuration {
        let share = i128::from(self.0) * span.as_nanos() / 65_536;
        SignedDuration::from_nanos_i128(share)
    }
}

/// When a certificate with these dates is to be renewed. The authority's wish counts, but never so late that the last
/// tenth of its life would have begun, or so soon that one renewal would follow on the other.
pub(crate) fn due(facts: &Facts, window: Option<Window>, place: Place) -> Timestamp {
    let life = facts.not_after.duration_since(facts.not_before);
    let chosen = match window {
        Some(Window { start, end }) if start < end => {
            after(start, place.in_span(end.duration_since(start)))
        }
        Some(_) | None => after(facts.not_before, life * 2 / 3 + place.in_span(life / 30)),
    };
    let (soonest, latest) = (
        after(facts.not_before, life / 30),
        after(facts.not_before, life * 9 / 10),
    );
    chosen.min(latest).max(soonest)
}

/// How long to wait after so many failures in a row. `ordered` tells whether the authority has judged anything: usual
/// authorities allow five judgements that fail in an hour. `chance` is one in 65536 parts, so that many relays that failed
/// together do not come back together.
pub(crate) fn pause(failures: u32, ordered: bool, chance: u16) -> Duration {
    let first = if ordered { FIRST } else { FIRST_UNHEARD };
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LONGEST);
    pause + pause / 4 * u32::from(chance) / 65_536
}

fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.saturating_add(span).unwrap_or(Timestamp::MAX)
}

const FIRST: Duration = Duration::from_secs(15 * 60);
/// The authority was not reached: it cost nobody anything.
const FIRST_UNHEARD: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ninety_days() -> Facts {
        Facts {
            names: Vec::new(),
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2026-04-01T00:00:00Z"),
        }
    }

    #[test]
    fn renewal_is_due_after_two_thirds_of_a_life() {
        let due = |place| due(&ninety_days(), None, Place(place)).to_string();
        assert_eq!(due(0), "2026-03-02T00:00:00Z");
        assert_eq!(due(0x8000), "2026-03-03T12:00:00Z");
        assert!(due(u16::MAX).starts_with("2026-03-04T23:59:"));
    }

    #[test]
    fn the_authority_may_ask_for_it_sooner_and_within_bounds_later() {
        let due = |start: &str, end: &str| {
            let window = Window {
                start: at(start),
                end: at(end),
            };
            due(&ninety_days(), Some(window), Place(0x8000)).to_string()
        };
        let sooner = due("2026-01-10T00:00:00Z", "2026-01-12T00:00:00Z");
        assert_eq!(sooner, "2026-01-11T00:00:00Z");
        let later = due("2026-03-10T00:00:00Z", "2026-03-12T00:00:00Z");
        assert_eq!(later, "2026-03-11T00:00:00Z");
        let too_late = due("2026-04-10T00:00:00Z", "2026-04-12T00:00:00Z");
        assert_eq!(too_late, "2026-03-23T00:00:00Z");
        let at_once = due("2025-12-01T00:00:00Z", "2025-12-02T00:00:00Z");
        assert_eq!(at_once, "2026-01-04T00:00:00Z");
        // It makes no sense, and is as if there were none.
        let backwards = due("2026-01-12T00:00:00Z", "2026-01-10T00:00:00Z");
        assert_eq!(backwards, "2026-03-03T12:00:00Z");
    }

    #[test]
    fn a_place_is_a_certificates_own() {
        assert_eq!(Place::of(b"one"), Place::of(b"one"));
        assert_ne!(Place::of(b"one"), Place::of(b"other"));
    }

    #[test]
    fn pauses_double_up_to_a_day() {
        let minutes = |failures, ordered| pause(failures, ordered, 0).as_secs() / 60;
        let judged: Vec<u64> = (1..=9).map(|failures| minutes(failures, true)).collect();
        assert_eq!(judged, [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        let unheard: Vec<u64> = (1..=4).map(|failures| minutes(failures, false)).collect();
        assert_eq!(unheard, [1, 2, 4, 8]);
        assert_eq!(minutes(u32::MAX, true), 1440);
        let longest = pause(u32::MAX, true, u16::MAX);
        assert!(longest > LONGEST && longest <= LONGEST * 5 / 4);
    }
}
