//! What a reporter does as time passes: writing, syncing, sending, and telling figures.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use super::buffer::{Entry, Name, Place};
use super::{Desk, Reporter, locked};
use crate::spool::Spool;

impl Reporter {
    /// Works for as long as it is polled; `spool` is what it looks at, if the relay has one.
    pub(crate) async fn tend(self, spool: Option<Spool>) {
        let Some(desk) = self.0.clone() else {
            return std::future::pending().await;
        };
        let writing = write(Arc::clone(&desk));
        let ticking = tick(self, Arc::clone(&desk), spool);
        tokio::join!(writing, ticking, desk.send());
    }
}

/// Writes what happens, at once.
async fn write(desk: Arc<Desk>) {
    loop {
        desk.to_write.notified().await;
        let this = Arc::clone(&desk);
        let written = spawn_blocking(move || this.write()).await;
        if let Err(error) = written {
            error!(%error, "writing events ended by a bug of ours");
        }
        desk.to_send.notify_one();
    }
}

/// Once a second syncs what was written, and tries again what could not be; once a minute tells figures.
async fn tick(reporter: Reporter, desk: Arc<Desk>, spool: Option<Spool>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 1_u32.. {
        ticks.tick().await;
        if let Some(spool) = &spool {
            reporter.look_at(spool);
        }
        if tick.is_multiple_of(REPORT_TICKS) {
            desk.report_figures();
        }
        let this = Arc::clone(&desk);
        let synced = spawn_blocking(move || {
            if locked(&this.book).unwritable {
                this.write();
            }
            this.sync();
        });
        if let Err(error) = synced.await {
            error!(%error, "syncing events ended by a bug of ours");
        }
    }
}

impl Desk {
    /// Writes what is in memory alone, and shortens the journal where most of it is of no use any more.
    pub(super) fn write(&self) {
        let mut journal = locked(&self.journal);
        let Some(journal) = &mut *journal else { return };
        let (events, taken) = {
            let mut book = locked(&self.book);
            let events: Vec<(Name, Arc<str>)> =
                book.buffer.unwritten().filter_map(in_memory).collect();
            (events, book.taken.take())
        };
        let mut places = Ok(None);
        if !events.is_empty() {
            places = journal.append(&events).map(Some);
        }
        if let (Ok(_), Some((run, through))) = (&places, &taken) {
            // If that is lost, the controller tells what it has twice from what it has once.
            let noted = journal.note_taken(run, *through);
            places = noted.and(places);
        }
        let outcome = places.map(|places| {
            if let Some(places) = places {
                locked(&self.book).buffer.place(&places);
            }
        });
        let outcome = outcome.and_then(|()| self.shorten(journal));
        self.fares(outcome);
    }

    fn shorten(&self, journal: &mut super::Journal) -> std::io::Result<()> {
        let waiting: Option<Vec<Entry>> = {
            let book = locked(&self.book);
            let of_use = book.buffer.octets().saturating_mul(2);
            let longer = journal.octets() > SHORTEN_FROM.max(of_use.saturating_mul(2));
            longer.then(|| book.buffer.written().cloned().collect())
        };
        let Some(waiting) = waiting else {
            return Ok(());
        };
        let places = journal.rewrite(&waiting)?;
        let mut book = locked(&self.book);
        book.buffer.place(&places);
        book.file = Some(journal.file());
        Ok(())
    }

    pub(super) fn sync(&self) {
        let synced = match &mut *locked(&self.journal) {
            Some(journal) => journal.sync(),
            None => return,
        };
        if synced.is_err() {
            self.fares(synced);
        }
    }

    /// Notes whether the journal can be written.
    fn fares(&self, outcome: std::io::Result<()>) {
        let unwritable = outcome.is_err();
        let before = std::mem::replace(&mut locked(&self.book).unwritable, unwritable);
        match &outcome {
            Err(error) if !before => {
                error!(%error, "events cannot be written, and end with the relay");
            }
            Ok(()) if before => info!("events can be written again"),
            Ok(()) | Err(_) => {}
        }
        self.disk("events", outcome.map_err(|error| error.to_string()));
    }
}

fn in_memory(entry: &Entry) -> Option<(Name, Arc<str>)> {
    match &entry.place {
        Place::Memory(text) => Some(((Arc::clone(&entry.run), entry.seq), Arc::clone(text))),
        Place::File(_) => None,
    }
}

const TICK: Duration = Duration::from_secs(1);
/// A minute.
const REPORT_TICKS: u32 = 60;
/// A journal of that many octets is not worth shortening.
const SHORTEN_FROM: u64 = 1 << 20;
