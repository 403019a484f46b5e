//! Where maps and links are pinned, and whether what is pinned there fits.
//!
//! aya reuses a pinned map by its name alone, and a look-up in a map with larger values than the
//! reader expects overruns the reader's buffer. So every shape is compared before anything is loaded.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aya::maps::{MapInfo, MapType};
use aya_obj::{Object, generated::bpf_map_type};
use redirector_common::abi::{ABI_VERSION, map};
use rustix::{fs::statfs, io::Errno};

use super::{EdgeConfig, EdgeError, PROGRAM, error::errno, radar::RADAR};

/// Type, key, value and size of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Type.
    pub map_type: MapType,
    /// Octets of a key.
    pub key_octets: u32,
    /// Octets of a value.
    pub value_octets: u32,
    /// Entries (of a ring buffer: octets).
    pub max_entries: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            map_type,
            key_octets,
            value_octets,
            max_entries,
        } = self;
        write!(
            f,
            "{map_type:?} with keys of {key_octets} and values of {value_octets} octets, {max_entries} entries"
        )
    }
}

impl Shape {
    /// Shape of what is pinned there; `None` = nothing is.
    pub(crate) fn pinned(path: &Path) -> Result<Option<Self>, EdgeError> {
        let info = match MapInfo::from_pin(path) {
            Ok(info) => info,
            Err(error) if errno(&error) == Some(Errno::NOENT) => return Ok(None),
            Err(error) => {
                return Err(EdgeError::kernel(
                    format!("opening {}", path.display()),
                    error,
                ));
            }
        };
        let map_type = info.map_type().map_err(|error| {
            EdgeError::kernel(format!("reading the type of {}", path.display()), error)
        })?;
        Ok(Some(Self {
            map_type,
            key_octets: info.key_size(),
            value_octets: info.value_size(),
            max_entries: info.max_entries(),
        }))
    }

    /// Shape of a map of an embedded program, as the loader will create it.
    pub(crate) fn declared(object: &Object, name: &str) -> Result<Self, EdgeError> {
        let reading = "reading the embedded program";
        let declared = object
            .maps
            .get(name)
            .ok_or_else(|| EdgeError::Impossible(format!("{reading}: it has no map {name}")))?;
        let map_type = bpf_map_type::try_from(declared.map_type())
            .map_err(|unknown| {
                let number = unknown.value;
                EdgeError::Impossible(format!("{reading}: map {name} is of type {number}"))
            })
            .and_then(|number| {
                MapType::try_from(number).map_err(|error| EdgeError::program(reading, error))
            })?;
        Ok(Self {
            map_type,
            key_octets: declared.key_size(),
            value_octets: match map_type {
                // The loader enlarges the value where the kernel knows chained programs (5.8).
                MapType::DevMapHash if aya::features().devmap_prog_id() => 8,
                MapType::RingBuf => 0,
                _ => declared.value_size(),
            },
            max_entries: declared.max_entries(),
        })
    }
}

/// Where in the kernel a program is held, each in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// In XDP, by a pinned link.
    Xdp,
    /// In tc, by a pinned link.
    Tcx,
    /// In tc, by a filter of the interface; the program is pinned, so that the next controller knows it.
    Clsact,
    /// The same, of the program that is just taking the other's place.
    NextClsact,
}

impl Hook {
    pub(crate) const ALL: [Self; 4] = [Self::Xdp, Self::Tcx, Self::Clsact, Self::NextClsact];
}

/// The directory of one ABI version.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    dir: PathBuf,
    /// What the embedded program needs, by map.
    shapes: BTreeMap<String, Shape>,
}

impl Pins {
    /// Makes the directories and compares what is pinned there with what the program needs.
    pub(crate) fn prepare(config: &EdgeConfig) -> Result<Self, EdgeError> {
        let dir = config.pin_dir.join(format!("v{ABI_VERSION}"));
        let pins = Self {
            dir,
            shapes: expected_shapes(config)?,
        };
        pins.require_bpffs(&config.pin_dir)?;
        for hook in Hook::ALL {
            let dir = pins.held_by(hook);
            fs::create_dir_all(&dir)
                .map_err(|error| EdgeError::kernel(format!("making {}", dir.display()), error))?;
        }
        for dir in [pins.sets(), pins.counters()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|error| EdgeError::kernel(format!("making {}", dir.display()), error))?;
        }
        for (name, expected) in &pins.shapes {
            pins.compare(name, &pins.map(name), expected)?;
        }
        if let Some(expected) = pins.shapes.get(map::COUNTERS) {
            for interface in pins.counted()? {
                pins.compare(map::COUNTERS, &pins.counters_of(&interface), expected)?;
            }
        }
        Ok(pins)
    }

    /// Lets the group that the controller runs under reach the flow table, and nothing else: a relay
    /// on this machine then needs no privilege to learn original destinations (Linux 5.19). aya opens
    /// pins for reading and writing, so the group may write, too.
    pub(crate) fn share_with_group(&self) -> Result<(), EdgeError> {
        let (dir, flows) = (self.dir.clone(), self.map(map::FLOWS));
        let held = Hook::ALL.map(|hook| (self.held_by(hook), 0o700));
        for (path, mode) in held.into_iter().chain([(dir, 0o750), (flows, 0o660)]) {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(|error| {
                EdgeError::kernel(format!("chmod {mode:o} {}", path.display()), error)
            })?;
        }
        Ok(())
    }

    /// Where maps are pinned.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    /// Path of a map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Names of all maps that are pinned.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    /// Directory of what holds the program on the interfaces at one hook.
    fn held_by(&self, hook: Hook) -> PathBuf {
        self.dir.join(match hook {
            Hook::Xdp => "links",
            Hook::Tcx => "tcx",
            Hook::Clsact => "clsact",
            Hook::NextClsact => "clsact-next",
        })
    }

    /// Directory of the sets of policies.
    pub(crate) fn sets(&self) -> PathBuf {
        self.dir.join("sets")
    }

    /// Directory of what the instances on the interfaces count.
    fn counters(&self) -> PathBuf {
        self.dir.join("counters")
    }

    /// Path of what the instance on an interface counts.
    pub(crate) fn counters_of(&self, interface: &str) -> PathBuf {
        self.counters().join(in_bpffs(interface))
    }

    /// Removes that pin.
    pub(crate) fn forget_counters_of(&self, interface: &str) -> Result<(), EdgeError> {
        let path = self.counters_of(interface);
        fs::remove_file(&path)
            .map_err(|error| EdgeError::kernel(format!("removing {}", path.display()), error))
    }

    /// Interfaces that something was counted on.
    pub(crate) fn counted(&self) -> Result<BTreeSet<String>, EdgeError> {
        interfaces_in(&self.counters())
    }

    /// Path of what holds the program on an interface.
    pub(crate) fn holder(&self, hook: Hook, interface: &str) -> PathBuf {
        self.held_by(hook).join(in_bpffs(interface))
    }

    /// Interfaces that something is pinned for, whether they still exist or not.
    pub(crate) fn held(&self) -> Result<BTreeSet<String>, EdgeError> {
        let mut names = BTreeSet::new();
        for hook in Hook::ALL {
            names.append(&mut interfaces_in(&self.held_by(hook))?);
        }
        Ok(names)
    }

    /// The pin directory may not exist yet, but what holds it must be a BPF file system.
    fn require_bpffs(&self, pin_dir: &Path) -> Result<(), EdgeError> {
        let is_bpffs = is_bpffs(pin_dir)
            .map_err(|error| EdgeError::kernel(format!("statfs {}", pin_dir.display()), error))?;
        if is_bpffs {
            Ok(())
        } else {
            Err(EdgeError::NotBpffs {
                path: pin_dir.to_owned(),
            })
        }
    }

    /// Entries that a map takes, as the program wants it.
    pub(crate) fn capacity(&self, name: &str) -> u32 {
        self.shapes.get(name).map_or(0, |shape| shape.max_entries)
    }

    fn compare(&self, name: &str, path: &Path, expected: &Shape) -> Result<(), EdgeError> {
        let Some(found) = Shape::pinned(path)? else {
            return Ok(());
        };
        if found == *expected {
            return Ok(());
        }
        Err(EdgeError::ShapeDiffers {
            map: name.to_owned(),
            path: path.to_owned(),
            found,
            expected: *expected,
        })
    }
}

/// An interface's name as bpffs takes it: that refuses dots, which VLAN interfaces have (`eth0.100`), and interface
/// names in turn cannot have colons (`dev_valid_name`), so one stands for the other.
pub(crate) fn in_bpffs(interface: &str) -> String {
    interface.replace('.', ":")
}

/// Interfaces that something in a directory is named after.
pub(crate) fn interfaces_in(dir: &Path) -> Result<BTreeSet<String>, EdgeError> {
    let reading = |error| EdgeError::kernel(format!("reading {}", dir.display()), error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(reading)? {
        if let Ok(name) = entry.map_err(reading)?.file_name().into_string() {
            names.insert(name.replace(':', "."));
        }
    }
    Ok(names)
}

/// Whether a directory is, or would be made, on a BPF file system.
pub(crate) fn is_bpffs(dir: &Path) -> io::Result<bool> {
    let existing = dir
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or_else(|| Path::new("/"));
    Ok(statfs(existing)?.f_type == BPF_FS_MAGIC)
}

/// Shapes of the maps that are pinned, as the loader will create them. Whatever else the object
/// declares (globals, working memory) is each instance's own and may change with any build.
fn expected_shapes(config: &EdgeConfig) -> Result<BTreeMap<String, Shape>, EdgeError> {
    let object = Object::parse(PROGRAM)
        .map_err(|error| EdgeError::program("reading the embedded program", error))?;
    let mut shapes = BTreeMap::new();
    for name in map::ALL.into_iter().chain([DEBUG_LINES]) {
        let declared = Shape::declared(&object, name)?;
        let max_entries = if name == map::FLOWS {
            config.flows_max
        } else if RADAR.contains(&name) {
            config.radar_sources_max
        } else {
            declared.max_entries
        };
        shapes.insert(
            name.to_owned(),
            Shape {
                max_entries,
                ..declared
            },
        );
    }
    Ok(shapes)
}

/// aya-log's ring; pinned, so that the lines of all instances meet in one.
const DEBUG_LINES: &str = "AYA_LOGS";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;
