//! What becomes of a frame.
//!
//! [`judge`] is the whole data plane: it reads the frame, asks the [`Tables`], changes the frame in
//! place where the verdict needs it, and counts. Direction comes from the role of the interface, never
//! from ports alone; nothing that a relay sends is ever diverted, so no frame can loop. What is not
//! mail passes with the octets that it came with, and, unless a relay sent it, before any map is asked.

mod bucket;
mod customer;
mod deep;
mod find;
mod icmp;
mod limit;
mod open;
mod radar;
mod refuse;
mod relay;
mod steer;
mod tunnel;
mod uplink;
mod work;

use self::tunnel::Opened;
pub use self::work::Work;
use crate::{
    abi::{NO_RELAY, Policy, Role, RoleKey},
    counters::Counter,
    frame::Frame,
    parse::{
        self, Packet,
        ether::{self, Link},
        tcp::{Flags, SMTP_PORT_BE},
        usual,
    },
    tables::{Tables, Verdict},
};

/// Where a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Interface index.
    pub ifindex: u32,
    /// Role of the interface; `None` = by the frame's tags.
    pub role: Option<Role>,
}

/// The verdict, and why. Without what need not be there: an `Option`'s content is undefined where there is none, and the
/// verifier refuses a program whose compiler moves it about all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What becomes of the frame.
    pub verdict: Verdict,
    /// The counter that says most about it; `None` = not mail, not counted.
    pub counter: Option<Counter>,
    /// Whether there is a policy that applied to the source.
    pub has_policy: bool,
    /// That policy, or zeros.
    pub policy: Policy,
    /// Number of the relay that it went to or came from, or [`NO_RELAY`].
    pub relay: u32,
}

/// Whether one look at a customer's frame is enough to let it pass, uncounted: mail it is not. [`judge`] would say
/// the same; this is for executors that can say so sooner.
#[inline(always)]
pub fn is_bystander<F: Frame>(frame: &F) -> bool {
    match usual::packet(frame) {
        Some((_, Packet::Tcp(segment))) => segment.destination_port_be != SMTP_PORT_BE,
        Some((_, packet)) => packet == Packet::NotOurs,
        None => false,
    }
}

/// Judges one frame.
#[inline(always)]
pub fn judge<F: Frame, T: Tables>(frame: &mut F, tables: &mut T, ingress: Ingress) -> Judged {
    let read = usual::packet(frame).or_else(|| {
        let link = ether::link(frame)?;
        Some((link, parse::packet(frame, link)))
    });
    let Some((link, packet)) = read else {
        return Judged::UNTOUCHED;
    };
    let role = match ingress.role {
        Some(role) => Some(role),
        None => role_key(frame, link, packet, ingress.ifindex).and_then(|key| tables.role(&key)),
    };
    let Some(role) = role else {
        return Judged::UNTOUCHED;
    };
    if packet == Packet::Tunnel && !matches!(role, Role::Customer) {
        match tunnel::open(frame, tables, link) {
            Opened::Strange => {}
            Opened::Refused => {
                return Judged::counted(tables, Verdict::Drop, Counter::TunnelRefused);
            }
            Opened::Taken(relay) => return taken(frame, tables, ingress, relay),
        }
    }
    by_role(frame, tables, ingress.ifindex, role, (link, packet))
}

/// Judges a packet that came in the tunnel of a relay.
#[inline(always)]
fn taken<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    ingress: Ingress,
    relay: u32,
) -> Judged {
    let Some(link) = ether::link(frame) else {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    };
    let packet = parse::tunnel::inner(frame, link);
    if let Packet::Tcp(segment) = packet
        && segment.flags.has(Flags::SYN)
        && !tunnel::clamp(frame, tables, relay, link, segment.l4)
    {
        return Judged::counted(tables, Verdict::Drop, Counter::InternalError);
    }
    let judged = by_role(frame, tables, ingress.ifindex, Role::Relay, (link, packet));
    if !tunnel::may_stand(&judged) {
        return Judged::counted(tables, Verdict::Drop, Counter::TunnelRefused);
    }
    if judged.verdict == Verdict::Pass {
        frame.about_to_pass();
    }
    judged
}

/// Judges what was read of a frame.
#[inline(always)]
fn by_role<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &mut T,
    ifindex: u32,
    role: Role,
    (link, packet): (Link, Packet),
) -> Judged {
    if packet == Packet::Icmp {
        return icmp::judge(frame, tables, role, link);
    }
    if packet == Packet::Deep {
        return deep::judge(frame, tables, role, link);
    }
    match role {
        Role::Customer => customer::judge(frame, tables, ifindex, link, packet),
        Role::Uplink => uplink::judge(frame, tables, link, packet),
        Role::Relay => relay::judge(frame, tables, link, packet),
    }
}

/// Key of the role of the packet.
#[inline(always)]
fn role_key<F: Frame>(frame: &F, link: Link, packet: Packet, ifindex: u32) -> Option<RoleKey> {
    if packet == Packet::Deep {
        ether::deep_role_key(frame, ifindex)
    } else {
        ether::role_key(frame, link, ifindex)
    }
}

impl Judged {
    /// Nothing to us.
    const UNTOUCHED: Self = Self {
        verdict: Verdict::Pass,
        counter: None,
        has_policy: false,
        policy: Policy::NONE,
        relay: NO_RELAY,
    };

    /// Counts, and remembers that.
    #[inline(always)]
    fn counted<T: Tables>(tables: &mut T, verdict: Verdict, counter: Counter) -> Self {
        tables.count(counter);
        Self {
            verdict,
            counter: Some(counter),
            ..Self::UNTOUCHED
        }
    }

    #[inline(always)]
    const fn under(self, policy: Policy) -> Self {
        Self {
            has_policy: true,
            policy,
            ..self
        }
    }

    #[inline(always)]
    fn by_relay(self, number: u16) -> Self {
        Self {
            relay: u32::from(number),
            ..self
        }
    }
}
