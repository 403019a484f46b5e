//! Connections that the edge answers itself, by action `refuse` or because no relay can.
//!
//! A SYN is answered with a cookie as sequence number; whoever acknowledges it is told one text with FIN;
//! what comes after that is acknowledged. Every answer follows from the segment alone, so a flood leaves
//! nothing behind, and a text that was lost is not sent again: only who acknowledges the cookie once more
//! hears it once more.

use super::{Judged, Work};
use crate::{
    abi::{REFUSAL_OCTETS, RefusalText},
    answer::{self, WINDOW},
    cookie::{cookie, epoch, past},
    counters::Counter,
    frame::Frame,
    parse::tcp::{self, Flags},
    reply,
    tables::{Tables, Verdict},
};

/// Answers a SYN with a cookie.
#[inline(always)]
pub(super) fn greeted<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    work: &mut Work,
    counter: Counter,
) -> Judged {
    if greet(frame, tables, work) {
        Judged::counted(tables, Verdict::Tx, counter)
    } else {
        Judged::counted(tables, Verdict::Drop, Counter::InternalError)
    }
}

/// What became of a segment that is no SYN.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// Nothing: it belongs to no connection that the edge has answered.
    Not,
    /// It is to be dropped.
    Silently,
    /// It became a text.
    ByText,
    /// It became an acknowledgement.
    ByAcknowledgement,
    /// It should have become one, and is fit for nothing but a drop.
    Badly,
}

/// Answers a segment that is no SYN. Out of line, and answering in a register: see
/// [`super::find::standing`].
#[inline(never)]
pub(super) fn follow<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    work: &mut Work,
    text: RefusalText,
) -> Followed {
    let (sent, followed) = match stage(frame, tables, work) {
        Stage::Unknown => return Followed::Not,
        Stage::Silent => return Followed::Silently,
        Stage::Greeted => (
            answer::say(frame, tables, &work.before, &mut work.answer, text),
            Followed::ByText,
        ),
        Stage::Told => (
            answer::send(frame, &work.before, &work.answer),
            Followed::ByAcknowledgement,
        ),
    };
    if sent { followed } else { Followed::Badly }
}

/// Counts what became of it.
#[inline(always)]
pub(super) fn judged<T: Tables>(tables: &mut T, followed: Followed, text: RefusalText) -> Judged {
    let (verdict, counter) = match (followed, text) {
        (Followed::ByText, RefusalText::Refused) => (Verdict::Tx, Counter::Refused),
        (Followed::ByText, RefusalText::Deferred) => (Verdict::Tx, Counter::Deferred),
        (Followed::ByAcknowledgement, _) => (Verdict::Tx, Counter::RefuseClosing),
        (Followed::Silently, _) => (Verdict::Drop, Counter::RefuseClosing),
        (Followed::Badly | Followed::Not, _) => (Verdict::Drop, Counter::InternalError),
    };
    Judged::counted(tables, verdict, counter)
}

/// Makes the answer to a SYN.
#[inline(never)]
fn greet<F: Frame, T: Tables>(frame: &mut F, tables: &T, work: &mut Work) -> bool {
    let Some(key) = tables.cookie_key() else {
        return false;
    };
    let Some([_, _, _, _, q0, q1, q2, q3]) = frame.read::<8>(work.before.segment.l4.into()) else {
        return false;
    };
    let (ends, port_be) = (&work.before.ends, work.before.segment.source_port_be);
    work.answer.sequence = cookie(&key, ends, port_be, epoch(work.now_s()));
    work.answer.acknowledged = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(1);
    work.answer.flags = Flags::SYN | Flags::ACK;
    work.answer.window = WINDOW;
    answer::send(frame, &work.before, &work.answer)
}

/// How far a connection is that the edge answers.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The segment acknowledges no cookie of now.
    Unknown,
    /// Nothing is to be said.
    Silent,
    /// The customer has our SYN, and no text.
    Greeted,
    /// It has some of the text, and says something of its own.
    Told,
}

/// Reads how far the connection is, and puts the answer's numbers into `work`. Out of line, and answering
/// in a register, as [`super::find::standing`] does.
#[inline(never)]
fn stage<F: Frame, T: Tables>(frame: &F, tables: &T, work: &mut Work) -> Stage {
    let segment = work.before.segment;
    if !segment.flags.has(Flags::ACK) || segment.flags.has(Flags::SYN) {
        return Stage::Unknown;
    }
    let Some(key) = tables.cookie_key() else {
        return Stage::Unknown;
    };
    let Some(header) = frame.read::<{ tcp::HEADER_OCTETS }>(segment.l4.into()) else {
        return Stage::Unknown;
    };
    let [
        _,
        _,
        _,
        _,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        data_offset,
        _,
        w0,
        w1,
        ..,
    ] = header;
    let acknowledged = u32::from_be_bytes([a0, a1, a2, a3]);
    let past = past(
        &key,
        &work.before.ends,
        segment.source_port_be,
        work.now_s(),
        acknowledged,
    );
    if past == 0 {
        return Stage::Unknown;
    }
    let Some(l4_octets) = reply::l4_octets(frame, &work.before) else {
        return Stage::Unknown;
    };
    let length =
        reply::text_octets(l4_octets, data_offset) + u32::from(segment.flags.has(Flags::FIN));
    work.answer.sequence = acknowledged;
    work.answer.acknowledged = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(length);
    work.answer.flags = Flags::ACK;
    work.answer.window = WINDOW;
    if segment.flags.has(Flags::RST) {
        return Stage::Silent;
    }
    if past > 1 {
        // A bare acknowledgement is not answered, or two such hosts would never stop.
        return if length == 0 {
            Stage::Silent
        } else {
            Stage::Told
        };
    }
    // To who has no room for the text it would be no news, and its answer would look just like this one.
    if u16::from_be_bytes([w0, w1]) < REFUSAL_OCTETS {
        return Stage::Silent;
    }
    work.answer.flags = Flags::ACK | Flags::PSH | Flags::FIN;
    Stage::Greeted
}
