//! Numbers of the last hour, in six pieces of ten minutes: what is told is 50 to 60 minutes of it.

use core::time::Duration;

use crate::Time;

/// What one hour had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were served.
    pub connections: u64,
    /// Messages whose content was asked for.
    pub messages: u64,
    /// Recipients that were taken.
    pub recipients: u64,
    /// Octets of contents that were received whole.
    pub octets: u64,
    /// Recipients that their servers took.
    pub taken: u64,
    /// Recipients whose servers do not know them.
    pub unknown: u64,
    /// Recipients and messages that servers refused by their policy.
    pub by_policy: u64,
    /// Those that they refused for another reason.
    pub otherwise: u64,
    /// Messages that were found to be spam.
    pub spam: u64,
    /// Messages, recipients and connections that were beyond a limit.
    pub limited: u64,
}

/// What can be counted. A tally of few kinds counts the first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Messages,
    Recipients,
    Connections,
    Taken,
    Unknown,
    ByPolicy,
    Otherwise,
    Spam,
    Limited,
}

/// The numbers of one customer, or of a site of it, which has fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tally<const KINDS: usize> {
    /// Number of the latest piece since 1970; the place of a piece is its number, modulo six.
    latest: u64,
    pieces: [Piece<KINDS>; PIECES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<const KINDS: usize> {
    pub(super) octets: u64,
    pub(super) counts: [u32; KINDS],
}

impl<const KINDS: usize> Default for Tally<KINDS> {
    fn default() -> Self {
        Self {
            latest: 0,
            pieces: [Piece::default(); PIECES],
        }
    }
}

impl<const KINDS: usize> Default for Piece<KINDS> {
    fn default() -> Self {
        Self {
            octets: 0,
            counts: [0; KINDS],
        }
    }
}

impl Counts {
    /// Answers about recipients.
    #[must_use]
    pub const fn answers(&self) -> u64 {
        self.taken
            .saturating_add(self.unknown)
            .saturating_add(self.by_policy)
            .saturating_add(self.otherwise)
    }

    /// What share of them says that there is no such user; 0 if there are none.
    #[must_use]
    pub fn unknown_share(&self) -> f64 {
        share(self.unknown, self.answers())
    }

    /// What share of them is a refusal by policy.
    #[must_use]
    pub fn refused_share(&self) -> f64 {
        share(self.by_policy, self.answers())
    }
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    part as f64 / of as f64
}

impl<const KINDS: usize> Tally<KINDS> {
    pub(super) fn add(&mut self, what: Count, count: u64, now: Time) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(kept) = self.piece(now).counts.get_mut(what as usize) {
            *kept = kept.saturating_add(count);
        }
    }

    /// One that was just added was none.
    pub(super) fn take_back(&mut self, what: Count, now: Time) {
        if let Some(kept) = self.piece(now).counts.get_mut(what as usize) {
            *kept = kept.saturating_sub(1);
        }
    }

    pub(super) fn add_octets(&mut self, octets: u64, now: Time) {
        let piece = self.piece(now);
        piece.octets = piece.octets.saturating_add(octets);
    }

    /// All that is not older than an hour.
    pub(super) fn sum(&self, now: Time) -> Counts {
        let passed = number(now).saturating_sub(self.latest);
        let mut counts = Counts::default();
        for age in (0..PIECES as u64).take_while(|age| age + passed < PIECES as u64) {
            let place = self.latest.wrapping_sub(age) % PIECES as u64;
            let Some(piece) = usize::try_from(place)
                .ok()
                .and_then(|it| self.pieces.get(it))
            else {
                continue;
            };
            counts.octets = counts.octets.saturating_add(piece.octets);
            let kept = piece.counts.map(u64::from);
            for (sum, kept) in core::iter::zip(counts.each(), kept) {
                *sum = sum.saturating_add(kept);
            }
        }
        counts
    }

    /// Whether nothing in it is of a time to come.
    pub(super) fn is_before(&self, now: Time) -> bool {
        self.latest <= number(now)
    }

    pub(super) const fn parts(&self) -> (u64, &[Piece<KINDS>; PIECES]) {
        (self.latest, &self.pieces)
    }

    pub(super) const fn of_parts(latest: u64, pieces: [Piece<KINDS>; PIECES]) -> Self {
        Self { latest, pieces }
    }

    /// The one of now. A clock that was set back adds to the latest.
    fn piece(&mut self, now: Time) -> &mut Piece<KINDS> {
        let number = number(now);
        let passed = number.saturating_sub(self.latest).min(PIECES as u64);
        for age in 0..passed {
            let place = number.wrapping_sub(age) % PIECES as u64;
            if let Some(piece) = self.pieces.get_mut(usize::try_from(place).unwrap_or(0)) {
                *piece = Piece::default();
            }
        }
        self.latest = self.latest.max(number);
        let place = usize::try_from(self.latest % PIECES as u64).unwrap_or(0);
        let [first, others @ ..] = &mut self.pieces;
        match place.checked_sub(1) {
            Some(place) => others.get_mut(place).unwrap_or(first),
            None => first,
        }
    }
}

impl Counts {
    /// In the order of [`Count`].
    fn each(&mut self) -> [&mut u64; ALL] {
        [
            &mut self.messages,
            &mut self.recipients,
            &mut self.connections,
            &mut self.taken,
            &mut self.unknown,
            &mut self.by_policy,
            &mut self.otherwise,
            &mut self.spam,
            &mut self.limited,
        ]
    }
}

fn number(now: Time) -> u64 {
    now.as_secs() / PIECE.as_secs()
}

const PIECE: Duration = Duration::from_secs(600);
pub(super) const PIECES: usize = 6;
/// Of [`Count`].
pub(super) const ALL: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_told_and_what_is_older_is_forgotten() {
        let start = Duration::from_secs(1_790_000_400);
        let later = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut tally = Tally::<ALL>::default();
        tally.add(Count::Messages, 3, start);
        tally.add_octets(1000, start);
        tally.add(Count::Messages, 4, later(30));
        tally.add(Count::Limited, 1, later(30));
        assert_eq!(tally.sum(later(59)).messages, 7);
        assert_eq!(tally.sum(later(59)).octets, 1000);
        let sum = tally.sum(later(60));
        assert_eq!((sum.messages, sum.octets, sum.limited), (4, 0, 1));
        assert_eq!(tally.sum(later(90)), Counts::default());
        tally.add(Count::Messages, 1, later(1000));
        assert_eq!(tally.sum(later(1000)).messages, 1);
        // A clock that was set back.
        tally.add(Count::Messages, 1, start);
        assert_eq!(tally.sum(start).messages, 2);
    }

    #[test]
    fn shares_are_of_all_answers() {
        let counts = Counts {
            taken: 5,
            unknown: 3,
            by_policy: 1,
            otherwise: 1,
            ..Counts::default()
        };
        assert!((counts.unknown_share() - 0.3).abs() < 1e-9);
        assert!((counts.refused_share() - 0.1).abs() < 1e-9);
        assert!(Counts::default().unknown_share().abs() < 1e-9);
    }
}
