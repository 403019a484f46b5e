//! The map of tunnels' ends, which follows from the relays.

use std::collections::BTreeMap;

use redirector_common::abi::{RELAYS_MAX, Tunnel, TunnelKey, map};

use super::{
    Edge, EdgeError,
    maps::{found, reading, removed, writing},
};

impl Edge {
    /// Has packets from a relay's end of its tunnel taken for the relay's.
    pub(super) fn open_tunnel(&mut self, number: u32, tunnel: &Tunnel) -> Result<(), EdgeError> {
        if !tunnel.is_one() {
            return Ok(());
        }
        self.maps
            .tunnels
            .insert(tunnel.key().to_octets(), number, 0)
            .map_err(|error| writing(map::TUNNELS, error))
    }

    /// Has them taken for nobody's again, unless another relay has these ends by now.
    pub(super) fn close_tunnel(&mut self, number: u32, tunnel: &Tunnel) -> Result<(), EdgeError> {
        let key = tunnel.key().to_octets();
        if found(map::TUNNELS, self.maps.tunnels.get(&key, 0))? == Some(number) {
            removed(map::TUNNELS, self.maps.tunnels.remove(&key))?;
        }
        Ok(())
    }

    /// Makes the map say exactly what RELAYS says.
    pub(super) fn mend_tunnels(&mut self) -> Result<(), EdgeError> {
        let mut wanted = BTreeMap::new();
        for number in 0..RELAYS_MAX {
            let tunnel = self.relay(number)?.tunnel;
            if tunnel.is_one() {
                wanted.insert(tunnel.key().to_octets(), (number, tunnel));
            }
        }
        let standing: Vec<[u8; TunnelKey::SIZE]> = self
            .maps
            .tunnels
            .keys()
            .collect::<Result<_, _>>()
            .map_err(|error| reading(map::TUNNELS, error))?;
        for key in standing.iter().filter(|key| !wanted.contains_key(*key)) {
            removed(map::TUNNELS, self.maps.tunnels.remove(key))?;
        }
        let mut wanted = wanted.into_values();
        wanted.try_for_each(|(number, tunnel)| self.open_tunnel(number, &tunnel))
    }
}
