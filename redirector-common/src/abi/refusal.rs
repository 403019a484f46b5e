//! What the edge itself says, and by what it knows whom it says it to.

use super::Octets;

/// Octets of every text that the edge itself says. A frame grows by them, and where a driver leaves no room
/// behind it, its headroom must do: 256 octets (`XDP_PACKET_HEADROOM`), of which the kernel wants 40.
pub const REFUSAL_OCTETS: u16 = 216;
/// Texts of the edge: one for each [`super::RefusalText`] and family.
pub const REFUSALS_MAX: u32 = 4;
/// A text without an address.
pub const NO_ADDRESS: u16 = u16::MAX;
/// Octets of an address in a text, padded with spaces: IPv4, IPv6.
pub const ADDRESS_OCTETS: [u16; 2] = [16, 40];
/// Seconds that a cookie is given out for; it is taken for as long again.
pub const COOKIE_EPOCH_S: u32 = 64;

records! {
    /// Secret of the cookies by which the edge recognises connections that it answers itself.
    pub struct CookieKey [16] {
        /// Key of SipHash.
        halves: [u64; 2],
    }

    /// What the edge itself says to one family, of fixed width so that the program's work is too.
    pub struct Refusal [224] {
        /// The line with its end; zeros where the address goes.
        text: [[u8; 24]; 9],
        /// Sum over the text, folded as in RFC 1071 and not complemented.
        sum: u16,
        /// Where the customer's address goes, [`ADDRESS_OCTETS`] long; or [`NO_ADDRESS`].
        address_at: u16,
        /// Unused, zero.
        reserved: [u8; 4],
    }
}
