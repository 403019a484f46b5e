//! Whose sessions are spliced although nobody asked for it, because the relay has seen that they cannot go on
//! otherwise.
//!
//! A sender that verifies its destination's certificate turns away from ours, and a destination may speak no TLS that
//! we do. Either is remembered for the pair of customer and destination ([`Learnt::learn`]), so that the sender's next
//! attempt is spliced ([`Learnt::why`]). A customer has so many destinations and no more, because whoever wants to
//! pass unscanned could behave like that; what a person revokes is not learnt again until it would have lapsed.
//!
//! It is kept in a [`journal`], which is the interface, too: `outgate-relay learnt` appends to it under the same lock,
//! and a running relay reads whatever others have appended before it next decides.
//!
//! # Diagnostics
//! Only logged: damaged lines (`warn`, with their number; they are skipped and go with the next compaction), a journal
//! that cannot be read or written (`error`; what was learnt since then holds until the relay stops).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tracing::{error, warn};

use crate::origin::{CustomerAddr, OriginalDst};

pub mod journal;
mod record;
mod table;

pub use record::{Damaged, Record, What};
use table::Table;
pub use table::{Entry, Refused, State};

/// Whom something was learnt of: an IPv4 address, or all of a /64, inside of which IPv6 hosts rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learner(IpAddr);

impl Learner {
    /// Who an address belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from(u128::from(v6) >> 64 << 64).into()),
        }
    }

    /// The address, or the first of the /64.
    pub(crate) fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Why a pair is spliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The sender turned away from our certificate.
    Verifies,
    /// The destination's TLS is older than ours.
    OldTls,
}

impl Why {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Verifies, Self::OldTls];

    /// Its name in the journal and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verifies => "verifies",
            Self::OldTls => "old-tls",
        }
    }

    /// How long it is believed.
    #[must_use]
    pub const fn life(self) -> SignedDuration {
        match self {
            Self::Verifies => SignedDuration::from_hours(30 * 24),
            // Servers are upgraded, and a spliced session never shows it.
            Self::OldTls => SignedDuration::from_hours(7 * 24),
        }
    }
}

/// What one relay has learnt.
#[derive(Debug)]
pub struct Learnt {
    file: PathBuf,
    per_customer: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    table: Table,
    /// How far the journal has been read.
    read: journal::Position,
    /// The journal could not be read, and this has been said.
    failing: bool,
}

impl Learnt {
    /// From now on each customer may have so many destinations; those that were learnt stay.
    pub(crate) fn budget(&self, per_customer: usize) {
        self.per_customer.store(per_customer, Ordering::Relaxed);
    }

    /// What the journal says; an absent one says nothing. Each customer may have `per_customer` destinations.
    #[must_use]
    pub fn open(file: &Path, per_customer: usize) -> Self {
        let this = Self {
            file: file.to_owned(),
            per_customer: AtomicUsize::new(per_customer),
            known: Mutex::default(),
        };
        this.refresh(&mut this.known());
        this
    }

    /// Why sessions of `customer` with `destination` are spliced; `None` = they are not. Looks at the journal first,
    /// which costs a stat(2).
    #[must_use]
    pub fn why(&self, customer: CustomerAddr, destination: OriginalDst) -> Option<Why> {
        if self.per_customer.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut known = self.known();
        self.refresh(&mut known);
        let key = (Learner::of(customer.ip()), destination.socket_addr());
        known.table.why(key, Timestamp::now())
    }

    /// Remembers, durably if the disk allows. Blocks on it.
    pub fn learn(
        &self,
        customer: CustomerAddr,
        destination: OriginalDst,
        why: Why,
    ) -> Result<(), Refused> {
        let now = Timestamp::now();
        let key = (Learner::of(customer.ip()), destination.socket_addr());
        let record = Record {
            learner: key.0,
            destination: key.1,
            what: What::Learnt(why),
            until: now + why.life(),
        };
        let read = {
            let mut known = self.known();
            self.refresh(&mut known);
            known
                .table
                .may_learn(key, self.per_customer.load(Ordering::Relaxed), now)?;
            known.table.apply(&record);
            known.read
        };
        // Without the lock, or everybody who asks meanwhile would wait for the disk.
        let live = || self.known().table.records(now);
        if let Err(error) = journal::append(&self.file, read, &[record], Some(&live)) {
            error!(%error, file = %self.file.display(), "what was learnt is not durable");
        }
        Ok(())
    }

    /// Takes in what others have written, or all of a journal that was written anew.
    fn refresh(&self, known: &mut Known) {
        match journal::read(&self.file, known.read) {
            Ok(news) => {
                known.failing = false;
                if news.anew {
                    known.table = Table::default();
                }
                for record in &news.records {
                    known.table.apply(record);
                }
                for line in news.damaged {
                    warn!(file = %self.file.display(), line, "a damaged line is skipped");
                }
                known.read = news.position;
            }
            Err(error) => {
                if !std::mem::replace(&mut known.failing, true) {
                    error!(%error, file = %self.file.display(), "what was learnt cannot be read");
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that a journal says now, for people; and how many of its lines are damaged.
pub fn list(file: &Path) -> std::io::Result<(Vec<Entry>, usize)> {
    let news = journal::read(file, journal::Position::default())?;
    let mut table = Table::default();
    for record in &news.records {
        table.apply(record);
    }
    Ok((table.entries(Timestamp::now()), news.damaged.len()))
}

/// Revokes what was learnt of `customer`, with one destination or all; those that it was, durably. They are not
/// learnt again until they would have lapsed.
pub fn revoke(
    file: &Path,
    customer: Learner,
    destination: Option<SocketAddr>,
) -> std::io::Result<Vec<SocketAddr>> {
    let (entries, _damaged) = list(file)?;
    let meant = entries.into_iter().filter(|entry| {
        entry.learner == customer
            && destination.is_none_or(|destination| destination == entry.destination)
    });
    let records: Vec<Record> = meant
        .filter_map(|entry| match entry.state {
            State::Spliced(_) => Some(Record {
                learner: entry.learner,
                destination: entry.destination,
                what: What::Revoked,
                until: entry.until,
            }),
            State::Revoked => None,
        })
        .collect();
    if !records.is_empty() {
        journal::append(file, journal::Position::default(), &records, None)?;
    }
    Ok(records.iter().map(|record| record.destination).collect())
}

#[cfg(test)]
mod tests;
