//! The directory of an interface whose tunnels end here: maps, links, and what a filter runs.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use aya_obj::Object;
use redirector_common::{
    abi::host::{
        EDGES, HOST_ABI_VERSION, HOST_COUNTERS, HOST_MAPS, HostCounter, HostCustomer, HostEdge,
        NOTED, OWN,
    },
    addr::Addr,
};

use super::{PROGRAM, TunnelError};
use crate::edge::{
    EdgeError, Shape,
    maps::{reading, writing},
    pins::{in_bpffs, interfaces_in, is_bpffs},
};

/// Pins of one interface.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    interface: String,
    dir: PathBuf,
}

/// Keys that are addresses, [`Addr::mapped`].
type ByAddress<V> = HashMap<MapData, [u8; 16], V>;

impl Pins {
    /// Makes the directory, and compares what is pinned there with what the programs need.
    pub(super) fn prepare(pin_dir: &Path, interface: &str) -> Result<Self, TunnelError> {
        let is_bpffs = is_bpffs(pin_dir)
            .map_err(|error| EdgeError::kernel(format!("statfs {}", pin_dir.display()), error))?;
        if !is_bpffs {
            return Err(EdgeError::NotBpffs {
                path: pin_dir.to_owned(),
            }
            .into());
        }
        let pins = Self::existing(pin_dir, interface);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&pins.dir)
            .map_err(|error| EdgeError::kernel(format!("making {}", pins.dir.display()), error))?;
        let object = Object::parse(PROGRAM)
            .map_err(|error| EdgeError::program("reading the embedded program", error))?;
        for map in HOST_MAPS {
            let expected = Shape::declared(&object, map)?;
            let path = pins.map(map);
            match Shape::pinned(&path)? {
                Some(found) if found != expected => {
                    return Err(TunnelError::ShapeDiffers {
                        map,
                        path,
                        found,
                        expected,
                        interface: pins.interface,
                    });
                }
                Some(_) | None => {}
            }
        }
        Ok(pins)
    }

    /// The directory as it is, or would be.
    pub(super) fn existing(pin_dir: &Path, interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            dir: all(pin_dir).join(in_bpffs(interface)),
        }
    }

    /// Interfaces with such a directory, whether they still exist or not.
    pub(super) fn interfaces(pin_dir: &Path) -> Result<BTreeSet<String>, EdgeError> {
        let all = all(pin_dir);
        if all.exists() {
            interfaces_in(&all)
        } else {
            Ok(BTreeSet::new())
        }
    }

    /// Whose they are.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        self.dir.exists()
    }

    /// Path of a map.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Path of what holds a program, by a name that no map has.
    pub(super) fn holder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Forgets everything. Nothing must be attached any more.
    pub(super) fn remove(&self) -> Result<(), EdgeError> {
        let removing = |error| EdgeError::kernel(format!("removing {}", self.dir.display()), error);
        fs::remove_dir_all(&self.dir).map_err(removing)?;
        // The last one takes the common directory along.
        match self.dir.parent().map(fs::remove_dir) {
            Some(Err(error)) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(removing(error))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Makes the edges those, and no others.
    pub(super) fn put_edges(&self, tunnels: &[(IpAddr, HostEdge)]) -> Result<(), EdgeError> {
        let wanted = tunnels
            .iter()
            .map(|(edge, record)| (Addr::from(*edge).mapped(), record.to_octets()));
        replace(&mut self.open(EDGES, Map::HashMap)?, EDGES, wanted)
    }

    /// Makes the host's own addresses those, and no others.
    pub(super) fn put_own(&self, own: &BTreeSet<IpAddr>) -> Result<(), EdgeError> {
        let wanted = own.iter().map(|address| (Addr::from(*address).mapped(), 1));
        replace(&mut self.open::<_, u32>(OWN, Map::HashMap)?, OWN, wanted)
    }

    /// The edges, by their addresses.
    pub(super) fn edges(&self) -> Result<Vec<([u8; 16], HostEdge)>, EdgeError> {
        let map: ByAddress<[u8; HostEdge::SIZE]> = self.open(EDGES, Map::HashMap)?;
        map.iter()
            .map(|entry| entry.map(|(edge, record)| (edge, HostEdge::from_octets(&record))))
            .collect::<Result<_, MapError>>()
            .map_err(|error| reading(EDGES, error))
    }

    /// How many customers are noted.
    pub(super) fn customers(&self) -> Result<u64, EdgeError> {
        let map: HashMap<_, [u8; HostCustomer::SIZE], [u8; 16]> =
            self.open(NOTED, Map::LruHashMap)?;
        // Keys that go while they are read are counted or not; this is for people.
        Ok(u64::try_from(map.keys().filter(Result::is_ok).count()).unwrap_or(u64::MAX))
    }

    /// What was counted, by [`HostCounter::index`].
    pub(super) fn counts(&self) -> Result<Vec<u64>, EdgeError> {
        let path = self.map(HOST_COUNTERS);
        let opened = MapData::from_pin(&path)
            .and_then(|data| PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(data)));
        let map = opened.map_err(|error| opening(&path, error))?;
        HostCounter::ALL
            .iter()
            .map(|counter| Ok(map.get(&counter.index(), 0)?.iter().sum()))
            .collect::<Result<_, MapError>>()
            .map_err(|error| reading(HOST_COUNTERS, error))
    }

    fn open<K: aya::Pod, V: aya::Pod>(
        &self,
        name: &str,
        kind: fn(MapData) -> Map,
    ) -> Result<HashMap<MapData, K, V>, EdgeError> {
        let path = self.map(name);
        MapData::from_pin(&path)
            .and_then(|data| HashMap::try_from(kind(data)))
            .map_err(|error| opening(&path, error))
    }
}

/// Adds what is missing before it takes away what is too much, so that what stays is there all the time.
fn replace<V: aya::Pod>(
    map: &mut ByAddress<V>,
    name: &str,
    wanted: impl Iterator<Item = ([u8; 16], V)>,
) -> Result<(), EdgeError> {
    let mut kept = BTreeSet::new();
    for (key, value) in wanted {
        map.insert(key, value, 0)
            .map_err(|error| writing(name, error))?;
        kept.insert(key);
    }
    let keys: Vec<[u8; 16]> = map
        .keys()
        .collect::<Result<_, _>>()
        .map_err(|error| reading(name, error))?;
    for key in keys.iter().filter(|key| !kept.contains(*key)) {
        map.remove(key).map_err(|error| writing(name, error))?;
    }
    Ok(())
}

fn opening(path: &Path, error: MapError) -> EdgeError {
    EdgeError::kernel(format!("opening {}", path.display()), error)
}

/// Where the directories of all interfaces are.
fn all(pin_dir: &Path) -> PathBuf {
    pin_dir.join(format!("tunnel-v{HOST_ABI_VERSION}"))
}
