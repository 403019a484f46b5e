//! What the radar counts.

use super::Octets;

/// [`super::Settings::radar_window`] of a radar that is switched off.
pub const RADAR_OFF: u32 = 0;

records! {
    /// What the radar has seen of one source in one window. Port 25 alone, and headers alone.
    pub struct Sighting [192] {
        /// SYNs that it sent.
        syns: u64,
        /// Frames that it sent.
        packets_out: u64,
        /// Octets of these.
        octets_out: u64,
        /// Frames that came back.
        packets_in: u64,
        /// Octets of these.
        octets_in: u64,
        /// Connections that the far side ended.
        ended: u64,
        /// Those of them that it reset; a refused SYN is one.
        reset: u64,
        /// Those of them on which it had said no more than [`crate::radar::SHORT_OCTETS`].
        short: u64,
        /// Registers of a HyperLogLog over the destinations' networks, [`crate::radar::Place`]; rows
        /// only because Rust's larger arrays have no default.
        destinations: [[u8; 32]; 4],
    }
}

impl Sighting {
    /// Nothing seen yet.
    pub const NOTHING: Self = Self {
        syns: 0,
        packets_out: 0,
        octets_out: 0,
        packets_in: 0,
        octets_in: 0,
        ended: 0,
        reset: 0,
        short: 0,
        destinations: [[0; 32]; 4],
    };
}
