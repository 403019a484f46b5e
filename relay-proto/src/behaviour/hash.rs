//! A number for a text, the same in every run: what is kept over a restart must still be found.

/// FNV-1a, and the finish of SplitMix64, without which its upper bits would say little about short texts. Whoever
/// makes texts with equal numbers on purpose has them counted as one, of his own customer.
pub(super) fn of<'a>(octets: impl IntoIterator<Item = &'a u8>) -> u64 {
    let hash = octets.into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    finish(hash)
}

pub(super) const fn step(hash: u64, octet: &u8) -> u64 {
    (hash ^ *octet as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

pub(super) const fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
