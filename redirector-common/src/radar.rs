//! The radar's arithmetic that kernel and user space share: where a destination stands in a
//! HyperLogLog, and what a short connection is.
//!
//! 128 registers of one octet give a standard error of 1.04 / sqrt(128) = 9 %: enough to tell 300
//! networks from 400, in two cache lines. They are not packed, because a packed register shares its
//! word with others, and two CPUs would undo one another's.

use crate::{
    addr::AddrRef,
    maglev::{fold, mix},
};

/// Registers of a sketch, a power of two.
pub const REGISTERS: usize = 128;

/// A far side that ends a connection having said no more than this has hardly taken mail on it: a
/// greeting and a refusal fit, but most servers need more for a greeting, an `EHLO` reply and the four
/// replies of a transaction (RFC 5321 section 4.3.2), and any does for STARTTLS.
pub const SHORT_OCTETS: u32 = 256;

/// Where a destination stands in a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of its register, below [`REGISTERS`].
    pub register: u8,
    /// What the register is at least: one more than the zeros at the end of the hash.
    pub rank: u8,
}

/// How the far side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// By RST.
    pub reset: bool,
    /// After [`SHORT_OCTETS`] or less.
    pub short: bool,
}

impl Place {
    /// The place of a destination's network: its /24 or /48. A provider's mail exchangers are often
    /// neighbours, so addresses would say more about the provider than about the sender.
    #[inline(always)]
    #[must_use]
    pub const fn of(destination: AddrRef<'_>) -> Self {
        let [a, b, c, d, e, f, ..] = *destination.mapped;
        let network = match destination.v4() {
            // The family keeps an IPv4 network apart from an IPv6 one with the same octets.
            Some([a, b, c, _]) => u64::from_be_bytes([4, 0, 0, 0, 0, *a, *b, *c]),
            None => u64::from_be_bytes([6, 0, a, b, c, d, e, f]),
        };
        Self::of_hash(mix(network))
    }

    #[inline(always)]
    const fn of_hash(hash: u64) -> Self {
        // The guard bit ends the zeros before the register's own bits are counted twice.
        let zeros = ((hash >> REGISTER_BITS) | GUARD).trailing_zeros();
        #[expect(clippy::cast_possible_truncation, reason = "masked, and at most 57")]
        let (register, zeros) = ((hash & (REGISTERS as u64 - 1)) as u8, zeros as u8);
        Self {
            register,
            rank: zeros + 1,
        }
    }
}

/// Identity of a connection to port 25 as it comes back: who connected, from which port, to whom.
#[inline(always)]
pub(crate) fn connection(customer: &[u8; 16], port_be: [u8; 2], far: &[u8; 16]) -> u64 {
    mix(fold(customer) ^ mix(fold(far)) ^ (u64::from(u16::from_be_bytes(port_be)) << 32))
}

const REGISTER_BITS: u32 = REGISTERS.trailing_zeros();
const GUARD: u64 = 1 << (u64::BITS - REGISTER_BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Addr;

    fn place(addr: Addr) -> Place {
        Place::of(AddrRef {
            mapped: &addr.mapped(),
            family: addr.family(),
        })
    }

    #[test]
    fn neighbours_share_a_place() {
        let v4 = |c, d| place(Addr::V4([203, 0, c, d]));
        assert_eq!(v4(113, 10), v4(113, 20));
        assert_ne!(v4(113, 10), v4(114, 10));
        let v6 = |b: u8, last: u8| {
            let mut octets = [0x20, 1, 0x0d, 0xb8, 0, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            octets[6] = last;
            octets[15] = last;
            place(Addr::V6(octets))
        };
        assert_eq!(v6(1, 0), v6(1, 9));
        assert_ne!(v6(1, 0), v6(2, 0));
    }

    #[test]
    fn ranks_are_bounded() {
        assert_eq!(Place::of_hash(0).rank, 58);
        assert_eq!(
            Place::of_hash(u64::MAX),
            Place {
                register: 127,
                rank: 1
            }
        );
        assert_eq!(Place::of_hash(1 << 9).rank, 3);
    }
}
