//! Frames that the program takes, shown for a while.
//!
//! An order lapses by itself some seconds after it was last renewed: a controller that dies leaves nothing armed.

use std::{
    fmt,
    os::fd::{AsRawFd, RawFd},
};

use aya::maps::{MapData, RingBuf};
use ipnetwork::IpNetwork;
use redirector_common::{
    abi::{
        capture::{CAPTURE_OCTETS, CaptureOrder, Captured},
        map,
    },
    addr::Addr,
};

use super::{
    Edge, EdgeError,
    clock::monotonic_s,
    maps::{self, reading, writing},
};

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct CaptureTerms {
    /// Octets of each frame, 1 to [`CAPTURE_OCTETS`].
    pub octets: u32,
    /// Frames from or to this prefix alone.
    pub source: Option<IpNetwork>,
}

impl Edge {
    /// Asks for taken frames, for [`LAPSE_S`] seconds unless renewed.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn begin_capture(&mut self, terms: CaptureTerms) -> Result<CaptureReader, EdgeError> {
        let ring = maps::open_captured(&self.pins)?;
        let (network, mask) = terms.source.map_or(([0; 16], [0; 16]), octets);
        let order = CaptureOrder {
            until_s: monotonic_s() + LAPSE_S,
            octets: terms.octets.clamp(1, CAPTURE_OCTETS),
            network,
            mask,
            number: self.capture_order()?.number.wrapping_add(1),
            reserved: 0,
        };
        let lost_before = self.capture_lost()?;
        self.put_capture_order(&order)?;
        Ok(CaptureReader {
            ring,
            number: order.number,
            lost_before,
        })
    }

    /// Keeps the order in force, and says how many frames it has cost so far that nobody saw.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn renew_capture(&mut self, lost_before: u64) -> Result<u64, EdgeError> {
        let order = CaptureOrder {
            until_s: monotonic_s() + LAPSE_S,
            ..self.capture_order()?
        };
        self.put_capture_order(&order)?;
        Ok(self.capture_lost()?.saturating_sub(lost_before))
    }

    /// Asks for nothing any more.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn end_capture(&mut self) -> Result<(), EdgeError> {
        let order = CaptureOrder {
            until_s: 0,
            ..self.capture_order()?
        };
        self.put_capture_order(&order)
    }

    fn capture_order(&self) -> Result<CaptureOrder, EdgeError> {
        let octets = self.maps.capture.get(&0, 0);
        let octets = octets.map_err(|error| reading(map::CAPTURE, error))?;
        Ok(CaptureOrder::from_octets(&octets))
    }

    fn put_capture_order(&mut self, order: &CaptureOrder) -> Result<(), EdgeError> {
        let put = self.maps.capture.set(0, order.to_octets(), 0);
        put.map_err(|error| writing(map::CAPTURE, error))
    }

    fn capture_lost(&self) -> Result<u64, EdgeError> {
        let per_cpu = self.maps.capture_lost.get(&0, 0);
        let per_cpu = per_cpu.map_err(|error| reading(map::CAPTURE_LOST, error))?;
        Ok(per_cpu.iter().sum())
    }
}

/// Reads what one order shows; drive it as [`super::EventReader`].
pub struct CaptureReader {
    ring: RingBuf<MapData>,
    number: u32,
    /// Frames that had found no room before it began.
    pub lost_before: u64,
}

impl CaptureReader {
    /// The next frame, or `None` until the descriptor is readable again.
    pub fn next_frame(&mut self) -> Option<(Captured, Vec<u8>)> {
        while let Some(item) = self.ring.next() {
            let Some((head, octets)) = item.split_first_chunk() else {
                continue;
            };
            let head = Captured::from_octets(head);
            // What an order before has left in the ring is not asked for.
            if head.number == self.number {
                return Some((head, octets.to_vec()));
            }
        }
        None
    }
}

impl AsRawFd for CaptureReader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl fmt::Debug for CaptureReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureReader")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Network and mask as the program compares them. An IPv4 prefix counts behind the mapping's own octets.
fn octets(prefix: IpNetwork) -> ([u8; 16], [u8; 16]) {
    let bits = match prefix {
        IpNetwork::V4(_) => 96 + u32::from(prefix.prefix()),
        IpNetwork::V6(_) => u32::from(prefix.prefix()),
    };
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    let network = u128::from_be_bytes(Addr::from(prefix.network()).mapped()) & mask;
    (network.to_be_bytes(), mask.to_be_bytes())
}

/// Long against a second between two renewals, short for who has been forgotten.
const LAPSE_S: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_its_own() {
        for (prefix, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.10/32", "192.0.2.10", "192.0.2.11"),
            ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
            ("2001:db8:a::/48", "2001:db8:a:ffff::1", "2001:db8:b::"),
        ] {
            let (network, mask) = octets(prefix.parse().unwrap());
            let order = CaptureOrder {
                network,
                mask,
                ..CaptureOrder::default()
            };
            let covers = |text: &str| {
                let address: std::net::IpAddr = text.parse().unwrap();
                order.covers(&Addr::from(address).mapped())
            };
            assert!(covers(inside) && !covers(outside), "{prefix}");
        }
        let everything = CaptureOrder::default();
        assert!(everything.covers(&[7; 16]));
    }
}
