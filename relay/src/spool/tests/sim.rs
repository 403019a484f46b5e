//! A disk that keeps its word and not a bit more.
//!
//! Until they are synced, writes are in memory alone: a crash keeps any of their sectors and loses the others, in
//! whatever order they were written, and so it does with names. A sync that fails has done some of its work and forgets
//! the rest, although it can still be read: so kernels do. Another sync then says that all is well and does nothing; only
//! what is written again is synced again, a directory with all of its names when one of them changes. Any operation can
//! be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use crate::spool::storage::{Directory, Medium, Named, Storage};

/// The disk, as long as the machine runs.
#[derive(Clone, Debug)]
pub(super) struct Sim(Arc<Mutex<World>>);

#[derive(Debug)]
struct World {
    random: Rng,
    files: Vec<Inode>,
    /// What a process sees.
    names: BTreeMap<At, usize>,
    /// What survives.
    durable_names: BTreeMap<At, usize>,
    /// What was done to the names since they were synced.
    changes: Vec<Change>,
    /// Directories with changes that a sync has forgotten.
    forgetful: BTreeSet<Directory>,
    /// Octets that all files may have.
    capacity: u64,
    fault: Option<Fault>,
    operations: u64,
}

type At = (Directory, String);

#[derive(Clone, Debug)]
enum Change {
    Made(At, usize),
    Renamed(At, At),
    Removed(At),
}

#[derive(Debug, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Where writes were made since the last sync, by sectors.
    unsynced: Vec<(u64, Vec<u8>)>,
}

/// Operations that fail: the one after `after` others, and as many more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) after: u64,
    pub(super) count: u64,
    pub(super) kind: io::ErrorKind,
    /// Reads fail, too.
    pub(super) reads: bool,
}

#[derive(Debug)]
struct Open {
    sim: Sim,
    inode: usize,
}

impl Sim {
    pub(super) fn new(seed: u64, capacity: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            random: Rng::with_seed(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            forgetful: BTreeSet::new(),
            capacity,
            fault: None,
            operations: 0,
        })))
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        let mut world = self.world();
        world.operations = 0;
        world.fault = fault;
    }

    /// Whether the fault has been met.
    pub(super) fn has_failed(&self) -> bool {
        let world = self.world();
        world
            .fault
            .is_some_and(|fault| world.operations > fault.after)
    }

    /// Whether a sync of that directory has forgotten changes, and nothing has made up for it.
    pub(super) fn is_forgetful(&self, directory: Directory) -> bool {
        self.world().forgetful.contains(&directory)
    }

    /// The machine stops, and starts again.
    pub(super) fn crash(&self) {
        let mut world = self.world();
        let world = &mut *world;
        let changes = std::mem::take(&mut world.changes);
        world.keep_some(changes);
        world.forgetful.clear();
        world.names = world.durable_names.clone();
        for inode in &mut world.files {
            inode.keep_some(&mut world.random);
            inode.seen.clone_from(&inode.durable);
        }
    }

    /// All that can be read of a file.
    pub(super) fn octets(&self, directory: Directory, name: &str) -> Vec<u8> {
        let world = self.world();
        let inode = world.names[&(directory, name.to_owned())];
        world.files[inode].seen.clone()
    }

    /// The medium is not what was written.
    pub(super) fn replace(&self, directory: Directory, name: &str, octets: Vec<u8>) {
        let mut world = self.world();
        let inode = world.names[&(directory, name.to_owned())];
        let inode = &mut world.files[inode];
        inode.unsynced.clear();
        inode.durable.clone_from(&octets);
        inode.seen = octets;
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    /// Counts an operation, and fails it if it is its turn.
    fn operate(&mut self, read: bool) -> io::Result<()> {
        let Some(fault) = self.fault.filter(|fault| !read || fault.reads) else {
            return Ok(());
        };
        self.operations += 1;
        let first = fault.after + 1;
        if (first..first + fault.count).contains(&self.operations) {
            return Err(fault.kind.into());
        }
        Ok(())
    }

    /// What was done to names and not synced is partly there.
    fn keep_some(&mut self, changes: Vec<Change>) {
        let ordered = self.random.bool();
        let mut keep = self.random.usize(..=changes.len());
        for change in changes {
            // Journals keep a beginning; others may keep anything.
            let kept = if ordered {
                keep = keep.saturating_sub(1);
                keep > 0
            } else {
                self.random.bool()
            };
            if kept {
                apply(&mut self.durable_names, change);
            }
        }
    }

    fn inode(&self, at: &At) -> io::Result<usize> {
        let inode = self.names.get(at).copied();
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Inode {
    /// What was written and not synced is partly there.
    fn keep_some(&mut self, random: &mut Rng) {
        for (offset, octets) in std::mem::take(&mut self.unsynced) {
            let all_or_nothing = random.u8(..4);
            for (index, sector) in octets.chunks(SECTOR).enumerate() {
                let kept = match all_or_nothing {
                    0 => true,
                    1 => false,
                    _ => random.bool(),
                };
                if kept {
                    put(&mut self.durable, offset + (index * SECTOR) as u64, sector);
                }
            }
        }
    }
}

impl Storage for Sim {
    fn list(&self, directory: Directory) -> io::Result<Vec<Named>> {
        let mut world = self.world();
        world.operate(true)?;
        let names = world.names.iter().filter(|((of, _), _)| *of == directory);
        let named = names.map(|((_, name), &inode)| Named {
            name: name.clone(),
            octets: world.files[inode].seen.len() as u64,
        });
        Ok(named.collect())
    }

    fn create(&self, directory: Directory, name: &str, octets: u64) -> io::Result<Arc<dyn Medium>> {
        let mut world = self.world();
        world.operate(false)?;
        let at = (directory, name.to_owned());
        if world.names.contains_key(&at) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let used = world.names.values().map(|&it| world.files[it].seen.len());
        if used.sum::<usize>() as u64 + octets > world.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = world.files.len();
        world.files.push(Inode {
            seen: vec![0; usize::try_from(octets).unwrap()],
            ..Inode::default()
        });
        world.names.insert(at.clone(), inode);
        world.changes.push(Change::Made(at, inode));
        let sim = self.clone();
        Ok(Arc::new(Open { sim, inode }))
    }

    fn open(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        let mut world = self.world();
        world.operate(true)?;
        let inode = world.inode(&(directory, name.to_owned()))?;
        let sim = self.clone();
        Ok(Arc::new(Open { sim, inode }))
    }

    fn open_to_write(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        self.open(directory, name)
    }

    fn rename(&self, from: (Directory, &str), to: (Directory, &str)) -> io::Result<()> {
        let mut world = self.world();
        world.operate(false)?;
        let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
        world.inode(&from)?;
        let change = Change::Renamed(from, to);
        apply(&mut world.names, change.clone());
        world.changes.push(change);
        Ok(())
    }

    fn remove(&self, directory: Directory, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.operate(false)?;
        let at = (directory, name.to_owned());
        world.inode(&at)?;
        let change = Change::Removed(at);
        apply(&mut world.names, change.clone());
        world.changes.push(change);
        Ok(())
    }

    fn sync_directory(&self, directory: Directory) -> io::Result<()> {
        let mut world = self.world();
        let world = &mut *world;
        let failed = world.operate(false).err();
        let changes = std::mem::take(&mut world.changes);
        let (here, elsewhere): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| change.is_in(directory));
        world.changes = elsewhere;
        let changed = !here.is_empty();
        if let Some(error) = failed {
            world.keep_some(here);
            world.forgetful.insert(directory);
            return Err(error);
        }
        for change in here {
            apply(&mut world.durable_names, change);
        }
        if changed && world.forgetful.remove(&directory) {
            let World {
                names,
                durable_names,
                ..
            } = world;
            durable_names.retain(|(of, _), _| *of != directory);
            let here = names.iter().filter(|((of, _), _)| *of == directory);
            durable_names.extend(here.map(|(at, &inode)| (at.clone(), inode)));
        }
        Ok(())
    }

    fn path(&self, directory: Directory, name: &str) -> PathBuf {
        PathBuf::from(directory.name()).join(name)
    }
}

impl Medium for Open {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.sim.world();
        let failed = world.operate(false).err();
        let written = match failed {
            None => octets.len(),
            Some(_) => world.random.usize(..=octets.len()),
        };
        let inode = &mut world.files[self.inode];
        put(&mut inode.seen, offset, &octets[..written]);
        let unsynced = octets[..written].to_vec();
        inode.unsynced.push((offset, unsynced));
        failed.map_or(Ok(()), Err)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.sim.world();
        let failed = world.operate(false).err();
        let World { random, files, .. } = &mut *world;
        let inode = &mut files[self.inode];
        if let Some(error) = failed {
            inode.keep_some(random);
            return Err(error);
        }
        if inode.durable.len() < inode.seen.len() {
            inode.durable.resize(inode.seen.len(), 0);
        }
        for (offset, octets) in std::mem::take(&mut inode.unsynced) {
            put(&mut inode.durable, offset, &octets);
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.sim.world();
        world.operate(true)?;
        let seen = &world.files[self.inode].seen;
        let rest = seen.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn octets(&self) -> io::Result<u64> {
        let mut world = self.sim.world();
        world.operate(true)?;
        Ok(world.files[self.inode].seen.len() as u64)
    }
}

impl Change {
    fn is_in(&self, directory: Directory) -> bool {
        match self {
            Self::Made(at, _) | Self::Removed(at) => at.0 == directory,
            Self::Renamed(from, to) => from.0 == directory || to.0 == directory,
        }
    }
}

fn apply(names: &mut BTreeMap<At, usize>, change: Change) {
    match change {
        Change::Made(at, inode) => {
            names.insert(at, inode);
        }
        Change::Removed(at) => {
            names.remove(&at);
        }
        Change::Renamed(from, to) => {
            // What it was made from may have been lost.
            if let Some(inode) = names.remove(&from) {
                names.insert(to, inode);
            }
        }
    }
}

fn put(octets: &mut Vec<u8>, offset: u64, piece: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    let end = start + piece.len();
    if octets.len() < end {
        octets.resize(end, 0);
    }
    octets[start..end].copy_from_slice(piece);
}

/// What disks write as one.
const SECTOR: usize = 512;
