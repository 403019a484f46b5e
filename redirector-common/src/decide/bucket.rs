//! The token bucket over a customer's new connections.
//!
//! One bucket a customer, whatever fills it: the edge's rate of new diverted connections under
//! `redirect`, the flag's own under `limit`. An action that takes the place of the other finds the tokens
//! that are left, never more than its own burst.

use crate::abi::{Bucket, NO_RELAY_SHORT};

/// How fast a bucket is refilled, and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    connections: u32,
    period_s: u64,
    burst: u32,
    /// Longest time that a bucket is refilled for. It fills any sensible bucket, and keeps `connections`
    /// times it below 2^58.
    longest_us: u64,
}

impl Rate {
    /// So many connections a second.
    #[inline(always)]
    pub(super) const fn per_second(connections: u32, burst: u32) -> Self {
        Self {
            connections,
            period_s: 1,
            burst,
            longest_us: MINUTE_US,
        }
    }

    /// So many connections an hour.
    #[inline(always)]
    pub(super) fn per_hour(connections: u16, burst: u16) -> Self {
        Self {
            connections: u32::from(connections),
            period_s: 3600,
            burst: u32::from(burst),
            longest_us: MONTH_US,
        }
    }
}

/// The customer's bucket, refilled for the time since it was last looked at; a new customer's is full.
#[inline(always)]
pub(super) fn refilled(bucket: Option<Bucket>, rate: Rate, now_ns: u64) -> Bucket {
    let full = rate.burst.saturating_mul(MILLITOKENS);
    let Some(mut bucket) = bucket else {
        return Bucket {
            updated_ns: now_ns,
            millitokens: full,
            relays: [NO_RELAY_SHORT; 2],
            ..Bucket::default()
        };
    };
    let elapsed_us = (now_ns.saturating_sub(bucket.updated_ns) / 1000).min(rate.longest_us);
    let connections = u64::from(rate.connections);
    let earned = elapsed_us * connections;
    // So much buys a thousandth of a connection.
    let price = rate.period_s * 1000;
    // Only the time that was paid for has passed, or a flood in small steps would never be refilled.
    let Some(unpaid_ns) = (earned % price * 1000).checked_div(connections) else {
        return bucket;
    };
    bucket.updated_ns = if elapsed_us == rate.longest_us {
        now_ns
    } else {
        bucket.updated_ns + elapsed_us * 1000 - unpaid_ns
    };
    let filled = (u64::from(bucket.millitokens) + earned / price).min(u64::from(full));
    bucket.millitokens = u32::try_from(filled).unwrap_or(full);
    bucket
}

/// Takes one token, if there is one.
#[inline(always)]
pub(super) const fn spend(bucket: &mut Bucket) -> bool {
    if bucket.millitokens < MILLITOKENS {
        return false;
    }
    bucket.millitokens -= MILLITOKENS;
    true
}

/// Takes one token for a connection to this relay, and remembers the relay.
#[inline(always)]
pub(super) fn take(bucket: &mut Bucket, relay: u16) -> bool {
    if !spend(bucket) {
        return false;
    }
    let [latest, _] = bucket.relays;
    if latest != relay {
        bucket.relays = [relay, latest];
    }
    true
}

/// Of one token.
const MILLITOKENS: u32 = 1000;
const MINUTE_US: u64 = 60_000_000;
const MONTH_US: u64 = 30 * 24 * 60 * MINUTE_US;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::work::NANOSECONDS;

    const RATE: Rate = Rate::per_second(20, 100);
    const START_NS: u64 = 1_000 * NANOSECONDS;

    /// How many connections a customer gets that asks every `step_ns`.
    fn granted(rate: Rate, step_ns: u64, asks: u64) -> u32 {
        let mut bucket = None;
        let mut granted = 0;
        for ask in 0..asks {
            let mut now = refilled(bucket, rate, START_NS + ask * step_ns);
            granted += u32::from(spend(&mut now));
            bucket = Some(now);
        }
        granted
    }

    #[test]
    fn a_flood_gets_the_burst_and_the_rate_whatever_its_steps() {
        // Ten seconds at 20 a second.
        for step_ns in [999, 49_999, 1_000_000, 33_333_333] {
            let granted = granted(RATE, step_ns, 10 * NANOSECONDS / step_ns);
            assert!(
                (298..=300).contains(&granted),
                "{granted} in steps of {step_ns} ns"
            );
        }
    }

    #[test]
    fn a_pause_never_saves_up_more_than_the_burst() {
        for pause_s in [60, 3600, 1 << 40] {
            let empty = Bucket {
                updated_ns: START_NS,
                ..Bucket::default()
            };
            let now_ns = START_NS.saturating_add(u64::saturating_mul(pause_s, NANOSECONDS));
            let bucket = refilled(Some(empty), RATE, now_ns);
            assert_eq!((bucket.millitokens, bucket.updated_ns), (100_000, now_ns));
        }
    }

    #[test]
    fn a_slow_rate_counts_every_moment() {
        // A day at 100 an hour, asked far more often than it grants.
        for step_ns in [999_999_937, 17 * NANOSECONDS] {
            let asks = 24 * 3600 * NANOSECONDS / step_ns;
            let granted = granted(Rate::per_hour(100, 10), step_ns, asks);
            assert!((2409..=2410).contains(&granted), "{granted}");
        }
    }

    #[test]
    fn a_slow_rate_saves_up_over_days() {
        let empty = Bucket {
            updated_ns: START_NS,
            ..Bucket::default()
        };
        let rate = Rate::per_hour(1, 50);
        let bucket = refilled(Some(empty), rate, START_NS + 48 * 3600 * NANOSECONDS);
        assert_eq!(bucket.millitokens, 48_000);
        let bucket = refilled(Some(empty), rate, START_NS + 51 * 3600 * NANOSECONDS);
        assert_eq!(bucket.millitokens, 50_000);
    }

    #[test]
    fn a_smaller_burst_takes_what_is_too_much() {
        let bucket = refilled(None, RATE, START_NS);
        let bucket = refilled(Some(bucket), Rate::per_hour(100, 3), START_NS);
        assert_eq!(bucket.millitokens, 3000);
    }

    #[test]
    fn a_rate_of_zero_leaves_the_burst() {
        let rate = Rate::per_second(0, 100);
        assert_eq!(granted(rate, NANOSECONDS, 1000), 100);
    }

    #[test]
    fn absurd_settings_do_not_overflow() {
        for rate in [
            Rate::per_second(u32::MAX, u32::MAX),
            Rate::per_hour(u16::MAX, u16::MAX),
        ] {
            assert_eq!(granted(rate, u64::MAX / 1000, 2), 2);
        }
    }

    #[test]
    fn a_bucket_remembers_the_two_latest_relays() {
        let mut bucket = refilled(None, RATE, START_NS);
        for (relay, expected) in [
            (3, [3, NO_RELAY_SHORT]),
            (3, [3, NO_RELAY_SHORT]),
            (4, [4, 3]),
            (5, [5, 4]),
        ] {
            assert!(take(&mut bucket, relay));
            assert_eq!(bucket.relays, expected);
        }
    }
}
