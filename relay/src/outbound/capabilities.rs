//! What destinations were last heard to offer, so that EHLO can be answered before one is connected to.
//!
//! Filled by every session with a destination, asked at a customer's EHLO. It is a promise on somebody
//! else's behalf: whoever finds it broken calls [`Capabilities::forget`], and the next EHLO asks the destination
//! itself. Customers choose the destinations, so the number of entries is bounded; the one that was
//! not asked for the longest time goes first.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay_proto::client::Extensions;
use tokio::time::Instant;

use crate::origin::OriginalDst;

/// What is known of destinations.
#[derive(Debug, Default)]
pub(crate) struct Capabilities(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_destination: HashMap<SocketAddr, Entry>,
    /// Destinations by the moment of their last use, which is a number.
    by_use: BTreeMap<u64, SocketAddr>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    extensions: Extensions,
    learnt: Instant,
    used: u64,
}

impl Capabilities {
    /// What `destination` offers, if it was heard within [`LIFETIME`].
    pub(crate) fn of(&self, destination: OriginalDst) -> Option<Extensions> {
        let mut known = self.lock();
        let address = destination.socket_addr();
        let entry = known.by_destination.get(&address)?;
        let (extensions, age) = (entry.extensions, entry.learnt.elapsed());
        if age >= LIFETIME {
            known.remove(address);
            return None;
        }
        known.touch(address);
        Some(extensions)
    }

    /// `destination` has just offered this.
    pub(crate) fn learn(&self, destination: OriginalDst, extensions: Extensions) {
        let mut known = self.lock();
        let address = destination.socket_addr();
        known.remove(address);
        if known.by_destination.len() >= ENTRIES_MAX
            && let Some((_, &oldest)) = known.by_use.first_key_value()
        {
            known.remove(oldest);
        }
        let entry = Entry {
            extensions,
            learnt: Instant::now(),
            used: 0,
        };
        known.by_destination.insert(address, entry);
        known.touch(address);
    }

    /// What is known of `destination` is not true.
    pub(crate) fn forget(&self, destination: OriginalDst) {
        self.lock().remove(destination.socket_addr());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn touch(&mut self, address: SocketAddr) {
        if let Some(entry) = self.by_destination.get_mut(&address) {
            self.uses += 1;
            self.by_use.remove(&entry.used);
            entry.used = self.uses;
            self.by_use.insert(self.uses, address);
        }
    }

    fn remove(&mut self, address: SocketAddr) {
        if let Some(entry) = self.by_destination.remove(&address) {
            self.by_use.remove(&entry.used);
        }
    }
}

/// Servers change what they offer with their configuration, which is rare; a promise that turns out
/// broken costs the sender a retry.
const LIFETIME: Duration = Duration::from_secs(3600);
/// About 2 MiB.
const ENTRIES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(number: usize) -> OriginalDst {
        let [.., b, c, d] = number.to_be_bytes();
        OriginalDst::new(SocketAddr::from(([10, b, c, d], 25)))
    }

    fn offering(limit: u64) -> Extensions {
        Extensions {
            size: Some(Some(limit)),
            ..Extensions::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_counts_and_ages_and_is_forgotten() {
        let capabilities = Capabilities::default();
        let other_port = OriginalDst::new(SocketAddr::from(([10, 0, 0, 1], 26)));
        capabilities.learn(destination(1), offering(1));
        capabilities.learn(destination(1), offering(2));
        assert_eq!(capabilities.of(destination(1)), Some(offering(2)));
        assert_eq!(capabilities.of(other_port), None);

        // Being asked does not make it younger.
        tokio::time::advance(LIFETIME / 2).await;
        assert_eq!(capabilities.of(destination(1)), Some(offering(2)));
        tokio::time::advance(LIFETIME / 2).await;
        assert_eq!(capabilities.of(destination(1)), None);

        capabilities.learn(destination(1), offering(3));
        capabilities.forget(destination(1));
        assert_eq!(capabilities.of(destination(1)), None);
    }

    #[test]
    fn the_number_is_bounded_and_the_longest_unused_goes_first() {
        let capabilities = Capabilities::default();
        for number in 0..ENTRIES_MAX {
            capabilities.learn(destination(number), offering(1));
        }
        assert!(capabilities.of(destination(0)).is_some());
        capabilities.learn(destination(ENTRIES_MAX), offering(1));
        assert!(capabilities.of(destination(0)).is_some());
        assert!(capabilities.of(destination(1)).is_none());
        // Again and again: nothing grows.
        for _ in 0..10 {
            capabilities.learn(destination(5), offering(2));
        }
        let known = capabilities.lock();
        assert_eq!(known.by_destination.len(), ENTRIES_MAX);
        assert_eq!(known.by_use.len(), ENTRIES_MAX);
    }
}
