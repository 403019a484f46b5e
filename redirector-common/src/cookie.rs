//! The sequence number by which the edge recognises a connection that it answers itself, so that it need
//! not remember it.
//!
//! A cookie is a hash of the connection's ends and of the time in epochs, under a key that only the
//! controller and the program know: whoever acknowledges it has received it, so nobody is sent a text
//! whom a stranger named as sender. The customer's own number is no part of it: what a customer sends
//! later has moved on from there, and must still be recognised.

use crate::{
    abi::{COOKIE_EPOCH_S, CookieKey, REFUSAL_OCTETS},
    parse::Ends,
    siphash,
};

/// The cookie of a connection to port 25, in an epoch. Out of line, for it is asked twice for a segment.
#[inline(never)]
pub(crate) fn cookie(key: &CookieKey, ends: &Ends, source_port_be: [u8; 2], epoch: u32) -> u32 {
    let [source, source_end] = words(&ends.source);
    let [destination, destination_end] = words(&ends.destination);
    let [p0, p1] = source_port_be;
    let [e0, e1, e2, e3] = epoch.to_be_bytes();
    let rest = u64::from_le_bytes([p0, p1, 0, 0, e0, e1, e2, e3]);
    let hash = siphash::hash(
        key.halves,
        &[source, source_end, destination, destination_end, rest],
    );
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a sequence number has 32 bits"
    )]
    let cookie = hash as u32;
    cookie
}

/// The epoch of a time.
#[inline(always)]
pub(crate) const fn epoch(now_s: u32) -> u32 {
    now_s / COOKIE_EPOCH_S
}

/// How far `acknowledged` is past the cookie of this epoch or of the one before; 0 = it is past neither,
/// or beyond all that the edge ever sends.
#[inline(always)]
pub(crate) fn past(
    key: &CookieKey,
    ends: &Ends,
    source_port_be: [u8; 2],
    now_s: u32,
    acknowledged: u32,
) -> u32 {
    let newest = epoch(now_s);
    let past = acknowledged.wrapping_sub(cookie(key, ends, source_port_be, newest));
    if past != 0 && past <= MOST_SENT {
        return past;
    }
    let past = acknowledged.wrapping_sub(cookie(key, ends, source_port_be, newest.wrapping_sub(1)));
    if past <= MOST_SENT { past } else { 0 }
}

#[inline(always)]
fn words(octets: &[u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *octets;
    [
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u64::from_le_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// The SYN, one text and the FIN.
const MOST_SENT: u32 = 1 + REFUSAL_OCTETS as u32 + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cookie_holds_for_its_epoch_and_the_next(
            halves: [u64; 2],
            source: [u8; 16],
            destination: [u8; 16],
            port: [u8; 2],
            now_s in 3 * COOKIE_EPOCH_S..u32::MAX / 2,
            after in 0..=MOST_SENT,
            age in 0..6 * COOKIE_EPOCH_S,
        ) {
            let key = CookieKey { halves };
            let ends = Ends { source, destination, family: 6 };
            let given = cookie(&key, &ends, port, epoch(now_s));
            let later = now_s + age;
            let past = past(&key, &ends, port, later, given.wrapping_add(after));
            if epoch(later) - epoch(now_s) <= 1 {
                prop_assert_eq!(past, after);
            } else {
                // Another epoch's cookie may be as near by chance, one time in sixteen million.
                prop_assert_eq!(past, 0);
            }
        }

        #[test]
        fn each_end_and_the_key_matter(
            halves: [u64; 2],
            source: [u8; 16],
            destination: [u8; 16],
            port: [u8; 2],
            epoch: u32,
            at in 0..16_usize,
            flip in 1..=255_u8,
        ) {
            let key = CookieKey { halves };
            let ends = Ends { source, destination, family: 6 };
            let given = cookie(&key, &ends, port, epoch);
            let (mut from, mut to) = (ends, ends);
            from.source[at] ^= flip;
            to.destination[at] ^= flip;
            let other_key = CookieKey { halves: [halves[0] ^ u64::from(flip), halves[1]] };
            let others = [
                cookie(&key, &from, port, epoch),
                cookie(&key, &to, port, epoch),
                cookie(&key, &ends, [port[0] ^ flip, port[1]], epoch),
                cookie(&other_key, &ends, port, epoch),
            ];
            // All four alike by chance is out of the question; one alone happens.
            prop_assert!(others.iter().filter(|other| **other == given).count() <= 1);
        }
    }
}
