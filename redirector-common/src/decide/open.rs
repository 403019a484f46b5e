//! A SYN of a redirected customer: a relay, an entry, or the pool's failure policy.

use super::{
    Judged, Work,
    find::{Standing, relay_in_slot, standing},
    steer,
};
use crate::{
    abi::{Bucket, Event, EventKind, Flow, NO_RELAY, NO_RELAY_SHORT, OnFailure, Settings},
    counters::Counter,
    flow::{CANDIDATES, GRACE_S, SEEN_SYN, reopens},
    tables::{FlowEntry, InsertError, Tables, Verdict},
};

/// The entry that the SYN goes by, found or made; or what becomes of it without one. `work` then
/// points at it: relay and key.
#[inline(always)]
pub(super) fn entry<T: Tables>(tables: &mut T, work: &mut Work) -> Result<T::Entry, Judged> {
    if work.before.segment.hop_limit <= 1 {
        return Err(Judged::counted(tables, Verdict::Pass, Counter::HopLimit));
    }
    let settings = tables.settings();
    work.bucket = refilled(tables.bucket(&work.customer), &settings, work.now_ns);
    if work.now_s().saturating_sub(settings.heartbeat_s) > settings.heartbeat_limit_s {
        tables.count(Counter::HeartbeatStale);
        return Err(failed(tables, work, EventKind::NoRelay));
    }
    let number = relay_in_slot(tables, work);
    let aimed = tables
        .relay(u32::from(number))
        .is_some_and(|relay| work.aim(number, &relay));
    if number == NO_RELAY_SHORT || !aimed || work.target.path.ifindex == 0 {
        return Err(failed(tables, work, EventKind::NoRelay));
    }

    let place = look_through(tables, work);
    let (free, ours) = (place % PLACES, place / PLACES);
    if ours < NO_PLACE {
        point(work, ours);
        if let Some(entry) = tables.flow(&work.key) {
            return reuse(tables, work, entry);
        }
    }
    if free >= NO_PLACE {
        tables.count(Counter::CandidatesExhausted);
        return Err(failed(tables, work, EventKind::FlowTableFull));
    }
    point(work, free);
    create(tables, work)
}

/// Points `work` at one of the places that [`look_through`] answers with.
#[inline(always)]
fn point(work: &mut Work, place: u32) {
    if place == OWN_ENDS {
        steer::point(work);
    } else {
        work.point(place);
    }
}

/// Looks at every candidate before one is taken: an entry of this very connection may stand behind
/// one that has been freed since. A steered connection has its own ends for its only place. Answers
/// the first free one plus [`PLACES`] times the connection's own; [`NO_PLACE`] = there is none.
#[inline(never)]
fn look_through<T: Tables>(tables: &T, work: &mut Work) -> u32 {
    let (mut free, mut ours) = (NO_PLACE, NO_PLACE);
    if steer::is_way(tables, work) {
        match steer::standing(tables, work) {
            Standing::Free => free = OWN_ENDS,
            Standing::Ours => ours = OWN_ENDS,
            Standing::Taken => {}
        }
        return free + PLACES * ours;
    }
    let number = u32::from(work.target.number);
    for nth in 0..CANDIDATES {
        match standing(tables, work, number, nth) {
            Standing::Free => free = free.min(nth),
            Standing::Ours => ours = ours.min(nth),
            Standing::Taken => {}
        }
    }
    free + PLACES * ours
}

/// Goes by the connection's own entry; over one that has ended, the SYN opens a new connection.
#[inline(always)]
fn reuse<T: Tables>(tables: &mut T, work: &mut Work, entry: T::Entry) -> Result<T::Entry, Judged> {
    let flow = entry.flow();
    // The key of a steered connection does not name its relay. One that has not answered is left for
    // the one in the slot now; one that has answered keeps the connection.
    let moved = flow.relay != work.target.number && steer::is_of(&work.key, &flow);
    if reopens(&flow, work.now_s()) || (moved && flow.from_relay == 0) {
        if !take(&mut work.bucket, work.target.number) {
            tables.put_bucket(&work.customer, &work.bucket);
            return Err(Judged::counted(tables, Verdict::Drop, Counter::SynLimited));
        }
        tables.put_bucket(&work.customer, &work.bucket);
        entry.reopen(
            SEEN_SYN,
            work.policy.flag_id,
            work.target.number,
            work.now_s(),
        );
        tables.count(Counter::FlowReopened);
    } else if moved {
        steer::aim(tables, work, u32::from(flow.relay));
    }
    Ok(entry)
}

/// Makes the entry that `work` points at.
#[inline(always)]
fn create<T: Tables>(tables: &mut T, work: &mut Work) -> Result<T::Entry, Judged> {
    if !take(&mut work.bucket, work.target.number) {
        tables.put_bucket(&work.customer, &work.bucket);
        return Err(Judged::counted(tables, Verdict::Drop, Counter::SynLimited));
    }
    let now_s = work.now_s();
    work.flow = Flow {
        original_dst: work.before.ends.destination,
        customer_path: work.before.way_back,
        created_s: now_s,
        last_seen_s: now_s,
        flag_id: work.policy.flag_id,
        customer_port_be: work.before.segment.source_port_be,
        relay: work.target.number,
        from_customer: SEEN_SYN,
        from_relay: 0,
        reserved: [0; 6],
    };
    match tables.insert_flow(&work.key, &work.flow) {
        Ok(()) => {}
        Err(InsertError::Exists) => {
            return Err(Judged::counted(tables, Verdict::Drop, Counter::FlowRaced));
        }
        Err(InsertError::Full) => {
            tables.count(Counter::FlowTableFull);
            return Err(failed(tables, work, EventKind::FlowTableFull));
        }
    }
    tables.put_bucket(&work.customer, &work.bucket);
    tables.count(Counter::FlowOpened);
    if work.key.shown_port_be != work.before.segment.source_port_be {
        tables.count(Counter::PortChanged);
    }
    let (relay, shown_port_be) = (u32::from(work.target.number), work.key.shown_port_be);
    tell(tables, work, EventKind::FlowOpened, relay, shown_port_be);
    match tables.flow(&work.key) {
        Some(entry) => Ok(entry),
        None => Err(Judged::counted(
            tables,
            Verdict::Drop,
            Counter::InternalError,
        )),
    }
}

/// No relay can take the connection: the pool says what then. Without a pool nobody has said that it
/// may pass.
#[inline(always)]
fn failed<T: Tables>(tables: &mut T, work: &mut Work, kind: EventKind) -> Judged {
    // One customer's flood must not drown the controller: its events share its tokens.
    if spend(&mut work.bucket) {
        tell(tables, work, kind, NO_RELAY, [0; 2]);
    }
    let open = tables
        .pool(u16::from(work.policy.pool))
        .is_some_and(|pool| pool.present != 0 && pool.on_failure == OnFailure::Open as u8);
    if open {
        // Its later segments will have no entry either.
        work.bucket.open_until_s = work.now_s().saturating_add(GRACE_S);
    }
    tables.put_bucket(&work.customer, &work.bucket);
    if open {
        Judged::counted(tables, Verdict::Pass, Counter::FailedOpen)
    } else {
        Judged::counted(tables, Verdict::Drop, Counter::FailedClosed)
    }
}

/// Tells the controller. Out of line: an event is an eighth of a BPF stack.
#[inline(never)]
fn tell<T: Tables>(
    tables: &mut T,
    work: &Work,
    kind: EventKind,
    relay: u32,
    shown_port_be: [u8; 2],
) {
    tables.event(&Event {
        at_ns: work.now_ns,
        customer: work.before.ends.source,
        original_dst: work.before.ends.destination,
        flag_id: work.policy.flag_id,
        relay,
        ifindex: work.before.way_back.ifindex,
        customer_port_be: work.before.segment.source_port_be,
        shown_port_be,
        kind: kind as u8,
        family: work.before.ends.family,
        reserved: [0; 6],
    });
}

/// The customer's bucket, refilled for the time since it was last looked at; a new customer's is full.
#[inline(always)]
fn refilled(bucket: Option<Bucket>, settings: &Settings, now_ns: u64) -> Bucket {
    let full = settings.syn_burst.saturating_mul(MILLITOKENS);
    let Some(mut bucket) = bucket else {
        return Bucket {
            updated_ns: now_ns,
            millitokens: full,
            relays: [NO_RELAY_SHORT; 2],
            ..Bucket::default()
        };
    };
    // A minute fills any sensible bucket, and bounds the product below 2^58.
    let elapsed_us = (now_ns.saturating_sub(bucket.updated_ns) / 1000).min(REFILL_LIMIT_US);
    let rate = u64::from(settings.syn_rate);
    let microtokens = elapsed_us * rate;
    // Only the time that was paid for has passed, or a flood in small steps would never be refilled.
    let Some(unpaid_ns) = (microtokens % 1000 * 1000).checked_div(rate) else {
        return bucket;
    };
    bucket.updated_ns = if elapsed_us == REFILL_LIMIT_US {
        now_ns
    } else {
        bucket.updated_ns + elapsed_us * 1000 - unpaid_ns
    };
    let filled = (u64::from(bucket.millitokens) + microtokens / 1000).min(u64::from(full));
    bucket.millitokens = u32::try_from(filled).unwrap_or(full);
    bucket
}

/// Takes one token, if there is one.
#[inline(always)]
const fn spend(bucket: &mut Bucket) -> bool {
    if bucket.millitokens < MILLITOKENS {
        return false;
    }
    bucket.millitokens -= MILLITOKENS;
    true
}

/// Takes one token for a connection to this relay, and remembers the relay.
#[inline(always)]
fn take(bucket: &mut Bucket, relay: u16) -> bool {
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
/// Longest time that a bucket is refilled for.
const REFILL_LIMIT_US: u64 = 60_000_000;
/// The place of a steered connection; below it are the candidates of a rewritten one.
const OWN_ENDS: u32 = CANDIDATES;
/// No place.
const NO_PLACE: u32 = OWN_ENDS + 1;
/// Above any place.
const PLACES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::work::NANOSECONDS;

    const SETTINGS: Settings = Settings {
        heartbeat_s: 0,
        heartbeat_limit_s: 0,
        syn_rate: 20,
        syn_burst: 100,
        generation: 0,
        radar_window: 0,
        reserved: 0,
    };
    const START_NS: u64 = 1_000 * NANOSECONDS;

    /// How many connections a customer gets that asks every `step_ns`.
    fn granted(settings: &Settings, step_ns: u64, asks: u64) -> u32 {
        let mut bucket = None;
        let mut granted = 0;
        for ask in 0..asks {
            let mut now = refilled(bucket, settings, START_NS + ask * step_ns);
            granted += u32::from(spend(&mut now));
            bucket = Some(now);
        }
        granted
    }

    #[test]
    fn a_flood_gets_the_burst_and_the_rate_whatever_its_steps() {
        // Ten seconds at 20 a second.
        for step_ns in [999, 49_999, 1_000_000, 33_333_333] {
            let granted = granted(&SETTINGS, step_ns, 10 * NANOSECONDS / step_ns);
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
            let bucket = refilled(Some(empty), &SETTINGS, now_ns);
            assert_eq!((bucket.millitokens, bucket.updated_ns), (100_000, now_ns));
        }
    }

    #[test]
    fn a_rate_of_zero_leaves_the_burst() {
        let settings = Settings {
            syn_rate: 0,
            ..SETTINGS
        };
        assert_eq!(granted(&settings, NANOSECONDS, 1000), 100);
    }

    #[test]
    fn absurd_settings_do_not_overflow() {
        let settings = Settings {
            syn_rate: u32::MAX,
            syn_burst: u32::MAX,
            ..SETTINGS
        };
        assert_eq!(granted(&settings, u64::MAX / 1000, 2), 2);
    }

    #[test]
    fn a_bucket_remembers_the_two_latest_relays() {
        let mut bucket = refilled(None, &SETTINGS, START_NS);
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
