//! Which messages left, or tried to, by another address than their customer's first choice.
//!
//! A destination that greylists or counts by address must meet a retry from where it met the first attempt. Mostly
//! that follows from the customer alone. Where an address was left out, because it was used up or down, what was
//! taken instead is remembered here, in memory: a restart forgets it, and such a message then goes by its customer's
//! first choice as the first attempts of others do. The table is bounded; the oldest messages are forgotten first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use relay_proto::queued::QueueId;

use super::endpoint::Endpoint;

/// By message, sorted by the time of its making.
#[derive(Debug, Default)]
pub(super) struct Sticky(Mutex<BTreeMap<QueueId, Arc<Endpoint>>>);

impl Sticky {
    /// What was taken for this message.
    pub(super) fn of(&self, id: QueueId) -> Option<Arc<Endpoint>> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(&id).cloned()
    }

    /// Remembers it.
    pub(super) fn keep(&self, id: QueueId, endpoint: &Arc<Endpoint>) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.insert(id, Arc::clone(endpoint));
        if table.len() > MESSAGES_MAX {
            table.pop_first();
        }
    }
}

/// Some 6 MiB.
const MESSAGES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let sticky = Sticky::default();
        let endpoint = Arc::new(Endpoint::routed());
        let id = |number: usize| QueueId::from_number(number as u64).unwrap();
        for number in 1..=MESSAGES_MAX + 2 {
            sticky.keep(id(number), &endpoint);
        }
        assert!(sticky.of(id(2)).is_none());
        assert!(sticky.of(id(3)).is_some() && sticky.of(id(MESSAGES_MAX + 2)).is_some());
    }
}
