//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012).
//!
//! Over whole words only, because that is all that is hashed here: a message of `8 * N` octets, each
//! word little-endian. Without loops over octets the verifier follows it in one pass.

/// Hashes `8 * N` octets under a secret key.
#[inline(always)]
pub(crate) fn hash<const N: usize>([k0, k1]: [u64; 2], words: &[u64; N]) -> u64 {
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    for word in words {
        state.compress(*word);
    }
    // The last block holds the length modulo 256 and, here, no octets.
    state.compress(((8 * N) as u64) << 56);
    state.v2 ^= 0xff;
    for _ in 0..4 {
        state.round();
    }
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    const fn compress(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    #![expect(deprecated, reason = "std's own SipHash-2-4 is the oracle")]

    use std::hash::{Hasher as _, SipHasher};

    use proptest::prelude::*;

    use super::*;

    /// The key of the reference vectors: octets 0 to 15.
    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    #[test]
    fn the_reference_vectors_hold() {
        // Messages 00 01 02 ... of 0, 8 and 16 octets.
        assert_eq!(hash(KEY, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(
            hash(KEY, &KEY[..1].try_into().unwrap_or([0])),
            0x93f5_f579_9a93_2462
        );
        assert_eq!(hash(KEY, &KEY), 0x3f2a_cc7f_57c2_9bdb);
    }

    proptest! {
        #[test]
        fn any_message_hashes_as_elsewhere(key: [u64; 2], words: [u64; 5]) {
            let mut oracle = SipHasher::new_with_keys(key[0], key[1]);
            for word in words {
                oracle.write(&word.to_le_bytes());
            }
            prop_assert_eq!(hash(key, &words), oracle.finish());
        }
    }
}
