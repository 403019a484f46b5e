//! The life of one diverted connection: what both sides have shown, how long the entry stays, and
//! under which ports it may stand in the table.
//!
//! The kernel program makes and marks entries; it never deletes one. The controller's sweeper deletes
//! those for which [`expired`] holds.

use crate::{
    abi::Flow,
    maglev::{fold, mix},
    parse::tcp::Flags,
};

/// The side opened its direction: the customer's SYN, the relay's SYN-ACK.
pub const SEEN_SYN: u8 = 1;
/// The side sent a segment that only follows a handshake.
pub const SEEN_ACK: u8 = 2;
/// The side closed its direction.
pub const SEEN_FIN: u8 = 4;
/// The side's latest segment was an RST.
pub const SEEN_RST: u8 = 8;

/// Ports under which a connection may be shown to the relay, its own first.
pub const CANDIDATES: u32 = 8;
/// How long connections that were let through may go on, in seconds.
pub const GRACE_S: u32 = 600;

/// Where in its life a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake is not complete.
    Opening,
    /// Data may flow, one side may have closed its direction.
    Established,
    /// Both sides have closed.
    Closing,
    /// One side has reset it.
    Reset,
}

impl Phase {
    /// Seconds without a segment after which the entry may go.
    #[inline(always)]
    #[must_use]
    pub const fn timeout_s(self) -> u32 {
        match self {
            Self::Opening => 30,
            Self::Established => 30 * 60,
            Self::Closing => 60,
            Self::Reset => 10,
        }
    }
}

/// Where in its life the connection of an entry is.
#[inline(always)]
#[must_use]
pub const fn phase(flow: &Flow) -> Phase {
    let either = flow.from_customer | flow.from_relay;
    let both = flow.from_customer & flow.from_relay;
    if either & SEEN_RST != 0 {
        Phase::Reset
    } else if both & SEEN_FIN != 0 {
        Phase::Closing
    } else if flow.from_customer & SEEN_ACK != 0 && flow.from_relay & SEEN_SYN != 0 {
        Phase::Established
    } else {
        Phase::Opening
    }
}

/// Whether the entry has outlived its time at `now_s` (seconds of `CLOCK_MONOTONIC`).
#[inline(always)]
#[must_use]
pub const fn expired(flow: &Flow, now_s: u32) -> bool {
    // Another CPU may have marked the entry a moment after `now_s` was read.
    now_s.saturating_sub(flow.last_seen_s) > phase(flow).timeout_s()
}

/// Whether a SYN of the same connection makes a new connection of the entry. A SYN of another one
/// never does: the relay may hold the old one in TIME_WAIT.
#[inline(always)]
#[must_use]
pub const fn reopens(flow: &Flow, now_s: u32) -> bool {
    matches!(phase(flow), Phase::Closing | Phase::Reset) || expired(flow, now_s)
}

/// What a side has shown after one more segment with these flags.
#[inline(always)]
#[must_use]
pub const fn seen(before: u8, flags: Flags) -> u8 {
    // An RST that the far end ignored (RFC 5961 section 3) is followed by ordinary segments, so the
    // bit does not stick: a forged RST must not shorten a live connection's entry.
    let mut after = before & !SEEN_RST;
    if flags.has(Flags::RST) {
        return after | SEEN_RST;
    }
    if flags.has(Flags::SYN) {
        after |= SEEN_SYN;
    } else {
        after |= SEEN_ACK;
    }
    if flags.has(Flags::FIN) {
        after |= SEEN_FIN;
    }
    after
}

/// A customer's connection to port 25, as the customer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The customer's address, [`crate::addr::Addr::mapped`].
    pub customer: &'a [u8; 16],
    /// The port that it chose.
    pub port_be: [u8; 2],
    /// Whom it meant to reach (the MX), [`crate::addr::Addr::mapped`].
    pub original_dst: &'a [u8; 16],
}

impl Connection<'_> {
    /// Whether the entry is this connection's. Customer and family are in the entry's key.
    #[inline(always)]
    #[must_use]
    pub fn owns(&self, flow: &Flow) -> bool {
        flow.customer_port_be == self.port_be && flow.original_dst == *self.original_dst
    }

    /// The port that the relay is shown at the `nth` attempt, `0..CANDIDATES`: the customer's own,
    /// then ports that follow from the connection alone, so that every segment finds them again.
    #[inline(always)]
    #[must_use]
    pub fn candidate(&self, nth: u32) -> [u8; 2] {
        if nth == 0 {
            return self.port_be;
        }
        let seed = fold(self.customer)
            ^ mix(fold(self.original_dst))
            ^ u64::from(u16::from_be_bytes(self.port_be));
        let hash = mix(seed.wrapping_add(u64::from(nth) << 32));
        // Above the well-known ports: some servers distrust those.
        let spread = ((hash >> 32) * LAST_PORTS) >> 32;
        #[expect(clippy::cast_possible_truncation, reason = "at most 65535")]
        let port = (FIRST_PORT + spread) as u16;
        port.to_be_bytes()
    }
}

/// First port of the derived candidates.
const FIRST_PORT: u64 = 1024;
/// How many ports there are from it on.
const LAST_PORTS: u64 = 65536 - FIRST_PORT;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Addr;

    fn flow(from_customer: u8, from_relay: u8) -> Flow {
        Flow {
            from_customer,
            from_relay,
            last_seen_s: 1000,
            ..Flow::default()
        }
    }

    #[track_caller]
    fn check(from_customer: &[u8], from_relay: &[u8], phase_expected: Phase, timeout_s: u32) {
        let run = |flags: &[u8]| {
            flags
                .iter()
                .fold(0, |before, flags| seen(before, Flags(*flags)))
        };
        let flow = flow(run(from_customer), run(from_relay));
        assert_eq!(phase(&flow), phase_expected);
        assert!(!expired(&flow, 1000 + timeout_s));
        assert!(expired(&flow, 1001 + timeout_s));
        assert!(
            !expired(&flow, 999),
            "a clock that was read earlier expires nothing"
        );
    }

    const SYN: u8 = Flags::SYN;
    const ACK: u8 = Flags::ACK;
    const FIN: u8 = Flags::FIN;
    const RST: u8 = Flags::RST;

    #[test]
    fn each_phase_has_its_timeout() {
        check(&[SYN], &[], Phase::Opening, 30);
        check(&[SYN], &[SYN | ACK], Phase::Opening, 30);
        check(&[SYN, ACK], &[], Phase::Opening, 30);
        check(&[SYN, ACK], &[SYN | ACK], Phase::Established, 1800);
        check(
            &[SYN, ACK, FIN | ACK],
            &[SYN | ACK],
            Phase::Established,
            1800,
        );
        check(
            &[SYN, ACK, FIN | ACK],
            &[SYN | ACK, FIN | ACK],
            Phase::Closing,
            60,
        );
        check(&[SYN, ACK], &[SYN | ACK, RST], Phase::Reset, 10);
        check(&[SYN, RST], &[SYN | ACK], Phase::Reset, 10);
    }

    #[test]
    fn a_reset_that_nobody_heeds_is_forgotten() {
        check(
            &[SYN, ACK, RST, ACK],
            &[SYN | ACK],
            Phase::Established,
            1800,
        );
    }

    #[test]
    fn only_what_has_ended_reopens() {
        assert!(!reopens(&flow(SEEN_SYN, 0), 1000));
        assert!(reopens(&flow(SEEN_SYN, 0), 1031));
        assert!(!reopens(
            &flow(SEEN_SYN | SEEN_ACK, SEEN_SYN | SEEN_FIN),
            1000
        ));
        assert!(reopens(&flow(SEEN_FIN, SEEN_FIN), 1000));
        assert!(reopens(&flow(SEEN_RST, 0), 1000));
    }

    #[test]
    fn candidates_are_distinct_and_unprivileged() {
        let customer = Addr::V4([192, 0, 2, 10]).mapped();
        let candidates = |mx: u8| {
            let original_dst = Addr::V4([203, 0, 113, mx]).mapped();
            let connection = Connection {
                customer: &customer,
                port_be: 40000_u16.to_be_bytes(),
                original_dst: &original_dst,
            };
            (0..CANDIDATES)
                .map(|nth| connection.candidate(nth))
                .collect::<Vec<_>>()
        };
        let first = candidates(10);
        assert_eq!(first[0], 40000_u16.to_be_bytes());
        for (index, port) in first.iter().enumerate() {
            assert!(u16::from_be_bytes(*port) >= 1024);
            assert!(!first[..index].contains(port), "candidate {index} repeats");
        }
        assert_ne!(
            first[1..],
            candidates(20)[1..],
            "two destinations have their own candidates"
        );
    }
}
