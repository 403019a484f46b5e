//! A frame from a customer: mail of a flagged one, or anything else.

use super::{
    Judged, Work, find, limit, open, radar,
    refuse::{self, Followed},
    steer,
    tunnel::{self, Sealed},
};
use crate::{
    abi::{Action, OnFailure, Policy, RefusalText},
    addr::AddrRef,
    answer,
    counters::Counter,
    flow::seen,
    frame::Frame,
    parse::{
        Packet,
        ether::{self, Link},
        tcp::{Flags, SMTP_PORT_BE},
    },
    reset,
    rewrite::{self, End, Rewrite},
    tables::{FlowEntry, Tables, Verdict},
};

/// Judges a frame from a customer that came in by `ifindex`.
#[inline(always)]
pub(super) fn judge<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    ifindex: u32,
    link: Link,
    packet: Packet,
) -> Judged {
    let segment = match packet {
        Packet::Tcp(segment) => segment,
        Packet::Icmp | Packet::Deep | Packet::Tunnel | Packet::NotOurs => return Judged::UNTOUCHED,
        Packet::Malformed => return Judged::counted(tables, Verdict::Pass, Counter::Malformed),
        Packet::Fragment => {
            let counters = [Counter::FragmentDropped, Counter::FragmentPassed];
            return unseen(frame, tables, link, counters);
        }
        Packet::LongChain => {
            return unseen(
                frame,
                tables,
                link,
                [Counter::ChainDropped, Counter::ChainPassed],
            );
        }
    };
    if segment.destination_port_be != SMTP_PORT_BE {
        return Judged::UNTOUCHED;
    }
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    work.before.segment = segment;
    let Some(station) = frame.read::<6>(0) else {
        return Judged::UNTOUCHED;
    };
    if ether::is_group(station) {
        return Judged::UNTOUCHED;
    }
    if !work.before.ends.read(frame, link) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    // The rest of it is read when something goes there.
    work.before.way_back.ifindex = ifindex;
    let known = is_known(tables, &mut work, End::Source);
    radar::leaving(tables, &work, frame.octets());
    if !known {
        return Judged::counted(tables, Verdict::Pass, Counter::Unflagged);
    }
    let judged = act(frame, tables, &mut work);
    // Read again: carried through the judgement it would lie on the stack.
    judged.under(work.policy)
}

/// A packet that could carry mail where nobody sees it.
#[inline(always)]
fn unseen<F: Frame, T: Tables>(
    frame: &F,
    tables: &mut T,
    link: Link,
    counters: [Counter; 2],
) -> Judged {
    let Some(mut work) = tables.work() else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.before.link = link;
    if !work.before.read(frame, 0) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    let [dropped, passed] = counters;
    if !is_known(tables, &mut work, End::Source) {
        return Judged::counted(tables, Verdict::Pass, passed);
    }
    let judged = if may_hide(tables, &work) {
        Judged::counted(tables, Verdict::Pass, passed)
    } else {
        Judged::counted(tables, Verdict::Drop, dropped)
    };
    judged.under(work.policy)
}

/// Whether the policy in `work` is one whose source may send what nobody sees. Whose mail is not left alone must not
/// slip through that way.
#[inline(always)]
pub(super) fn may_hide<T: Tables>(tables: &T, work: &Work) -> bool {
    match Action::from_number(work.policy.action) {
        Some(Action::Pass | Action::Observe | Action::Linger) => true,
        Some(Action::Redirect) => is_bypassed(tables, work),
        Some(Action::Limit | Action::Refuse | Action::Reset | Action::Drop) | None => false,
    }
}

#[inline(always)]
fn act<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Judged {
    let Some(action) = Action::from_number(work.policy.action) else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    work.now_ns = tables.now_ns();
    let opens = work.before.segment.flags.opens();
    let young = work.now_s() < work.policy.grace_until_s;
    let follows = matches!(action, Action::Redirect | Action::Linger);
    let answers = matches!(action, Action::Refuse | Action::Reset);
    if (follows || young || answers) && !work.before.read_way_back(frame) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    // Whatever the action is now, connections that a redirect has diverted stay with their relay: as
    // long as they last under a redirect or after it, and through the grace of another action.
    let entry = if opens && matches!(action, Action::Redirect) {
        if is_bypassed(tables, work) {
            return Judged::counted(tables, Verdict::Pass, Counter::Bypassed);
        }
        match open::entry(frame, tables, work) {
            Ok(entry) => Some(entry),
            Err(judged) => return judged,
        }
    } else if !opens && (follows || young) {
        find::entry(tables, work)
    } else {
        None
    };
    if let Some(entry) = entry {
        return forward(frame, tables, work, &entry);
    }
    // Only now: a connection that was diverted before its destination was spared keeps its relay.
    if matches!(action, Action::Redirect) && is_bypassed(tables, work) {
        return Judged::counted(tables, Verdict::Pass, Counter::Bypassed);
    }
    let answer = match action {
        Action::Refuse => Some(RefusalText::Refused),
        Action::Redirect if open::on_failure(tables, work, OnFailure::Refuse) => {
            Some(RefusalText::Deferred)
        }
        Action::Pass
        | Action::Observe
        | Action::Limit
        | Action::Redirect
        | Action::Reset
        | Action::Drop
        | Action::Linger => None,
    };
    if let (Some(text), false) = (answer, opens) {
        let followed = refuse::follow(frame, tables, work, text);
        if followed != Followed::Not {
            return refuse::judged(tables, followed, text);
        }
    }
    match action {
        Action::Pass => Judged::counted(tables, Verdict::Pass, Counter::Passed),
        Action::Observe => Judged::counted(tables, Verdict::Pass, Counter::Observed),
        Action::Linger => Judged::counted(tables, Verdict::Pass, Counter::Unflagged),
        Action::Limit => limit::judge(tables, work, opens),
        Action::Redirect if young || was_let_through(tables, work) => {
            Judged::counted(tables, Verdict::Pass, Counter::Grace)
        }
        Action::Refuse if opens => refuse::greeted(frame, tables, work, Counter::RefuseHandshake),
        Action::Refuse | Action::Reset | Action::Drop if !opens && young => {
            Judged::counted(tables, Verdict::Pass, Counter::Grace)
        }
        // Under a refusal as well: a connection from before the flag, or one whose cookie is too old, ends
        // at once instead of waiting for an answer that will not come.
        Action::Redirect | Action::Refuse => reset(frame, tables, work, Counter::Orphan),
        Action::Reset => reset(frame, tables, work, Counter::Reset),
        Action::Drop => Judged::counted(tables, Verdict::Drop, Counter::Dropped),
    }
}

/// Whether the destination is one that nobody is redirected away from. Asked under a redirect alone, so whoever is not
/// flagged pays nothing for it; a probe goes to its relay wherever it seems to go. Out of line: a key of a trie would
/// stand on the customers' stack.
#[inline(never)]
fn is_bypassed<T: Tables>(tables: &T, work: &Work) -> bool {
    work.policy.direct_relay().is_none() && tables.is_bypassed(work.before.ends.destination())
}

/// Whether the failure policy `open` has lately let a connection of this customer through.
#[inline(always)]
fn was_let_through<T: Tables>(tables: &T, work: &Work) -> bool {
    tables
        .bucket(&work.customer)
        .is_some_and(|bucket| work.now_s() < bucket.open_until_s)
}

/// Sends the segment to the relay that `work` points at, by the way that its entry went.
#[inline(always)]
fn forward<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    entry: &T::Entry,
) -> Judged {
    let number = work.target.number;
    let ifindex = work.target.path.ifindex;
    if work.before.segment.hop_limit <= 1 {
        return Judged::counted(tables, Verdict::Pass, Counter::HopLimit).by_relay(number);
    }
    if ifindex == 0 {
        return Judged::counted(tables, Verdict::Drop, Counter::PathUnknown).by_relay(number);
    }
    let flow = entry.flow();
    entry.mark_customer(
        seen(flow.from_customer, work.before.segment.flags),
        work.now_s(),
    );
    if work.before.way_back != flow.customer_path {
        entry.move_customer(&work.before.way_back);
    }
    work.rewrite = Rewrite {
        path: work.target.path,
        addr: work.target.addr,
        source_port_be: work.key.shown_port_be,
        destination_port_be: work.target.port_be,
    };
    frame.about_to_change();
    let sent = if steer::is_of(&work.key, &flow) {
        if work.target.tunnelled != 0 {
            let sealed = tunnel::seal(frame, tables, work);
            if sealed != Sealed::Done {
                return sealed.stopped(tables).by_relay(number);
            }
            true
        } else {
            rewrite::steer(frame, &work.before, &work.rewrite.path)
        }
    } else {
        rewrite::apply(frame, &work.before, &work.rewrite, End::Destination)
    };
    if !sent || !tables.redirect(ifindex) {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError).by_relay(number);
    }
    Judged::counted(tables, Verdict::Redirect { ifindex }, Counter::ToRelay).by_relay(number)
}

/// Answers with RST; an RST is never answered, or two such hosts would never stop.
#[inline(always)]
fn reset<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    counter: Counter,
) -> Judged {
    if work.before.segment.flags.has(Flags::RST) {
        return Judged::counted(tables, Verdict::Drop, counter);
    }
    if reset::numbers(frame, &work.before, &mut work.answer)
        && answer::send(frame, &work.before, &work.answer)
    {
        Judged::counted(tables, Verdict::Tx, counter)
    } else {
        Judged::counted(tables, Verdict::Drop, Counter::InternalError)
    }
}

/// Whether the customer at one end of the packet lends its address; its policy is in `work` then.
#[inline(always)]
pub(super) fn lends<T: Tables>(tables: &T, work: &mut Work, end: End) -> bool {
    is_known(tables, work, end) && work.policy.lends_address()
}

/// Whether connections of the customer that the packet goes to may run through relays.
#[inline(always)]
pub(super) fn is_diverted<T: Tables>(tables: &T, work: &mut Work) -> bool {
    let diverting = [Action::Redirect as u8, Action::Linger as u8];
    is_known(tables, work, End::Destination) && diverting.contains(&work.policy.action)
}

/// Whether the customer at one end of the packet has a policy; it is in `work` then, and whose it is in any
/// case. Out of line: the keys of four tables would stand on the customers' stack.
#[inline(never)]
pub(super) fn is_known<T: Tables>(tables: &T, work: &mut Work, end: End) -> bool {
    let customer = match end {
        End::Source => work.before.ends.source(),
        End::Destination => work.before.ends.destination(),
    };
    let policy = policy(tables, customer);
    work.customer = customer.customer_key();
    match policy {
        Some(policy) => {
            work.policy = policy;
            true
        }
        None => false,
    }
}

/// The policy of a source: its own, or that of the longest prefix around it.
#[inline(always)]
fn policy<T: Tables>(tables: &T, source: AddrRef<'_>) -> Option<Policy> {
    // Once: whoever switches sets meanwhile must not have this frame judged by half of each.
    let set = tables.settings().policy_set;
    match tables.host_policy(set, source) {
        Some(policy) => Some(policy),
        None => tables.prefix_policy(set, source),
    }
}
