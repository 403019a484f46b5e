//! Which relay a customer meets: consistent hashing over the customer's address alone.
//!
//! The controller calls [`populate`] when the relays in rotation change and writes the slots into the
//! map; the kernel program calls [`slot_of`]. A relay that comes or goes moves few customers besides
//! its own (Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI
//! 2016, section 3.4).

use core::num::NonZeroU8;

use crate::{
    abi::{NO_RELAY, SLOTS_PER_POOL},
    addr::Addr,
};

/// One relay in rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Relay number, as it will stand in the slots.
    pub number: u32,
    /// What its preferences follow from: [`identity`] of its name, so that they outlive renumbering.
    pub identity: u64,
    /// Its share of the slots, relative to the others' weights.
    pub weight: NonZeroU8,
}

/// How far [`populate`] has come with one member; scratch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Turns that it has had.
    taken: u32,
    /// Place on its list of preferences.
    place: u32,
}

/// The identity of a relay with this name.
#[must_use]
pub fn identity(name: &[u8]) -> u64 {
    // FNV-1a: names are short, and nobody who could choose them is an adversary.
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

/// Fills `slots` so that every member has the share that its weight says, and keeps most of its slots when
/// others change.
///
/// `slots` must have a prime number of entries ([`SLOTS_PER_POOL`] is one), or a member's
/// preferences would not visit them all. `turns` is scratch, at least as long as `members`; members
/// beyond it are left out. Without members every slot becomes [`NO_RELAY`]. Members take turns, as often as
/// they weigh; of two whose turn it is, the one given first goes first, so give them in an order that does
/// not change (by name). Which of two members goes first does not depend on a third.
pub fn populate(members: &[Member], turns: &mut [Turn], slots: &mut [u32]) {
    slots.fill(NO_RELAY);
    fill(members, turns, slots);
}

/// As [`populate`], of the slots that have no relay: what the others have stays theirs.
pub fn fill(members: &[Member], turns: &mut [Turn], slots: &mut [u32]) {
    turns.fill(Turn::default());
    let size = slots.len() as u64;
    if size < 2 {
        return;
    }
    let empty = slots.iter().filter(|slot| **slot == NO_RELAY).count();
    for _slot in 0..empty {
        let mut members = members.iter().zip(turns.iter_mut());
        let Some(first) = members.next() else {
            return;
        };
        let (member, turn) = members.fold(first, |next, other| {
            if is_before(&other, &next) {
                other
            } else {
                next
            }
        });
        take_turn(member, turn, slots, size);
    }
}

/// Whether one member's next turn comes before another's: by turns over weight, multiplied out.
fn is_before(one: &(&Member, &mut Turn), other: &(&Member, &mut Turn)) -> bool {
    let due = |turn: &Turn, weight: NonZeroU8| u64::from(turn.taken + 1) * u64::from(weight.get());
    due(one.1, other.0.weight) < due(other.1, one.0.weight)
}

/// Gives a member the next slot on its list that nobody has taken. The list visits every slot once, so while
/// one is empty there is one.
fn take_turn(member: &Member, turn: &mut Turn, slots: &mut [u32], size: u64) {
    let offset = mix(member.identity) % size;
    let skip = mix(member.identity ^ SECOND_HASH) % (size - 1) + 1;
    turn.taken += 1;
    while u64::from(turn.place) < size {
        let index = (offset + u64::from(turn.place) * skip) % size;
        turn.place += 1;
        let slot = usize::try_from(index)
            .ok()
            .and_then(|index| slots.get_mut(index));
        if let Some(slot) = slot.filter(|slot| **slot == NO_RELAY) {
            *slot = member.number;
            return;
        }
    }
}

/// The slot of a customer in its pool's part of the table.
///
/// Hosts rotate their address inside an IPv6 /64, so all of it meets the same relay.
#[inline(always)]
#[must_use]
pub fn slot_of(customer: Addr) -> u32 {
    slot_of_key(&customer.customer_key())
}

/// The same by [`Addr::customer_key`].
#[inline(always)]
pub(crate) fn slot_of_key(key: &[u8; 16]) -> u32 {
    // A product instead of a remainder: of all instructions the division is the dearest.
    (((fold(key) >> 32) * u64::from(SLOTS_PER_POOL)) >> 32) as u32
}

/// Hashes a mapped address.
#[inline(always)]
pub(crate) fn fold(octets: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *octets;
    let high = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    mix(high ^ mix(u64::from_be_bytes([i, j, k, l, m, n, o, p])))
}

/// Spreads neighbouring inputs (addresses of one network, ports of one host) over all 64 bits: the
/// finaliser of SplitMix64.
#[inline(always)]
#[must_use]
pub const fn mix(input: u64) -> u64 {
    let mut hash = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Largest weight that a relay may be given.
pub const WEIGHT_MAX: u8 = 100;

/// Makes a second, independent hash of one identity.
const SECOND_HASH: u64 = 0x5bd1_e995_9d1b_a5e3;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn table(numbers: &[u32]) -> Vec<u32> {
        let members: Vec<(u32, u8)> = numbers.iter().map(|number| (*number, 1)).collect();
        weighted(&members)
    }

    /// The slots of relays with these numbers and weights.
    fn weighted(relays: &[(u32, u8)]) -> Vec<u32> {
        let members: Vec<Member> = relays
            .iter()
            .map(|(number, weight)| Member {
                number: *number,
                identity: identity(format!("relay-{number}").as_bytes()),
                weight: NonZeroU8::new(*weight).unwrap(),
            })
            .collect();
        let mut slots = vec![0; SLOTS_PER_POOL as usize];
        let mut turns = vec![Turn::default(); members.len()];
        populate(&members, &mut turns, &mut slots);
        slots
    }

    fn share(slots: &[u32], number: u32) -> usize {
        slots.iter().filter(|slot| **slot == number).count()
    }

    /// Slots of other relays than `lost` that changed hands.
    fn moved(before: &[u32], after: &[u32], lost: u32) -> usize {
        let pairs = before.iter().zip(after);
        pairs.filter(|(b, a)| **b != lost && b != a).count()
    }

    #[test]
    fn every_relay_has_its_share() {
        let slots = table(&[0, 1, 2, 3, 4]);
        for number in 0..5 {
            let share = share(&slots, number);
            assert!(
                share.abs_diff(slots.len() / 5) <= 1,
                "relay {number} has {share}"
            );
        }
    }

    #[test]
    fn equal_weights_are_no_weights() {
        assert_eq!(weighted(&[(0, 7), (1, 7), (2, 7)]), table(&[0, 1, 2]));
    }

    #[test]
    fn a_lost_relay_moves_few_customers_of_the_others() {
        let (before, after) = (table(&[0, 1, 2, 3, 4]), table(&[0, 1, 3, 4]));
        assert!(!after.contains(&2));
        let moved = moved(&before, &after, 2);
        assert!(
            moved * 10 < before.len(),
            "{moved} of {} moved",
            before.len()
        );
    }

    proptest! {
        #[test]
        fn weights_are_shares_and_a_lost_relay_moves_little_else(
            weights in vec(1..=WEIGHT_MAX, 2..9),
            lost: prop::sample::Index,
        ) {
            let relays: Vec<(u32, u8)> = (0..).zip(weights).collect();
            let before = weighted(&relays);
            let total: usize = relays.iter().map(|(_, weight)| usize::from(*weight)).sum();
            for (number, weight) in &relays {
                let expected = before.len() * usize::from(*weight) / total;
                let share = share(&before, *number);
                // Within one turn of each of the others.
                prop_assert!(share.abs_diff(expected) <= relays.len(), "{share} for {expected}");
            }
            let (lost, _) = relays[lost.index(relays.len())];
            let left: Vec<_> = relays.iter().copied().filter(|(number, _)| *number != lost).collect();
            let after = weighted(&left);
            prop_assert_eq!(share(&after, lost), 0);
            // The lost relay's slots go round the others' lists, and push some of theirs on.
            let moved = moved(&before, &after, lost);
            prop_assert!(moved * 5 <= before.len(), "{moved} of {} moved", before.len());
        }
    }

    #[test]
    fn without_relays_no_slot_has_one() {
        assert!(table(&[]).iter().all(|slot| *slot == NO_RELAY));
    }

    #[test]
    fn one_relay_has_every_slot() {
        assert!(table(&[7]).iter().all(|slot| *slot == 7));
    }

    #[test]
    fn the_number_of_slots_is_prime() {
        assert!(
            (2..SLOTS_PER_POOL)
                .take_while(|d| d * d <= SLOTS_PER_POOL)
                .all(|d| !SLOTS_PER_POOL.is_multiple_of(d))
        );
    }

    #[test]
    fn all_of_a_64_meets_one_relay() {
        let mut octets = [
            0x20, 1, 0xd, 0xb8, 0, 0xa, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let slot = slot_of(Addr::V6(octets));
        octets[15] = 0x77;
        assert_eq!(slot_of(Addr::V6(octets)), slot);
        octets[7] = 0xb;
        assert_ne!(slot_of(Addr::V6(octets)), slot);
    }
}
