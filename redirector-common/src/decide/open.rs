//! A SYN of a redirected customer: a relay, an entry, or the pool's failure policy.

use super::{
    Judged, Work,
    bucket::{Rate, refilled, spend, take},
    find::{Standing, relay_in_slot, standing},
    refuse, steer,
};
use crate::{
    abi::{Event, EventKind, Flow, NO_RELAY, NO_RELAY_SHORT, OnFailure},
    counters::Counter,
    flow::{CANDIDATES, GRACE_S, SEEN_SYN, reopens},
    frame::Frame,
    tables::{FlowEntry, InsertError, Tables, Verdict},
};

/// The entry that the SYN goes by, found or made; or what becomes of it without one. `work` then
/// points at it: relay and key.
#[inline(always)]
pub(super) fn entry<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
) -> Result<T::Entry, Judged> {
    match found_or_made(tables, work) {
        Ok(entry) => Ok(entry),
        Err(Stop::Judged(judged)) => Err(judged),
        Err(Stop::Failed(kind)) => Err(failed(frame, tables, work, kind)),
    }
}

/// Why a SYN gets no entry. The failure policy is applied in one place: the verifier would otherwise
/// follow it once per reason.
enum Stop {
    /// It was judged.
    Judged(Judged),
    /// No relay can take it, for this reason.
    Failed(EventKind),
}

impl Stop {
    #[inline(always)]
    fn judged<T: Tables>(tables: &mut T, verdict: Verdict, counter: Counter) -> Self {
        Self::Judged(Judged::counted(tables, verdict, counter))
    }
}

#[inline(always)]
fn found_or_made<T: Tables>(tables: &mut T, work: &mut Work) -> Result<T::Entry, Stop> {
    if work.before.segment.hop_limit <= 1 {
        return Err(Stop::judged(tables, Verdict::Pass, Counter::HopLimit));
    }
    refill(tables, work);
    let settings = tables.settings();
    if work.now_s().saturating_sub(settings.heartbeat_s) > settings.heartbeat_limit_s {
        tables.count(Counter::HeartbeatStale);
        return Err(Stop::Failed(EventKind::NoRelay));
    }
    let number = relay_in_slot(tables, work);
    let aimed = tables
        .relay(u32::from(number))
        .is_some_and(|relay| work.aim(number, &relay));
    if number == NO_RELAY_SHORT || !aimed || work.target.path.ifindex == 0 {
        return Err(Stop::Failed(EventKind::NoRelay));
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
        return Err(Stop::Failed(EventKind::FlowTableFull));
    }
    point(work, free);
    create(tables, work)
}

/// The customer's bucket as it is now. Out of line, for the sake of the customer's stack.
#[inline(never)]
fn refill<T: Tables>(tables: &T, work: &mut Work) {
    let settings = tables.settings();
    let rate = Rate::per_second(settings.syn_rate, settings.syn_burst);
    work.bucket = refilled(tables.bucket(&work.customer), rate, work.now_ns);
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
fn reuse<T: Tables>(tables: &mut T, work: &mut Work, entry: T::Entry) -> Result<T::Entry, Stop> {
    let flow = entry.flow();
    // The key of a steered connection does not name its relay. One that has not answered is left for
    // the one in the slot now; one that has answered keeps the connection.
    let moved = flow.relay != work.target.number && steer::is_of(&work.key, &flow);
    if reopens(&flow, work.now_s()) || (moved && flow.from_relay == 0) {
        if !is_within_rate(work) {
            tables.put_bucket(&work.customer, &work.bucket);
            return Err(Stop::judged(tables, Verdict::Drop, Counter::SynLimited));
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

/// Whether the customer may open one more connection now. The edge bounds its own probes itself; all of
/// one family may share a bucket. Out of line, for the stack.
#[inline(never)]
fn is_within_rate(work: &mut Work) -> bool {
    work.policy.direct_relay().is_some() || take(&mut work.bucket, work.target.number)
}

/// Makes the entry that `work` points at.
#[inline(always)]
fn create<T: Tables>(tables: &mut T, work: &mut Work) -> Result<T::Entry, Stop> {
    if !is_within_rate(work) {
        tables.put_bucket(&work.customer, &work.bucket);
        return Err(Stop::judged(tables, Verdict::Drop, Counter::SynLimited));
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
        reserved16: 0,
        reserved32: 0,
    };
    match tables.insert_flow(&work.key, &work.flow) {
        Ok(()) => {}
        Err(InsertError::Exists) => {
            return Err(Stop::judged(tables, Verdict::Drop, Counter::FlowRaced));
        }
        Err(InsertError::Full) => {
            tables.count(Counter::FlowTableFull);
            return Err(Stop::Failed(EventKind::FlowTableFull));
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
        None => Err(Stop::judged(tables, Verdict::Drop, Counter::InternalError)),
    }
}

/// No relay can take the connection: the pool says what then. Without a pool nobody has said that it
/// may pass.
#[inline(always)]
fn failed<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    kind: EventKind,
) -> Judged {
    // Passed on, a probe would find the relay by the kernel's routing and prove nothing.
    if work.policy.direct_relay().is_some() {
        return Judged::counted(tables, Verdict::Drop, Counter::ProbeUnsent);
    }
    // One customer's flood must not drown the controller: its events share its tokens.
    if spend(&mut work.bucket) {
        tell(tables, work, kind, NO_RELAY, [0; 2]);
    }
    let open = on_failure(tables, work, OnFailure::Open);
    if open {
        // Its later segments will have no entry either.
        work.bucket.open_until_s = work.now_s().saturating_add(GRACE_S);
    }
    tables.put_bucket(&work.customer, &work.bucket);
    if open {
        return Judged::counted(tables, Verdict::Pass, Counter::FailedOpen);
    }
    if on_failure(tables, work, OnFailure::Refuse) {
        return refuse::greeted(frame, tables, work, Counter::FailedRefused);
    }
    Judged::counted(tables, Verdict::Drop, Counter::FailedClosed)
}

/// Whether this is the failure policy of the policy's pool.
#[inline(always)]
pub(super) fn on_failure<T: Tables>(tables: &T, work: &Work, policy: OnFailure) -> bool {
    let pool = tables.pool(u16::from(work.policy.pool));
    pool.is_some_and(|pool| pool.present != 0 && pool.on_failure == policy as u8)
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

/// The place of a steered connection; below it are the candidates of a rewritten one.
const OWN_ENDS: u32 = CANDIDATES;
/// No place.
const NO_PLACE: u32 = OWN_ENDS + 1;
/// Above any place.
const PLACES: u32 = 16;
