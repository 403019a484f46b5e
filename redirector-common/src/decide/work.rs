//! The working memory of one judgement.

use crate::{
    abi::{Bucket, Flow, FlowKey, L2Path, Policy, Relay, TunnelKey},
    addr::{Addr, FAMILY_V4},
    answer::Answer,
    clamp::Options,
    flow::Connection,
    rewrite::{Before, Rewrite, quoted::Quoted, tunnel::Envelope},
    too_big::Quotation,
};

/// All that a judgement of a mail segment works with. Plain integers throughout: any octets are a
/// valid value, and each step writes what later steps read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// What was read from the frame.
    pub(super) before: Before,
    /// Policy of its source.
    pub(super) policy: Policy,
    /// When, nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) now_ns: u64,
    /// [`Addr::customer_key`] of the customer.
    pub(super) customer: [u8; 16],
    /// What is remembered of it.
    pub(super) bucket: Bucket,
    /// The relay that is being considered.
    pub(super) target: Target,
    /// The entry's key that is being considered.
    pub(super) key: FlowKey,
    /// An entry to be made.
    pub(super) flow: Flow,
    /// What the frame becomes.
    pub(super) rewrite: Rewrite,
    /// An ICMP error.
    pub(super) quoted: Quoted,
    /// What the edge itself says.
    pub(super) answer: Answer,
    /// How the packet goes into the relay's tunnel.
    pub(super) envelope: Envelope,
    /// The packet's start, where it is too big.
    pub(super) quotation: Quotation,
    /// Options of a SYN whose segments must fit into the tunnel.
    pub(super) options: Options,
    /// The tunnel that a packet came by.
    pub(super) tunnel_key: TunnelKey,
    /// 1 if a relay beyond the uplink may have sent the frame. Here and not in a register, as [`Before::whole`].
    pub(super) beyond: u8,
}

impl Work {
    /// The policy that the last judgement has found, if it says that it went by one.
    #[inline(always)]
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Source and destination of the frame that was judged last, [`Addr::mapped`].
    #[inline(always)]
    #[must_use]
    pub const fn ends(&self) -> [&[u8; 16]; 2] {
        [&self.before.ends.source, &self.before.ends.destination]
    }

    /// The connection that the customer's segment belongs to.
    #[inline(always)]
    pub(super) const fn connection(&self) -> Connection<'_> {
        Connection {
            customer: &self.before.ends.source,
            port_be: self.before.segment.source_port_be,
            original_dst: &self.before.ends.destination,
        }
    }

    /// The same time in seconds.
    #[inline(always)]
    pub(super) const fn now_s(&self) -> u32 {
        // 136 years after boot.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let seconds = (self.now_ns / NANOSECONDS) as u32;
        seconds
    }

    /// Considers this relay; `false` if it does not listen on the segment's family.
    #[inline(always)]
    pub(super) fn aim(&mut self, number: u16, relay: &Relay) -> bool {
        self.target.number = number;
        self.target.port_be = relay.port_be;
        self.target.tunnelled = u8::from(relay.tunnel.is_one());
        if self.before.ends.family == FAMILY_V4 {
            self.target.addr = Addr::V4(relay.addr4).mapped();
            self.target.path = relay.path4;
            relay.addr4 != [0; 4]
        } else {
            self.target.addr = relay.addr6;
            self.target.path = relay.path6;
            relay.addr6 != [0; 16]
        }
    }

    /// Considers the `nth` candidate towards the relay.
    #[inline(always)]
    pub(super) fn point(&mut self, nth: u32) {
        self.key = FlowKey {
            customer: self.before.ends.source,
            relay: self.target.addr,
            shown_port_be: self.connection().candidate(nth),
            relay_port_be: self.target.port_be,
            family: self.before.ends.family,
            reserved8: 0,
            reserved16: 0,
        };
    }

    /// Considers the connection that the segment is an answer on.
    #[inline(always)]
    pub(super) fn point_back(&mut self) {
        let (segment, ends) = (&self.before.segment, &self.before.ends);
        self.key = FlowKey {
            customer: ends.destination,
            relay: ends.source,
            shown_port_be: segment.destination_port_be,
            relay_port_be: segment.source_port_be,
            family: ends.family,
            reserved8: 0,
            reserved16: 0,
        };
    }
}

/// A relay as a customer's connection meets it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    /// The way to it.
    pub(super) path: L2Path,
    /// Listener, [`Addr::mapped`].
    pub(super) addr: [u8; 16],
    /// Relay number.
    pub(super) number: u16,
    /// Its port.
    pub(super) port_be: [u8; 2],
    /// 1 if it is reached through a tunnel.
    pub(super) tunnelled: u8,
}

/// In a second.
pub(super) const NANOSECONDS: u64 = 1_000_000_000;
