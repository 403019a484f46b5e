//! The file by which what was used up stays so over a restart, and the clock that it is reckoned by.
//!
//! It is written whole: once a minute if something has changed, within seconds if a customer has reached a limit that it
//! had not reached in the hour before, and when the relay ends. A crash forgives what was used up since.
//!
//! # Diagnostics
//! Logged: a file that is damaged (`warn`; a whole one is set aside, a record of it is left out) or cannot be written
//! (`error`, and tried again).

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use relay_proto::Time;
use relay_proto::behaviour::{Customers, Damaged};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::Behaviour;
use crate::clock::unix_now;
use crate::durable;

/// Time since 1970 that never goes back while the relay runs. Follows tokio's clock, so that tests can move it.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    began: Instant,
    at: Time,
}

impl WallClock {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
            at: Duration::from_millis(unix_now().0),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.at + self.began.elapsed()
    }
}

/// What the file holds; an absent one holds nothing.
pub(super) fn read(file: &Path, capacity: usize, now: Time) -> Customers {
    let octets = match std::fs::read(file) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Customers::new(capacity),
        Err(error) => {
            error!(file = %file.display(), %error, "what customers have used up cannot be read, counting anew");
            return Customers::new(capacity);
        }
    };
    match Customers::decode(&octets, capacity, now) {
        Some((customers, Damaged(0))) => {
            info!(
                customers = customers.len(),
                "what customers have used up is known from before"
            );
            customers
        }
        Some((customers, Damaged(records))) => {
            warn!(file = %file.display(), records, "damaged records are left out: these customers are counted anew");
            customers
        }
        None => {
            let aside = file.with_extension("damaged");
            let kept = std::fs::rename(file, &aside).is_ok();
            warn!(file = %file.display(), kept, "not a file of what customers have used up, counting anew");
            Customers::new(capacity)
        }
    }
}

impl Behaviour {
    /// Writes what has changed, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            sleep(REST).await;
            // Whoever could bring the relay down would else be free of its limit with each crash.
            let waited = timeout(INTERVAL - REST, self.shared.urgent.notified());
            let _urgent = waited.await.is_ok();
            let this = self.clone();
            if let Err(error) = spawn_blocking(move || this.save()).await {
                error!(%error, "writing down what customers have used up ended by a bug of ours");
            }
        }
    }

    /// Writes what has changed. Blocks on the disk.
    pub(crate) fn save(&self) {
        if !self.shared.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let octets = self.lock().customers.encode();
        if let Err(error) = durable::replace(&self.shared.file, &octets) {
            self.shared.changed.store(true, Ordering::Relaxed);
            error!(file = %self.shared.file.display(), %error, "cannot be written, trying again");
        }
    }
}

pub(super) const FILE: &str = "behaviour.records";
/// Between two writes at most.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two writes at least, however many customers reach limits: a large table is some megabytes.
const REST: Duration = Duration::from_secs(5);
