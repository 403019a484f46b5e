//! Every IPv4 address of the operator's, once a round.

use std::net::Ipv4Addr;

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};

/// The operator's IPv4 addresses, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First address of each range, and how many are before it in all.
    ranges: Vec<(u32, u64)>,
    addresses: u64,
    /// From one address to the next that is asked about: no divisor of their number, and about its golden section, so that
    /// whoever lists a /24 is met soon after the round has begun, wherever it is.
    stride: u64,
}

/// How far a round is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// When it began.
    pub began_at: Timestamp,
    /// How many addresses it has asked about.
    pub place: u64,
    /// When the last round ended; `None` = this is the first.
    pub finished_at: Option<Timestamp>,
}

impl Ranges {
    /// Of prefixes that do not overlap.
    #[must_use]
    pub fn of<'a>(prefixes: impl IntoIterator<Item = &'a IpNetwork>) -> Self {
        let (mut ranges, mut addresses) = (Vec::new(), 0);
        for prefix in prefixes {
            if let IpNetwork::V4(prefix) = prefix {
                ranges.push((prefix.network().to_bits(), addresses));
                addresses += 1_u64 << (32 - prefix.prefix());
            }
        }
        Self {
            ranges,
            addresses,
            stride: stride(addresses),
        }
    }

    /// How many addresses there are.
    #[must_use]
    pub const fn addresses(&self) -> u64 {
        self.addresses
    }

    /// The address at a place of a round; each is at one.
    #[must_use]
    pub fn at(&self, place: u64) -> Option<Ipv4Addr> {
        if place >= self.addresses {
            return None;
        }
        let number = u128::from(place) * u128::from(self.stride) % u128::from(self.addresses);
        let number = u64::try_from(number).ok()?;
        let range = self.ranges.partition_point(|(_, before)| *before <= number);
        let (first, before) = self.ranges.get(range.checked_sub(1)?)?;
        let offset = u32::try_from(number - before).ok()?;
        Some(Ipv4Addr::from_bits(first + offset))
    }
}

impl Sweep {
    /// A first round.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            began_at: now,
            place: 0,
            finished_at: None,
        }
    }

    /// When the next address is due, so that the round takes `period`; the end of it, if all were asked about.
    #[must_use]
    pub fn due(&self, ranges: &Ranges, period: SignedDuration) -> Timestamp {
        let share =
            period.as_micros() * i128::from(self.place) / i128::from(ranges.addresses.max(1));
        let after = i64::try_from(share).map_or(SignedDuration::MAX, SignedDuration::from_micros);
        self.began_at.checked_add(after).unwrap_or(Timestamp::MAX)
    }

    /// The next address, if one is due; the round goes on.
    pub fn take(
        &mut self,
        ranges: &Ranges,
        period: SignedDuration,
        now: Timestamp,
    ) -> Option<Ipv4Addr> {
        if now < self.due(ranges, period) {
            return None;
        }
        if self.place >= ranges.addresses {
            // After a stop, or where the pace does not suffice, the next begins now, and does not hurry for those that were
            // missed.
            *self = Self {
                began_at: now,
                place: 0,
                finished_at: self.finished_at,
            };
        }
        let address = ranges.at(self.place)?;
        self.place += 1;
        if self.place == ranges.addresses {
            self.finished_at = Some(now);
        }
        Some(address)
    }
}

fn stride(addresses: u64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "any number near it will do"
    )]
    let mut stride = (addresses as f64 * 0.618_033_988_75) as u64;
    while stride > 1 && divisor(stride, addresses) > 1 {
        stride -= 1;
    }
    stride.max(1)
}

fn divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
