//! Destinations that offer TLS and never bring it about.
//!
//! Their mail would wait for ever, so a customer that speaks clear text itself may be served in clear text; nobody
//! else, and nothing that a policy protects. A destination is broken after [`FAILURES`] sessions without one
//! that worked, and for [`LASTS`] after the last; then its TLS is given another chance. Whoever is on the path can
//! make it fail, but for such a customer gains nothing by that: it could have read the mail on its other side.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::origin::OriginalDst;

/// What is known of destinations' TLS.
#[derive(Debug, Default)]
pub(crate) struct Broken(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_destination: HashMap<SocketAddr, Entry>,
    /// Destinations by the number of their last failure.
    by_age: BTreeMap<u64, SocketAddr>,
    failures: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    last: Instant,
    number: u64,
}

impl Broken {
    /// Whether TLS with `destination` is not to be tried now.
    pub(crate) fn is(&self, destination: OriginalDst) -> bool {
        let known = self.lock();
        let entry = known.by_destination.get(&destination.socket_addr());
        entry.is_some_and(|entry| entry.failures >= FAILURES && entry.last.elapsed() < LASTS)
    }

    /// A handshake has failed, or STARTTLS was refused where it had been offered.
    pub(crate) fn failed(&self, destination: OriginalDst) {
        let mut known = self.lock();
        let address = destination.socket_addr();
        let before = known.remove(address);
        if known.by_destination.len() >= ENTRIES_MAX
            && let Some((_, &oldest)) = known.by_age.first_key_value()
        {
            known.remove(oldest);
        }
        known.failures += 1;
        let number = known.failures;
        let recent = before.filter(|entry| entry.last.elapsed() < REMEMBERED);
        let entry = Entry {
            failures: recent.map_or(0, |entry| entry.failures).saturating_add(1),
            last: Instant::now(),
            number,
        };
        known.by_destination.insert(address, entry);
        known.by_age.insert(number, address);
    }

    /// One has succeeded.
    pub(crate) fn works(&self, destination: OriginalDst) {
        self.lock().remove(destination.socket_addr());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remove(&mut self, address: SocketAddr) -> Option<Entry> {
        let entry = self.by_destination.remove(&address)?;
        self.by_age.remove(&entry.number);
        Some(entry)
    }
}

const FAILURES: u32 = 2;
const LASTS: Duration = Duration::from_secs(3600);
/// After so long one failure makes no habit.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// About 1 MiB.
const ENTRIES_MAX: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(number: usize) -> OriginalDst {
        let [.., b, c, d] = number.to_be_bytes();
        OriginalDst::new(SocketAddr::from(([10, b, c, d], 25)))
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_is_none_and_one_success_ends_all() {
        let broken = Broken::default();
        broken.failed(destination(1));
        assert!(!broken.is(destination(1)));
        broken.failed(destination(1));
        assert!(broken.is(destination(1)) && !broken.is(destination(2)));

        // Tried again after an hour; one more failure is enough then.
        tokio::time::advance(LASTS).await;
        assert!(!broken.is(destination(1)));
        broken.failed(destination(1));
        assert!(broken.is(destination(1)));

        broken.works(destination(1));
        assert!(!broken.is(destination(1)));
        broken.failed(destination(1));
        assert!(!broken.is(destination(1)));
        tokio::time::advance(REMEMBERED).await;
        broken.failed(destination(1));
        assert!(!broken.is(destination(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_is_bounded() {
        let broken = Broken::default();
        for number in 0..ENTRIES_MAX {
            broken.failed(destination(number));
        }
        broken.failed(destination(0));
        broken.failed(destination(ENTRIES_MAX));
        assert!(broken.is(destination(0)));
        let known = broken.lock();
        assert_eq!(known.by_destination.len(), ENTRIES_MAX);
        assert_eq!(known.by_age.len(), ENTRIES_MAX);
        assert!(
            !known
                .by_destination
                .contains_key(&destination(1).socket_addr())
        );
    }
}
