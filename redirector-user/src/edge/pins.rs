//! Where maps and links are pinned, and whether what is pinned there fits.
//!
//! aya reuses a pinned map by its name alone, and a look-up in a map with larger values than the
//! reader expects overruns the reader's buffer. So every shape is compared before anything is loaded.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aya::maps::{MapInfo, MapType};
use aya_obj::{EbpfSectionKind, Object, generated::bpf_map_type};
use redirector_common::abi::{ABI_VERSION, map};
use rustix::{fs::statfs, io::Errno};

use super::{EdgeConfig, EdgeError, PROGRAM, error::os_error};

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
        fs::create_dir_all(pins.links()).map_err(|error| {
            EdgeError::kernel(format!("making {}", pins.links().display()), error)
        })?;
        for (name, expected) in &pins.shapes {
            pins.compare(name, expected)?;
        }
        Ok(pins)
    }

    /// Path of a map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Names of all maps that are pinned.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    /// Directory of the links.
    pub(crate) fn links(&self) -> PathBuf {
        self.dir.join("links")
    }

    /// Path of an interface's link.
    ///
    /// bpffs refuses dots in names, which VLAN interfaces have (`eth0.100`); interface names in
    /// turn cannot have colons (`dev_valid_name`), so one stands for the other.
    pub(crate) fn link(&self, interface: &str) -> PathBuf {
        self.links().join(interface.replace('.', ":"))
    }

    /// Interfaces that a link is pinned for, whether they still exist or not.
    pub(crate) fn linked(&self) -> Result<Vec<String>, EdgeError> {
        let reading =
            |error| EdgeError::kernel(format!("reading {}", self.links().display()), error);
        let mut names = Vec::new();
        for entry in fs::read_dir(self.links()).map_err(reading)? {
            if let Ok(name) = entry.map_err(reading)?.file_name().into_string() {
                names.push(name.replace(':', "."));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The pin directory may not exist yet, but what holds it must be a BPF file system.
    fn require_bpffs(&self, pin_dir: &Path) -> Result<(), EdgeError> {
        let existing = pin_dir
            .ancestors()
            .find(|ancestor| ancestor.exists())
            .unwrap_or(Path::new("/"));
        let found = statfs(existing).map_err(|errno| {
            EdgeError::kernel(
                format!("statfs {}", existing.display()),
                io::Error::from(errno),
            )
        })?;
        if found.f_type == BPF_FS_MAGIC {
            Ok(())
        } else {
            Err(EdgeError::NotBpffs {
                path: pin_dir.to_owned(),
            })
        }
    }

    fn compare(&self, name: &str, expected: &Shape) -> Result<(), EdgeError> {
        let path = self.map(name);
        let info = match MapInfo::from_pin(&path) {
            Ok(info) => info,
            Err(error) if os_error(&error) == Some(Errno::NOENT.raw_os_error()) => return Ok(()),
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
        let found = Shape {
            map_type,
            key_octets: info.key_size(),
            value_octets: info.value_size(),
            max_entries: info.max_entries(),
        };
        if found == *expected {
            return Ok(());
        }
        Err(EdgeError::ShapeDiffers {
            map: name.to_owned(),
            path,
            found,
            expected: *expected,
        })
    }
}

/// Shapes of the maps that the embedded object declares, as the loader will create them.
fn expected_shapes(config: &EdgeConfig) -> Result<BTreeMap<String, Shape>, EdgeError> {
    let reading = "reading the embedded program";
    let object = Object::parse(PROGRAM).map_err(|error| EdgeError::program(reading, error))?;
    let mut shapes = BTreeMap::new();
    for (name, declared) in &object.maps {
        // Sections of globals belong to one program instance each.
        match declared.section_kind() {
            EbpfSectionKind::Data | EbpfSectionKind::Rodata | EbpfSectionKind::Bss => continue,
            EbpfSectionKind::Undefined
            | EbpfSectionKind::Maps
            | EbpfSectionKind::BtfMaps
            | EbpfSectionKind::Program
            | EbpfSectionKind::Btf
            | EbpfSectionKind::BtfExt
            | EbpfSectionKind::Text
            | EbpfSectionKind::License
            | EbpfSectionKind::Version => {}
        }
        let map_type = bpf_map_type::try_from(declared.map_type())
            .map_err(|unknown| {
                EdgeError::Impossible(format!(
                    "{reading}: map {name} is of type {}",
                    unknown.value
                ))
            })
            .and_then(|number| {
                MapType::try_from(number).map_err(|error| EdgeError::program(reading, error))
            })?;
        let (value_octets, max_entries) = match map_type {
            // The loader enlarges the value where the kernel knows chained programs (5.8).
            MapType::DevMapHash if aya::features().devmap_prog_id() => (8, declared.max_entries()),
            MapType::RingBuf => (0, declared.max_entries()),
            _ if name == map::FLOWS => (declared.value_size(), config.flows_max),
            _ => (declared.value_size(), declared.max_entries()),
        };
        shapes.insert(
            name.clone(),
            Shape {
                map_type,
                key_octets: declared.key_size(),
                value_octets,
                max_entries,
            },
        );
    }
    if let Some(missing) = map::ALL.iter().find(|name| !shapes.contains_key(**name)) {
        return Err(EdgeError::Impossible(format!(
            "{reading}: it has no map {missing}"
        )));
    }
    Ok(shapes)
}

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;
