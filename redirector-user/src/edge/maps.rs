//! The pinned maps, opened with the octets of their keys and values.
//!
//! Nothing here transmutes: records go through `to_octets` and `from_octets` of the ABI.

use std::path::Path;

use aya::maps::{
    Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf, lpm_trie,
    xdp::DevMapHash,
};
use ipnetwork::IpNetwork;
use redirector_common::abi::{
    CookieKey, Flow, FlowKey, ListenerKey, Pool, Refusal, Relay, RoleKey, Settings, Sighting,
    TunnelKey, capture::CaptureOrder, map,
};

use rustix::io::Errno;

use super::{EdgeError, batch::RawMap, error::errno, pins::Pins};

/// All maps that user space reads or writes, but the sets of policies.
pub(crate) struct Maps {
    pub(crate) customers4: LpmTrie<MapData, [u8; 4], u32>,
    pub(crate) customers6: LpmTrie<MapData, [u8; 16], u32>,
    pub(crate) bypasses4: LpmTrie<MapData, [u8; 4], u32>,
    pub(crate) bypasses6: LpmTrie<MapData, [u8; 16], u32>,
    pub(crate) pools: Array<MapData, [u8; Pool::SIZE]>,
    pub(crate) slots: Array<MapData, u32>,
    pub(crate) relays: Array<MapData, [u8; Relay::SIZE]>,
    pub(crate) listeners: HashMap<MapData, [u8; ListenerKey::SIZE], u32>,
    pub(crate) flows: HashMap<MapData, [u8; FlowKey::SIZE], [u8; Flow::SIZE]>,
    /// The same, for reading all of it.
    pub(crate) all_flows: RawMap,
    pub(crate) roles: HashMap<MapData, [u8; RoleKey::SIZE], u32>,
    pub(crate) settings: Array<MapData, [u8; Settings::SIZE]>,
    pub(crate) counters: PerCpuArray<MapData, u64>,
    pub(crate) devices: DevMapHash<MapData>,
    /// By the parity of a window.
    pub(crate) radar: [HashMap<MapData, [u8; 16], [u8; Sighting::SIZE]>; 2],
    pub(crate) cookie_key: Array<MapData, [u8; CookieKey::SIZE]>,
    pub(crate) refusals: Array<MapData, [u8; Refusal::SIZE]>,
    pub(crate) uplink_ports: Array<MapData, u64>,
    pub(crate) tunnels: HashMap<MapData, [u8; TunnelKey::SIZE], u32>,
    pub(crate) capture: Array<MapData, [u8; CaptureOrder::SIZE]>,
    pub(crate) capture_lost: PerCpuArray<MapData, u64>,
}

impl Maps {
    /// Opens every map by its pin. Their shapes have been compared by [`Pins::prepare`].
    pub(crate) fn open(pins: &Pins) -> Result<Self, EdgeError> {
        Ok(Self {
            customers4: open(pins, map::CUSTOMERS4, Map::LpmTrie)?,
            customers6: open(pins, map::CUSTOMERS6, Map::LpmTrie)?,
            bypasses4: open(pins, map::BYPASSES4, Map::LpmTrie)?,
            bypasses6: open(pins, map::BYPASSES6, Map::LpmTrie)?,
            pools: open(pins, map::POOLS, Map::Array)?,
            slots: open(pins, map::SLOTS, Map::Array)?,
            relays: open(pins, map::RELAYS, Map::Array)?,
            listeners: open(pins, map::LISTENERS, Map::HashMap)?,
            flows: open(pins, map::FLOWS, Map::HashMap)?,
            all_flows: open_raw(&pins.map(map::FLOWS))?,
            roles: open(pins, map::ROLES, Map::HashMap)?,
            settings: open(pins, map::SETTINGS, Map::Array)?,
            counters: open_counters(&pins.map(map::COUNTERS))?,
            devices: open(pins, map::DEVICES, Map::DevMapHash)?,
            radar: [
                open(pins, map::RADAR_EVEN, Map::LruHashMap)?,
                open(pins, map::RADAR_ODD, Map::LruHashMap)?,
            ],
            cookie_key: open(pins, map::COOKIE_KEY, Map::Array)?,
            refusals: open(pins, map::REFUSALS, Map::Array)?,
            uplink_ports: open(pins, map::UPLINK_PORTS, Map::Array)?,
            tunnels: open(pins, map::TUNNELS, Map::HashMap)?,
            capture: open(pins, map::CAPTURE, Map::Array)?,
            capture_lost: open(pins, map::CAPTURE_LOST, Map::PerCpuArray)?,
        })
    }

    /// The controller's settings as they stand.
    pub(crate) fn settings(&self) -> Result<Settings, EdgeError> {
        let octets = self
            .settings
            .get(&0, 0)
            .map_err(|error| reading(map::SETTINGS, error))?;
        Ok(Settings::from_octets(&octets))
    }

    /// Writes the settings whole.
    pub(crate) fn put_settings(&mut self, settings: &Settings) -> Result<(), EdgeError> {
        self.settings
            .set(0, settings.to_octets(), 0)
            .map_err(|error| writing(map::SETTINGS, error))
    }
}

/// One array of counters.
pub(crate) fn open_counters(path: &Path) -> Result<PerCpuArray<MapData, u64>, EdgeError> {
    open_at(path, Map::PerCpuArray)
}

/// The ring buffer of events.
pub(crate) fn open_events(pins: &Pins) -> Result<RingBuf<MapData>, EdgeError> {
    open(pins, map::EVENTS, Map::RingBuf)
}

/// The ring buffer of captured frames.
pub(crate) fn open_captured(pins: &Pins) -> Result<RingBuf<MapData>, EdgeError> {
    open(pins, map::CAPTURED, Map::RingBuf)
}

/// A look-up whose key may be missing, or beyond the end of an array, as the kernel sees it.
pub(crate) fn found<V>(name: &str, looked_up: Result<V, MapError>) -> Result<Option<V>, EdgeError> {
    match looked_up {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound | MapError::OutOfBounds { .. }) => Ok(None),
        Err(error) => Err(reading(name, error)),
    }
}

/// A removal; what is not there counts as removed.
pub(crate) fn removed(name: &str, outcome: Result<(), MapError>) -> Result<(), EdgeError> {
    match outcome {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(()),
        Err(error) => Err(writing(name, error)),
    }
}

/// An error while reading a map.
pub(crate) fn reading(name: &str, error: MapError) -> EdgeError {
    EdgeError::kernel(format!("reading map {name}"), error)
}

/// An error while writing a map.
pub(crate) fn writing(name: &str, error: MapError) -> EdgeError {
    EdgeError::kernel(format!("writing map {name}"), error)
}

/// Key of a prefix in an LPM trie.
pub(crate) fn prefix_key<const N: usize>(
    prefix: IpNetwork,
    octets: [u8; N],
) -> lpm_trie::Key<[u8; N]> {
    lpm_trie::Key::new(u32::from(prefix.prefix()), octets)
}

/// A map by its pin, as octets.
pub(crate) fn open_raw(path: &Path) -> Result<RawMap, EdgeError> {
    MapData::from_pin(path)
        .and_then(RawMap::new)
        .map_err(|error| EdgeError::kernel(format!("opening {}", path.display()), error))
}

fn open<M: TryFrom<Map, Error = MapError>>(
    pins: &Pins,
    name: &'static str,
    kind: fn(MapData) -> Map,
) -> Result<M, EdgeError> {
    open_at(&pins.map(name), kind)
}

fn open_at<M: TryFrom<Map, Error = MapError>>(
    path: &Path,
    kind: fn(MapData) -> Map,
) -> Result<M, EdgeError> {
    MapData::from_pin(path)
        .and_then(|data| M::try_from(kind(data)))
        .map_err(|error| EdgeError::kernel(format!("opening {}", path.display()), error))
}
