//! The spool without its threads: what is written, where, and what it means when that fails.
//!
//! [`Engine::commit`] writes groups; [`tend`](Engine::tend) does in small steps what can wait. Both block. At most one
//! of each runs at a time, beside any number of readers.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_proto::queued::{QueueId, UnixMillis};
use tracing::{error, info};

use super::active::Active;
use super::catalogue::{Catalogue, Segment, State};
use super::life::{Life, Secret};
use super::storage::{Directory, Medium, Storage, remove_if_there};
use super::{Accepting, Health, StoreError};

mod commit;
mod read;
mod tend;

pub(super) use commit::{ENTRY_OCTETS, Outcome, RECIPIENT_OCTETS, Wish, entry_octets};
pub(super) use tend::Tended;

/// How large things may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) segment_octets: u64,
    pub(super) max_octets: u64,
}

/// A spool that is open.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) terms: Terms,
    secret: Secret,
    catalogue: Mutex<Catalogue>,
    writing: Mutex<Writing>,
    ready: Mutex<VecDeque<(Life, Arc<dyn Medium>)>>,
    stock: Mutex<Stock>,
    last_id: AtomicU64,
    accepting: Mutex<Accepting>,
    /// Segments that are left alone for a while.
    hindered: Mutex<HashSet<u64>>,
    /// Nothing is freed or moved while somebody still reads what an earlier run has left.
    pub(super) held: AtomicBool,
    pub(super) counts: Counts,
}

/// What is being written to.
#[derive(Debug)]
struct Writing {
    active: Option<Active>,
    buffer: Vec<u8>,
}

/// What segments are made of.
#[derive(Debug)]
pub(super) struct Stock {
    /// Files that were segments.
    pub(super) spares: Vec<String>,
    /// Number of the next life.
    pub(super) next: u64,
}

/// What has been counted since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) stored: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) damaged: AtomicU64,
}

impl Engine {
    /// Over what has been found.
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        terms: Terms,
        secret: Secret,
        catalogue: Catalogue,
        stock: Stock,
        last_id: Option<QueueId>,
        active: Option<Active>,
    ) -> Self {
        Self {
            storage,
            terms,
            secret,
            catalogue: Mutex::new(catalogue),
            writing: Mutex::new(Writing {
                active,
                buffer: Vec::new(),
            }),
            ready: Mutex::default(),
            stock: Mutex::new(stock),
            last_id: AtomicU64::new(last_id.map_or(0, QueueId::get)),
            accepting: Mutex::new(Accepting::Yes),
            hindered: Mutex::default(),
            held: AtomicBool::new(false),
            counts: Counts::default(),
        }
    }

    /// What is in it. Held for moments only, never over an operation on the disk.
    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        lock(&self.catalogue)
    }

    /// A name that was never given away.
    pub(super) fn next_id(&self, now: UnixMillis) -> QueueId {
        let mut last = self.last_id.load(Ordering::Relaxed);
        loop {
            let next = QueueId::after(QueueId::from_number(last), now);
            let exchanged = self.last_id.compare_exchange_weak(
                last,
                next.get(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match exchanged {
                Ok(_) => return next,
                Err(other) => last = other,
            }
        }
    }

    /// A name for a message of another spool: its own if it was never given away here, which is certain of those later than
    /// the last one.
    pub(super) fn adopted_id(&self, foreign: QueueId, now: UnixMillis) -> QueueId {
        let ahead = UnixMillis(now.0.saturating_add(CLOCKS_DIFFER_MS));
        let last = self.last_id.load(Ordering::Relaxed);
        let is_new = foreign.get() > last && foreign < QueueId::after(None, ahead);
        let taken = is_new
            && self
                .last_id
                .compare_exchange(last, foreign.get(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if taken { foreign } else { self.next_id(now) }
    }

    /// The last name that was given away.
    fn last_id(&self) -> Option<QueueId> {
        QueueId::from_number(self.last_id.load(Ordering::Relaxed))
    }

    /// State and counts.
    pub(super) fn health(&self) -> Health {
        let accepting = *lock(&self.accepting);
        let catalogue = self.catalogue();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Health {
            accepting,
            messages: catalogue.living() as u64,
            octets: catalogue.octets(),
            max_octets: self.terms.max_octets,
            stored: count(&self.counts.stored),
            refused: count(&self.counts.refused),
            groups: count(&self.counts.groups),
            write_errors: count(&self.counts.write_errors),
            damaged: count(&self.counts.damaged),
        }
    }

    /// Remembers whether messages can be taken, and says so when that changes.
    pub(super) fn note(&self, accepting: Accepting, error: Option<&io::Error>) {
        let before = std::mem::replace(&mut *lock(&self.accepting), accepting);
        if before == accepting {
            return;
        }
        let dir = self.storage.path(Directory::Segments, "");
        match (accepting, error) {
            (Accepting::Yes, _) => info!(dir = %dir.display(), "the spool takes messages again"),
            (Accepting::Full, _) => {
                error!(dir = %dir.display(), "the spool is full: messages are answered 452");
            }
            (Accepting::Broken, error) => {
                let error = error.map_or_else(String::new, ToString::to_string);
                error!(dir = %dir.display(), error, "the spool's disk fails: messages are answered 452");
            }
        }
    }

    /// Sees to it that so many empty segments are there.
    fn prepare(&self, wanted: usize) -> Result<(), StoreError> {
        let mut stock = lock(&self.stock);
        while lock(&self.ready).len() < wanted {
            self.prepare_one(&mut stock)?;
        }
        Ok(())
    }

    fn prepare_one(&self, stock: &mut Stock) -> Result<(), StoreError> {
        let octets = self.terms.segment_octets;
        let life = self.secret.life(stock.next);
        let recycled = stock.spares.pop();
        let file = recycled.clone().unwrap_or_else(|| life.spare());
        let medium = if recycled.is_some() {
            self.storage.open_to_write(Directory::Segments, &file)
        } else {
            self.reserve(octets)?;
            self.storage.create(Directory::Segments, &file, octets)
        };
        let named = medium.and_then(|medium| {
            // A file whose length is not durable would be shorter after a crash.
            medium.sync()?;
            let segment = life.segment();
            self.storage.rename(
                (Directory::Segments, &file),
                (Directory::Segments, &segment),
            )?;
            self.storage.sync_directory(Directory::Segments)?;
            Ok(medium)
        });
        // Whatever became of it, the number is used up.
        stock.next += 1;
        let medium = match named {
            Ok(medium) => medium,
            Err(error) => {
                for name in [file, life.segment()] {
                    if let Err(error) = remove_if_there(&*self.storage, Directory::Segments, &name)
                    {
                        error!(name, %error, "an empty segment stays behind");
                    }
                }
                return Err(self.failed(error));
            }
        };
        let segment = Segment::new(life, State::Ready, octets);
        self.catalogue().segments.insert(life.sequence, segment);
        lock(&self.ready).push_back((life, medium));
        Ok(())
    }

    /// Whether so many octets more would be within what the spool may have.
    fn reserve(&self, octets: u64) -> Result<(), StoreError> {
        self.reserve_within(self.terms.max_octets, octets)
    }

    /// Whether messages may have so many octets more. What ends them is written down beside them, and a spool without
    /// room for that would never have room again.
    pub(super) fn reserve_for_messages(&self, octets: u64) -> Result<(), StoreError> {
        let max = self.terms.max_octets;
        let kept = max / KEPT_FOR_DONE;
        let kept = kept - kept % self.terms.segment_octets;
        self.reserve_within(max - kept, octets)
    }

    fn reserve_within(&self, max: u64, octets: u64) -> Result<(), StoreError> {
        let within = self.catalogue().octets().checked_add(octets);
        if within.is_some_and(|within| within <= max) {
            Ok(())
        } else {
            Err(StoreError::Full)
        }
    }

    /// What a failure of the disk means for a message, counted.
    pub(super) fn failed(&self, error: io::Error) -> StoreError {
        if is_full(&error) {
            return StoreError::Full;
        }
        self.counts.write_errors.fetch_add(1, Ordering::Relaxed);
        StoreError::Io(Arc::new(error))
    }
}

/// The part of the spool that messages leave to what ends them; whole segments.
const KEPT_FOR_DONE: u64 = 32;

/// Names of another relay's clock that is ahead by more are not taken: all later ones here would be as far ahead.
const CLOCKS_DIFFER_MS: u64 = 86_400_000;

/// There is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A panic elsewhere leaves nothing half-done that the next one would trip over: what is on the disk is what counts.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
