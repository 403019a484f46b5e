//! What the relay tells its controller: what happened, once each, in order.
//!
//! Whoever knows of something calls [`Reporter::happened`], which never waits: the event is put into a bounded
//! [`buffer`]. [`Reporter::tend`] writes it into a [`journal`] at once, and sends it; what is not taken when the relay ends
//! is sent by the next one. Messages are counted by [`Reporter::message`], and told as figures once a minute.
//!
//! A relay without a controller (`[controller]` is not configured) keeps nothing and tells nobody.
//!
//! What may be lost: with the process, the counts of the last minute and what happened in the same instant; with the
//! power, the last second; beyond the bounds, what is worth least, and of that the oldest, which is counted and told
//! ([`Happening::Lost`]).
//!
//! # Diagnostics
//! Only logged: a journal that cannot be read or written (`error`, once; events are then in memory alone), a controller
//! that takes no events (`warn`, once), events that it refuses (`error`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use contract::event::{Event, Happening, Rates};
use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::config::Config;
use crate::spool::{Accepting, Spool};

mod buffer;
mod journal;
mod sending;
mod tally;
mod tending;

use buffer::{Bounds, Buffer, Entry, Place, Worth};
use journal::Journal;
use sending::Way;
use tally::{Tally, Whom};

/// The way to tell the controller something. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter(Option<Arc<Desk>>);

#[derive(Debug)]
struct Desk {
    /// This process, as the controller knows it.
    run: Arc<str>,
    way: Way,
    book: Mutex<Book>,
    /// `None` = it cannot be opened. Whoever takes both locks takes this one first.
    journal: Mutex<Option<Journal>>,
    tally: Mutex<Tally>,
    /// What has failed and was told: scanners, and what the disk is for.
    failing: Mutex<BTreeSet<(Part, String)>>,
    to_write: Notify,
    to_send: Notify,
}

/// What waits.
#[derive(Debug)]
struct Book {
    buffer: Buffer,
    next_seq: u64,
    /// The file that the buffer's places are in.
    file: Option<Arc<std::fs::File>>,
    /// The journal takes nothing: events are sent from memory.
    unwritable: bool,
    /// What the controller has taken, and the journal does not know yet.
    taken: Option<(Arc<str>, u64)>,
}

/// A kind of things that can fail and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Scanner,
    Disk,
}

impl Reporter {
    /// The reporter of a configuration; what an earlier run has left is sent first. Blocks on the disk.
    #[must_use]
    pub fn open(config: &Config) -> Self {
        let Some(controller) = &config.controller else {
            return Self(None);
        };
        let way = Way::new(&controller.socket, &config.name);
        Self(Some(Arc::new(Desk::open(
            &config.state_dir.join("events.journal"),
            way,
            BOUNDS,
        ))))
    }

    /// Something happened to a customer. Never waits.
    pub fn happened(&self, customer: IpAddr, flag_id: Option<u32>, happening: Happening) {
        self.note(Some(customer), flag_id, happening);
    }

    /// Something happened to the relay. Never waits.
    pub fn relay_happened(&self, happening: Happening) {
        self.note(None, None, happening);
    }

    /// Changes what is counted of a customer until the next report.
    pub(crate) fn count(
        &self,
        customer: IpAddr,
        flag_id: Option<u32>,
        change: impl FnOnce(&mut Rates),
    ) {
        let Some(desk) = &self.0 else { return };
        let told = locked(&desk.tally).count((customer, flag_id), Instant::now(), change);
        desk.tell_figures(told);
    }

    /// How a scanner fares; told when that changes.
    pub(crate) fn scanner(&self, scanner: &str, outcome: Result<(), String>) {
        let Some(desk) = &self.0 else { return };
        let scanner = scanner.to_owned();
        if let Some(failed) = desk.turns(Part::Scanner, &scanner, outcome) {
            desk.note(
                None,
                None,
                match failed {
                    Some(error) => Happening::ScannerDown { scanner, error },
                    None => Happening::ScannerBack { scanner },
                },
            );
        }
    }

    /// How the disk fares under a part of the relay; told when that changes.
    pub(crate) fn disk(&self, what: &str, outcome: Result<(), String>) {
        if let Some(desk) = &self.0 {
            desk.disk(what, outcome);
        }
    }

    /// How the spool's disk fares.
    fn look_at(&self, spool: &Spool) {
        let outcome = match spool.health().accepting {
            Accepting::Yes => Ok(()),
            Accepting::Full => Err("no room"),
            Accepting::Broken => Err("the last write failed"),
        };
        self.disk("spool", outcome.map_err(str::to_owned));
    }

    /// Writes down what is to outlive the relay. Blocks on the disk.
    pub fn save(&self) {
        if let Some(desk) = &self.0 {
            desk.report_figures();
            desk.write();
            desk.sync();
        }
    }

    fn note(&self, customer: Option<IpAddr>, flag_id: Option<u32>, happening: Happening) {
        if let Some(desk) = &self.0 {
            desk.note(customer, flag_id, happening);
        }
    }
}

impl Desk {
    fn open(path: &Path, way: Way, bounds: Bounds) -> Self {
        let run = new_run();
        let mut buffer = Buffer::new(bounds);
        let journal = match Journal::open(path) {
            Ok((journal, left)) => {
                if left.damaged > 0 {
                    warn!(file = %path.display(), lines = left.damaged, "damaged events are passed over");
                }
                let shed: u64 = left.entries.into_iter().map(|it| buffer.push(it)).sum();
                if shed > 0 {
                    warn!(
                        events = shed,
                        "an earlier run has left more events than are kept"
                    );
                }
                Some(journal)
            }
            Err(error) => {
                error!(%error, file = %path.display(), "events are in memory alone, and end with the relay");
                None
            }
        };
        Self {
            run,
            way,
            book: Mutex::new(Book {
                buffer,
                next_seq: 1,
                file: journal.as_ref().map(Journal::file),
                unwritable: journal.is_none(),
                taken: None,
            }),
            journal: Mutex::new(journal),
            tally: Mutex::new(Tally::new(Instant::now())),
            failing: Mutex::default(),
            to_write: Notify::new(),
            to_send: Notify::new(),
        }
    }

    fn note(&self, customer: Option<IpAddr>, flag_id: Option<u32>, mut happening: Happening) {
        happening.bound();
        let worth = Worth::of(&happening);
        let mut book = locked(&self.book);
        let shed = self.push(&mut book, worth, customer, flag_id, happening);
        if shed > 0 {
            // The slab that has gone leaves room for it.
            let lost = Happening::Lost { events: shed };
            self.push(&mut book, Worth::Trail, None, None, lost);
        }
        drop(book);
        self.to_write.notify_one();
    }

    fn push(
        &self,
        book: &mut Book,
        worth: Worth,
        customer: Option<IpAddr>,
        flag_id: Option<u32>,
        happening: Happening,
    ) -> u64 {
        let seq = book.next_seq;
        let event = Event {
            seq,
            at: Timestamp::now(),
            customer,
            flag_id,
            happening,
        };
        let text = match serde_json::to_string(&event) {
            Ok(text) => text,
            Err(error) => {
                error!(%error, "an event cannot be written by a bug of ours");
                return 0;
            }
        };
        book.next_seq += 1;
        book.buffer.push(Entry {
            run: Arc::clone(&self.run),
            seq,
            worth,
            place: Place::Memory(text.into()),
        })
    }

    fn tell_figures(&self, told: Vec<(Whom, Happening)>) {
        for ((customer, flag_id), rates) in told {
            self.note(Some(customer), flag_id, rates);
        }
    }

    fn report_figures(&self) {
        let told = locked(&self.tally).tell(Instant::now());
        self.tell_figures(told);
    }

    fn disk(&self, what: &str, outcome: Result<(), String>) {
        let what = what.to_owned();
        if let Some(failed) = self.turns(Part::Disk, &what, outcome) {
            self.note(
                None,
                None,
                match failed {
                    Some(error) => Happening::DiskFailed { what, error },
                    None => Happening::DiskBack { what },
                },
            );
        }
    }

    /// The error of what has begun to fail, `Some(None)` for what is back, `None` if nothing has changed.
    fn turns(&self, part: Part, name: &str, outcome: Result<(), String>) -> Option<Option<String>> {
        let mut failing = locked(&self.failing);
        let key = (part, name.to_owned());
        match outcome {
            Ok(()) => failing.remove(&key).then_some(None),
            Err(error) => failing.insert(key).then_some(Some(error)),
        }
    }
}

/// What a poisoned lock guards is still what it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that no other run has: its time in front, so that people see the order.
fn new_run() -> Arc<str> {
    let millis = Timestamp::now().as_millisecond();
    format!("{millis:012x}{:08x}", fastrand::u32(..)).into()
}

/// Days of a busy relay, or hours of one with thousands of customers; 6 MiB of memory and 128 MiB of disk at most.
const BOUNDS: Bounds = Bounds {
    events: 100_000,
    octets: 64 << 20,
    unwritten: 4096,
};

#[cfg(test)]
mod tests;
