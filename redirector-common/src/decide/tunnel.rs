//! Relays that are reached through a tunnel: the same packets, behind another IP header.
//!
//! What goes to such a relay is judged as always, and then sealed. What comes from it is opened first, and the
//! packet inside judged as one from a relay, whatever interface it came in by. An outer header can be forged by
//! whoever is not kept from it, so of what was inside only that goes on which steering makes: answers, errors, and the
//! relays' own legs. Nothing else gets past a firewall by saying that it is from a relay.

use super::{Judged, Work};
use crate::{
    abi::{Tunnel, TunnelKey},
    addr::{FAMILY_V4, FAMILY_V6},
    clamp,
    counters::Counter,
    frame::Frame,
    parse::{
        ether::{IPV4_BE, Link, TAG_OCTETS},
        tcp::{self, Flags},
    },
    rewrite::{
        Before, is_present,
        tunnel::{finish, make_room},
    },
    tables::{Tables, Verdict},
    too_big,
    tunnel::{
        ecn,
        outer::{Inner, Outer},
    },
};

/// What became of a packet that was to go through a tunnel.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// It is in.
    Done,
    /// It is too big, and fit for nothing but a drop.
    TooBig,
    /// It is too big, and became the answer that says so.
    Answered,
    /// It ends before its headers say so.
    Cut,
    /// It could not be done; the frame is fit for nothing but a drop.
    Badly,
}

/// Puts the packet into the tunnel to the relay that `work` points at. Out of line, and answering in a register:
/// see [`super::find::standing`].
#[inline(never)]
pub(super) fn seal<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, work: &mut Work) -> Sealed {
    let Some(relay) = tables.relay(u32::from(work.target.number)) else {
        return Sealed::Badly;
    };
    work.envelope.tunnel = relay.tunnel;
    if !relay.tunnel.is_one() {
        return Sealed::Badly;
    }
    let Some(inner) = Inner::read(frame, work.before.link) else {
        return Sealed::TooBig;
    };
    work.envelope.inner = inner;
    // What is cut off would contradict the header around it.
    let octets = inner.octets;
    if usize::from(work.before.link.octets) + usize::from(octets) > frame.octets() {
        return Sealed::Cut;
    }
    let mtu = work.envelope.tunnel.mtu;
    if octets > Tunnel::MTU_MAX || longest(frame, work) > usize::from(mtu) {
        // No error is sent about an error (RFC 1122 section 3.2.2, RFC 4443 section 2.4, e.1), of which the segment has
        // no flags.
        return if work.before.segment.flags != Flags(0)
            && too_big::send(frame, &work.before, &mut work.quotation, mtu)
        {
            Sealed::Answered
        } else {
            Sealed::TooBig
        };
    }
    let Work {
        before,
        target,
        envelope,
        options,
        ..
    } = work;
    if !make_room(frame, before, &target.path, envelope) {
        return Sealed::Badly;
    }
    let l4 = usize::from((before.segment.l4 + envelope.l3).wrapping_sub(before.link.octets));
    if before.segment.flags.has(Flags::SYN)
        && !clamp::lower(frame, options, l4, segment_octets(mtu, before.ends.family))
    {
        return Sealed::Badly;
    }
    if !finish(frame, before, envelope) {
        return Sealed::Badly;
    }
    tables.count(Counter::Tunnelled);
    Sealed::Done
}

impl Sealed {
    /// The judgement on a packet that is not on its way.
    #[inline(always)]
    pub(super) fn stopped<T: Tables>(self, tables: &mut T) -> Judged {
        let (verdict, counter) = match self {
            Self::Answered => (Verdict::Tx, Counter::TunnelTooBig),
            Self::TooBig => (Verdict::Drop, Counter::TunnelTooBig),
            Self::Cut => (Verdict::Drop, Counter::TunnelRefused),
            Self::Badly | Self::Done => (Verdict::Drop, Counter::InternalError),
        };
        Judged::counted(tables, verdict, counter)
    }
}

/// Octets of the packet, or of the longest that a merged one is taken apart into.
#[inline(always)]
fn longest<F: Frame>(frame: &F, work: &Work) -> usize {
    let piece = frame.piece_octets();
    if piece == 0 {
        return work.envelope.inner.octets.into();
    }
    let Before { segment, link, .. } = &work.before;
    let header = frame.read::<2>(usize::from(segment.l4) + tcp::DATA_OFFSET_AT);
    let header = header.map_or(tcp::HEADER_OCTETS, |[offset, _]| {
        usize::from(offset >> 4) * 4
    });
    usize::from(segment.l4.saturating_sub(link.octets)) + header + piece
}

/// What a packet that came by a tunnel is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// Not by one of ours: it is as it was.
    Strange,
    /// By one of ours, and nothing that it carries.
    Refused,
    /// Taken out of the tunnel of that relay.
    Taken(u32),
}

/// Opens a packet that comes by a tunnel, if its ends are a relay's and ours.
#[inline(always)]
pub(super) fn open<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, link: Link) -> Opened {
    match take(frame, tables, link) {
        STRANGE => Opened::Strange,
        REFUSED => Opened::Refused,
        relay => {
            tables.count(Counter::Untunnelled);
            Opened::Taken(relay)
        }
    }
}

/// Takes the packet out; answers with the relay's number, or [`STRANGE`], or [`REFUSED`].
#[inline(never)]
fn take<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, link: Link) -> u32 {
    let Some(mut work) = tables.work() else {
        return REFUSED;
    };
    work.before.link = link;
    if !work.before.ends.read(frame, link) {
        return STRANGE;
    }
    work.tunnel_key = TunnelKey {
        far: work.before.ends.source,
        near: work.before.ends.destination,
        family: work.before.ends.family,
        reserved8: 0,
        reserved16: 0,
    };
    let Some(relay) = tables.tunnel_end(&work.tunnel_key) else {
        return STRANGE;
    };
    let Outer::Plain(outer) = Outer::read(frame, link) else {
        return REFUSED;
    };
    frame.about_to_change();
    let inner = Link {
        ethertype_be: outer.ethertype_be,
        octets: link.octets + outer.octets,
    };
    if !ecn::hand_on(frame, inner, &outer) {
        return REFUSED;
    }
    // Ethernet wants 60 octets, and not every driver adds them; where there is no room for them, none are wanted.
    let padded = usize::from(link.octets) + beside(frame) + PADDED_OCTETS;
    if !frame.take_room(&link, outer.ethertype_be, outer.octets) {
        return REFUSED;
    }
    if frame.octets() < padded {
        let _as_it_is = frame.resize(padded - beside(frame));
    }
    relay
}

/// Octets of the tag that is not among the frame's.
#[inline(always)]
fn beside<F: Frame>(frame: &F) -> usize {
    if is_present(frame.tag_beside()) {
        TAG_OCTETS
    } else {
        0
    }
}

/// Lowers the maximum segment size of a SYN that came by the tunnel of that relay. Out of line: the stack.
#[inline(never)]
pub(super) fn clamp<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    relay: u32,
    link: Link,
    l4: u16,
) -> bool {
    let (Some(mut work), Some(relay)) = (tables.work(), tables.relay(relay)) else {
        return false;
    };
    let v4 = link.ethertype_be == IPV4_BE;
    let family = if v4 { FAMILY_V4 } else { FAMILY_V6 };
    let most = segment_octets(relay.tunnel.mtu, family);
    clamp::lower(frame, &mut work.options, l4.into(), most)
}

/// Whether the judgement on a packet out of a tunnel may stand: it is of a steered connection, or it ends here.
#[inline(always)]
pub(super) const fn may_stand(judged: &Judged) -> bool {
    match judged.counter {
        None | Some(Counter::Malformed) => false,
        Some(_) => true,
    }
}

/// The maximum segment size in packets of `mtu` octets.
#[inline(always)]
const fn segment_octets(mtu: u16, family: u8) -> u16 {
    let headers = if family == FAMILY_V4 { 40 } else { 60 };
    mtu.saturating_sub(headers)
}

/// No relay's numbers.
const STRANGE: u32 = u32::MAX;
const REFUSED: u32 = u32::MAX - 1;
const PADDED_OCTETS: usize = 46;
