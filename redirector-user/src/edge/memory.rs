//! What the maps cost in kernel memory, as the kernel itself counts it.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;
use redirector_common::abi::map;

use super::{Edge, EdgeError};

impl Edge {
    /// Octets of each map; of a map of sets also those of the tables in force. Before Linux 6.4 the kernel says
    /// what a full map would take.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn memory(&self) -> Result<BTreeMap<&'static str, u64>, EdgeError> {
        let mut memory = BTreeMap::new();
        for name in map::ALL {
            let path = self.pins.map(name);
            let data = MapData::from_pin(&path)
                .map_err(|error| EdgeError::kernel(format!("opening {}", path.display()), error))?;
            memory.insert(name, locked(data.fd().as_fd().as_raw_fd())?);
        }
        for (name, descriptor) in self.sets.descriptors() {
            *memory.entry(name).or_default() += locked(descriptor)?;
        }
        Ok(memory)
    }
}

/// The line `memlock:` of a descriptor.
fn locked(descriptor: i32) -> Result<u64, EdgeError> {
    let path = format!("/proc/self/fdinfo/{descriptor}");
    let text = fs::read_to_string(&path)
        .map_err(|error| EdgeError::kernel(format!("reading {path}"), error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    let octets = line.and_then(|octets| octets.trim().parse().ok());
    octets.ok_or_else(|| EdgeError::Impossible(format!("{path} has no line memlock")))
}
