//! The policies in the kernel: two sets of them, one in force, switched by one word.
//!
//! A set is up to four tables: hosts and prefixes, IPv4 and IPv6. Each stands in one of the two places of its
//! map of `abi::map::SETS`, and is pinned below `sets/NUMBER/`. The number in force stands in the settings; its
//! parity is the place. A kind of which there is no policy has no table, so that asking for it costs nothing.
//!
//! A single policy is written into the set in force. [`Sets::load`] makes a new set beside it, and only when
//! that is whole does the word change: whoever dies before has changed nothing, and [`Sets::open`] takes the
//! unfinished set away. A program reads the word once per frame, and goes on with that set until it has
//! judged. So nothing of the old set is taken out of its place before every program that may have read the old
//! word has ended.
//!
//! # Diagnostics
//!
//! [`EdgeError::PoliciesFull`] for more than fit, else what the kernel answers.

mod kind;
mod table;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use ipnetwork::IpNetwork;
use redirector_common::abi::Policy;
use rustix::io::Errno;

pub use self::table::make_places;
use self::{
    kind::{Key, Kind, PerKind},
    table::{expected_shape, make, shape},
};
use super::{
    EdgeError,
    batch::{Entries, RawMap},
    error::errno,
    maps::open_raw,
    pins::{Pins, Shape},
};

/// Both sets, as user space holds them.
pub(crate) struct Sets {
    /// Where sets are pinned.
    dir: PathBuf,
    /// Entries that a new table takes.
    policies_max: u32,
    /// The maps that the program asks, by [`Kind`].
    places: PerKind<RawMap>,
    /// The set in force.
    number: u32,
    tables: Tables,
    /// Whether a table in force was made for another number of entries.
    resized: bool,
}

/// The tables of a set; `None` = there is no policy of that kind.
type Tables = PerKind<Option<RawMap>>;

impl Sets {
    /// Opens the set in force, and takes away what an interrupted load has left.
    pub(crate) fn open(pins: &Pins, policies_max: u32, number: u32) -> Result<Self, EdgeError> {
        let mut sets = Self {
            dir: pins.sets(),
            policies_max,
            places: PerKind::try_of(|kind| open_raw(&pins.map(kind.name())))?,
            number,
            tables: Tables::default(),
            resized: false,
        };
        sets.forget_unfinished()?;
        for kind in Kind::ALL {
            sets.adopt(kind)?;
        }
        Ok(sets)
    }

    /// Whether the set in force should be loaded anew, because another size is configured now.
    pub(crate) const fn is_resized(&self) -> bool {
        self.resized
    }

    /// Every policy in force.
    pub(crate) fn policies(&self) -> Result<BTreeMap<IpNetwork, Policy>, EdgeError> {
        let mut policies = Vec::new();
        for (kind, table) in self.standing() {
            let pieces = |keys: &[u8], values: &[u8]| {
                let keys = keys.chunks_exact(kind.key_octets());
                let (values, _rest) = values.as_chunks::<{ Policy::SIZE }>();
                let entries = keys.zip(values).filter_map(|(key, value)| {
                    Some((kind.prefix(key)?, Policy::from_octets(value)))
                });
                policies.extend(entries);
            };
            table
                .read_each(pieces)
                .map_err(|error| reading(kind, error))?;
        }
        Ok(policies.into_iter().collect())
    }

    /// Writes one policy into the set in force.
    pub(crate) fn put(&mut self, prefix: IpNetwork, policy: &Policy) -> Result<(), EdgeError> {
        let key = Key::of(prefix);
        if self.tables.of(key.kind).is_none() {
            self.add_table(key.kind, self.number)?;
        }
        let Some(table) = self.tables.of(key.kind) else {
            return Ok(());
        };
        table
            .put(key.octets(), &policy.to_octets())
            .map_err(|error| self.writing(key.kind, error))
    }

    /// Takes one policy out of the set in force; what is not there counts as taken.
    pub(crate) fn remove(&mut self, prefix: IpNetwork) -> Result<(), EdgeError> {
        let key = Key::of(prefix);
        let Some(table) = self.tables.of(key.kind) else {
            return Ok(());
        };
        table
            .remove(key.octets())
            .map_err(|error| self.writing(key.kind, error))?;
        // The walk through an empty trie is paid by every customer that has no policy.
        let is_last =
            key.kind.is_trie() && table.is_empty().map_err(|error| reading(key.kind, error))?;
        if is_last {
            self.vacate(key.kind, self.number)?;
            remove_file(&self.pin(key.kind, self.number))?;
            *self.tables.of_mut(key.kind) = None;
        }
        Ok(())
    }

    /// Makes a set of all these policies and puts it into force at once. `switch` writes the word.
    pub(crate) fn load(
        &mut self,
        policies: &BTreeMap<IpNetwork, Policy>,
        switch: impl FnOnce(u32) -> Result<(), EdgeError>,
    ) -> Result<(), EdgeError> {
        let (old, new) = (self.number, self.number.wrapping_add(1));
        self.forget_unfinished()?;
        let mut tables = Tables::default();
        for kind in Kind::ALL {
            // One kind after the other: of a million policies even their octets are not few.
            let mut rows = Entries::default();
            for (prefix, policy) in policies {
                let key = Key::of(*prefix);
                if key.kind == kind {
                    rows.keys.extend_from_slice(key.octets());
                    rows.values.extend_from_slice(&policy.to_octets());
                }
            }
            if !rows.keys.is_empty() {
                let table = make(kind, self.policies_max)?;
                table
                    .put_all(&rows)
                    .map_err(|error| self.writing(kind, error))?;
                *tables.of_mut(kind) = Some(table);
            }
        }
        for kind in Kind::ALL {
            if let Some(table) = tables.of(kind) {
                self.pin_table(kind, new, table)?;
                self.occupy(kind, new, table)?;
            }
        }

        switch(new)?;
        self.number = new;
        let old_tables = std::mem::replace(&mut self.tables, tables);
        self.resized = false;

        self.wait_for_programs(&old_tables, old)?;
        for kind in Kind::ALL {
            self.vacate(kind, old)?;
        }
        self.forget(old)
    }

    /// Returns once every program that was running has ended.
    ///
    /// An update of a map of maps does that before it returns (Linux 5.0, `maybe_wait_bpf_programs`), so what
    /// stands somewhere is written there once more.
    fn wait_for_programs(&self, old_tables: &Tables, old: u32) -> Result<(), EdgeError> {
        for kind in Kind::ALL {
            if let Some(table) = self.tables.of(kind) {
                return self.occupy(kind, self.number, table);
            }
        }
        for kind in Kind::ALL {
            if let Some(table) = old_tables.of(kind) {
                return self.occupy(kind, old, table);
            }
        }
        Ok(())
    }

    /// Takes the pins of every set away but those of the one in force, and its tables out of their places.
    fn forget_unfinished(&self) -> Result<(), EdgeError> {
        let reading = |error| EdgeError::kernel(format!("reading {}", self.dir.display()), error);
        for entry in fs::read_dir(&self.dir).map_err(reading)? {
            let path = entry.map_err(reading)?.path();
            if path != self.pins_of(self.number) {
                remove_dir(&path)?;
            }
        }
        for kind in Kind::ALL {
            self.vacate(kind, self.number.wrapping_add(1))?;
        }
        Ok(())
    }

    /// Opens a table of the set in force, and puts it where the program looks. Pins are written first and
    /// removed last, so what is pinned is what should be in force.
    fn adopt(&mut self, kind: Kind) -> Result<(), EdgeError> {
        let path = self.pin(kind, self.number);
        if !path.exists() {
            return self.vacate(kind, self.number);
        }
        let table = open_raw(&path)?;
        let (found, expected) = (
            shape(kind, &table)?,
            expected_shape(kind, self.policies_max),
        );
        let resized = found.max_entries != expected.max_entries;
        let expected = Shape {
            max_entries: found.max_entries,
            ..expected
        };
        if found != expected {
            return Err(EdgeError::ShapeDiffers {
                map: kind.name().to_owned(),
                path,
                found,
                expected,
            });
        }
        let stands: Option<[u8; 4]> = self
            .places
            .of(kind)
            .get(&index(self.number))
            .map_err(|error| reading(kind, error))?;
        if stands.map(u32::from_ne_bytes) != Some(table.id()) {
            self.occupy(kind, self.number, &table)?;
        }
        self.resized |= resized;
        *self.tables.of_mut(kind) = Some(table);
        Ok(())
    }

    /// Makes an empty table and puts it into force.
    fn add_table(&mut self, kind: Kind, number: u32) -> Result<(), EdgeError> {
        let table = make(kind, self.policies_max)?;
        self.pin_table(kind, number, &table)?;
        self.occupy(kind, number, &table)?;
        *self.tables.of_mut(kind) = Some(table);
        Ok(())
    }

    fn pin_table(&self, kind: Kind, number: u32, table: &RawMap) -> Result<(), EdgeError> {
        let path = self.pin(kind, number);
        let pinning =
            |error: io::Error| EdgeError::kernel(format!("pinning {}", path.display()), error);
        if let Some(dir) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(pinning)?;
        }
        table
            .data()
            .pin(&path)
            .map_err(|error| EdgeError::kernel(format!("pinning {}", path.display()), error))
    }

    fn occupy(&self, kind: Kind, number: u32, table: &RawMap) -> Result<(), EdgeError> {
        self.places
            .of(kind)
            .put(&index(number), &table.fd().to_ne_bytes())
            .map_err(|error| self.writing(kind, error))
    }

    fn vacate(&self, kind: Kind, number: u32) -> Result<(), EdgeError> {
        self.places
            .of(kind)
            .remove(&index(number))
            .map(drop)
            .map_err(|error| self.writing(kind, error))
    }

    fn forget(&self, number: u32) -> Result<(), EdgeError> {
        remove_dir(&self.pins_of(number))
    }

    fn standing(&self) -> impl Iterator<Item = (Kind, &RawMap)> {
        let kinds = Kind::ALL.into_iter();
        kinds.filter_map(|kind| Some((kind, self.tables.of(kind).as_ref()?)))
    }

    /// Descriptors of the tables in force, by the name of their kind.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (&'static str, i32)> {
        self.standing()
            .map(|(kind, table)| (kind.name(), table.fd()))
    }

    fn pins_of(&self, number: u32) -> PathBuf {
        self.dir.join(number.to_string())
    }

    fn pin(&self, kind: Kind, number: u32) -> PathBuf {
        self.pins_of(number).join(kind.name())
    }

    fn writing(&self, kind: Kind, error: io::Error) -> EdgeError {
        if errno(&error) == Some(Errno::TOOBIG) || errno(&error) == Some(Errno::NOSPC) {
            return EdgeError::PoliciesFull {
                policies_max: self.policies_max,
            };
        }
        EdgeError::kernel(format!("writing map {}", kind.name()), error)
    }
}

fn remove_dir(path: &Path) -> Result<(), EdgeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EdgeError::kernel(
            format!("removing {}", path.display()),
            error,
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), EdgeError> {
    fs::remove_file(path)
        .map_err(|error| EdgeError::kernel(format!("removing {}", path.display()), error))
}

fn reading(kind: Kind, error: io::Error) -> EdgeError {
    EdgeError::kernel(format!("reading map {}", kind.name()), error)
}

/// The place of a set in each of the maps.
const fn index(number: u32) -> [u8; 4] {
    (number & 1).to_ne_bytes()
}
