//! The radar's maps: which window the program counts into, and taking a finished one out.

use ipnetwork::IpNetwork;
use redirector_common::{
    abi::{RADAR_OFF, Settings, Sighting, map},
    addr::{Addr, FAMILY_V6},
};

use super::{
    Edge, EdgeError,
    maps::{found, reading, removed},
};

/// A source, as an address or an IPv6 /64, with what was seen of it in a window.
pub type Sighted = (IpNetwork, Sighting);

impl Edge {
    /// Opens the next window. The one before is finished: nothing is counted into it any more.
    ///
    /// A program that had read the old number just before may count one frame more; a source that it
    /// then makes a record for shows up in the window after the next.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn turn_radar(&mut self) -> Result<u32, EdgeError> {
        let settings = self.maps.settings()?;
        let finished = settings.radar_window;
        let radar_window = match finished.wrapping_add(1) {
            // An even number, as its place in the row is.
            RADAR_OFF => RADAR_OFF + 2,
            next => next,
        };
        self.maps.put_settings(&Settings {
            radar_window,
            ..settings
        })?;
        Ok(finished)
    }

    /// Lets the program count nothing.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn stop_radar(&mut self) -> Result<(), EdgeError> {
        let settings = self.maps.settings()?;
        self.maps.put_settings(&Settings {
            radar_window: RADAR_OFF,
            ..settings
        })
    }

    /// Takes at most so many sources out of a finished window; none = that was all. In pieces, so that
    /// other work on the maps need not wait for all of them.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn harvest_radar(
        &mut self,
        finished: u32,
        at_most: usize,
    ) -> Result<Vec<Sighted>, EdgeError> {
        let [even, odd] = &mut self.maps.radar;
        let (name, table) = match finished.is_multiple_of(2) {
            true => (map::RADAR_EVEN, even),
            false => (map::RADAR_ODD, odd),
        };
        let keys: Vec<[u8; 16]> = table
            .keys()
            .take(at_most)
            .collect::<Result<_, _>>()
            .map_err(|error| reading(name, error))?;
        let mut harvest = Vec::with_capacity(keys.len());
        for key in keys {
            let octets = found(name, table.get(&key, 0))?;
            removed(name, table.remove(&key))?;
            if let (Some(octets), Some(source)) = (octets, network(key)) {
                harvest.push((source, Sighting::from_octets(&octets)));
            }
        }
        Ok(harvest)
    }
}

/// The source behind a key. No IPv6 packet has an address of ::ffff:0:0/96 on a wire (RFC 4291 section
/// 2.5.5.2), so the key says its family.
fn network(key: [u8; 16]) -> Option<IpNetwork> {
    let address = match key {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Addr::V4([a, b, c, d]),
        octets => Addr::from_mapped(octets, FAMILY_V6),
    };
    let length = match address {
        Addr::V4(_) => 32,
        Addr::V6(_) => 64,
    };
    IpNetwork::new(address.into(), length).ok()
}

/// Maps whose size is `radar.sources_max`.
pub(crate) const RADAR: [&str; 3] = [map::RADAR_EVEN, map::RADAR_ODD, map::RADAR_OPENINGS];
