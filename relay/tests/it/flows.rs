//! The edge's pinned flow table, as the edge writes it.
//!
//! Records are put together here octet by octet rather than by the code that the relay reads them
//! with, so that a test fails when the two sides' idea of them parts.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use aya::maps::{HashMap, MapData};

type Table = HashMap<MapData, [u8; 40], [u8; 64]>;

/// Of the shapes: the edge pins its maps below it.
const VERSION: &str = "v5";

/// A pinned table: one entry per connection.
pub(crate) struct FlowTable(Table);

/// A directory on the BPF file system, removed with all that is pinned in it.
pub(crate) struct PinDirectory(pub(crate) PathBuf);

impl PinDirectory {
    pub(crate) fn create(name: &str) -> Self {
        let path = PathBuf::from(format!(
            "/sys/fs/bpf/relay-it-{name}-{}",
            std::process::id()
        ));
        fs::create_dir(&path).expect("a BPF file system at /sys/fs/bpf");
        let directory = Self(path);
        fs::create_dir(directory.pins()).unwrap();
        directory
    }

    fn pins(&self) -> PathBuf {
        self.0.join(VERSION)
    }

    /// The table's place.
    pub(crate) fn flows(&self) -> PathBuf {
        self.pins().join("FLOWS")
    }

    /// Pins an empty table, in place of one that may be there.
    pub(crate) fn pin_flows(&self) -> FlowTable {
        self.remove_flows();
        Table::create(16, 0).unwrap().pin(self.flows()).unwrap();
        let data = MapData::from_pin(self.flows()).unwrap();
        let map = aya::maps::Map::from_map_data(data).unwrap();
        FlowTable(Table::try_from(map).unwrap())
    }

    /// Pins a table of another shape.
    pub(crate) fn pin_another_shape(&self) {
        self.remove_flows();
        let map: HashMap<MapData, [u8; 40], [u8; 72]> = HashMap::create(16, 0).unwrap();
        map.pin(self.flows()).unwrap();
    }

    fn remove_flows(&self) {
        if self.flows().exists() {
            fs::remove_file(self.flows()).unwrap();
        }
    }
}

impl Drop for PinDirectory {
    fn drop(&mut self) {
        self.remove_flows();
        fs::remove_dir(self.pins()).unwrap();
        fs::remove_dir(&self.0).unwrap();
    }
}

impl FlowTable {
    /// The edge has diverted a connection of `customer` for `original_dst` to `relay`.
    pub(crate) fn insert(&mut self, customer: SocketAddr, relay: SocketAddr, original_dst: IpAddr) {
        let mut key = Vec::with_capacity(40);
        key.extend(mapped(customer.ip()));
        key.extend(mapped(relay.ip()));
        key.extend(customer.port().to_be_bytes());
        key.extend(relay.port().to_be_bytes());
        key.extend([if customer.is_ipv4() { 4 } else { 6 }, 0, 0, 0]);
        let mut value = [0; 64];
        value[..16].copy_from_slice(&mapped(original_dst));
        let key: [u8; 40] = key.try_into().unwrap();
        self.0.insert(key, value, 0).unwrap();
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}
