//! The internet checksum (RFC 1071): from scratch, and by what changed (RFC 1624).

/// How a checksum must change because words under it did: the sum of `~old + new` over them
/// (RFC 1624 section 3, equation 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference(u32);

impl Difference {
    /// Nothing changed.
    #[inline(always)]
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Two octets at an even offset changed.
    #[inline(always)]
    #[must_use]
    pub fn word(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + u32::from(!u16::from_be_bytes(old)) + u32::from(u16::from_be_bytes(new)))
    }

    /// An even number of octets at an even offset changed; at most 64 of them in all.
    #[inline(always)]
    #[must_use]
    pub fn octets<const N: usize>(self, old: &[u8; N], new: &[u8; N]) -> Self {
        let (old, _) = old.as_chunks::<2>();
        let (new, _) = new.as_chunks::<2>();
        old.iter()
            .zip(new)
            .fold(self, |sum, (old, new)| sum.word(*old, *new))
    }

    /// Both changes.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum in 16 bits, as it would stand in a packet.
    #[inline(always)]
    #[must_use]
    pub fn folded(self) -> [u8; 2] {
        let [high, low] = finish(self.0);
        [!high, !low]
    }

    /// The checksum after the change.
    #[inline(always)]
    #[must_use]
    pub fn apply(self, checksum_be: [u8; 2]) -> [u8; 2] {
        finish(self.0 + u32::from(!u16::from_be_bytes(checksum_be)))
    }
}

/// A sum over words, for a checksum from scratch; at most 64 KiB of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u32);

impl Sum {
    /// Nothing summed.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds a number below 65536, as pseudo-headers have them.
    #[inline(always)]
    #[must_use]
    pub fn number(self, number: u16) -> Self {
        Self(self.0 + u32::from(number))
    }

    /// Adds an even number of octets.
    #[inline(always)]
    #[must_use]
    pub fn octets<const N: usize>(self, octets: &[u8; N]) -> Self {
        let (words, _) = octets.as_chunks::<2>();
        words
            .iter()
            .fold(self, |sum, word| sum.number(u16::from_be_bytes(*word)))
    }

    /// The checksum.
    #[inline(always)]
    #[must_use]
    pub fn checksum(self) -> [u8; 2] {
        finish(self.0)
    }
}

impl From<u32> for Sum {
    /// Takes up a sum of at most 2^16 words that was begun elsewhere.
    #[inline(always)]
    fn from(sum: u32) -> Self {
        Self(sum)
    }
}

impl From<Sum> for u32 {
    /// Hands a sum on.
    #[inline(always)]
    fn from(sum: Sum) -> Self {
        sum.0
    }
}

/// Folds the carries in and complements. Two rounds suffice: after the first the sum is below 2^17.
#[inline(always)]
fn finish(sum: u32) -> [u8; 2] {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both carries are folded in"
    )]
    let folded = sum as u16;
    (!folded).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1624_holds() {
        // Section 4: HC 0xdd2f, a word goes from 0x5555 to 0x3285, HC' is 0x0000.
        let difference = Difference::none().word([0x55, 0x55], [0x32, 0x85]);
        assert_eq!(difference.apply([0xdd, 0x2f]), [0x00, 0x00]);
    }

    proptest! {
        #[test]
        fn a_difference_gives_what_a_new_sum_gives(old: [u8; 20], new: [u8; 20]) {
            prop_assume!(old.iter().any(|octet| *octet != 0) && new.iter().any(|octet| *octet != 0));
            let checksum = Sum::new().octets(&old).checksum();
            let difference = Difference::none().octets(&old, &new);
            prop_assert_eq!(difference.apply(checksum), Sum::new().octets(&new).checksum());
        }
    }
}
