//! Where a feature lives: FNV-1a over its kind and its text, mixed, and the highest 19 bits of that.
//!
//! The function is part of the model's format: a model is worth nothing under another. Whoever changes it, or what is
//! hashed, raises [`FEATURES_VERSION`](super::features::FEATURES_VERSION).

/// Number of buckets, as a power of two. At the size of a mail corpus, with L1, one weight in thirteen shares its bucket
/// with another feature that matters.
pub(super) const BUCKET_BITS: u32 = 19;
/// The same as a number.
pub(super) const BUCKETS: usize = 1 << BUCKET_BITS;

/// A hash that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u64);

impl Hash {
    /// Of a kind of features; the same word of two kinds is two features.
    pub(super) fn of(kind: u8) -> Self {
        Self(OFFSET).octet(kind)
    }

    /// With one octet more.
    pub(super) fn octet(self, octet: u8) -> Self {
        Self((self.0 ^ u64::from(octet)).wrapping_mul(PRIME))
    }

    /// With more octets.
    pub(super) fn octets(self, octets: &[u8]) -> Self {
        octets.iter().fold(self, |hash, octet| hash.octet(*octet))
    }

    /// With another hash: a pair costs no second look at its words.
    pub(super) fn and(self, other: Self) -> Self {
        self.octets(&other.0.to_le_bytes())
    }

    /// The whole of it, for what must hardly ever collide.
    pub(super) fn digest(self) -> u64 {
        // FNV's highest bits depend little on the last octets; this is the end of MurmurHash3.
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }

    /// Its bucket, below [`BUCKETS`].
    pub(super) fn bucket(self) -> u32 {
        u32::try_from(self.digest() >> (64 - BUCKET_BITS)).unwrap_or_default()
    }
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_stays_where_the_shipped_model_looks_for_it() {
        // Computed once, by hand from the definitions of FNV-1a and of the mixing.
        assert_eq!(Hash(OFFSET).octets(b"foobar").0, 0x8594_4171_f739_67e8);
        let bucket = |word: &str| Hash::of(1).octets(word.as_bytes()).bucket();
        assert_ne!(bucket("offer"), bucket("offers"));
        assert_ne!(
            Hash::of(1).octets(b"offer").bucket(),
            Hash::of(2).octets(b"offer").bucket()
        );
        assert!((0..=255).all(|kind| (Hash::of(kind).bucket() as usize) < BUCKETS));
    }
}
