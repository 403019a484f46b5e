//! Why jobs were deferred last, for people.
//!
//! Bounded: a million queued messages have a million reasons, and nobody reads them. The oldest are forgotten.

use std::collections::{HashMap, VecDeque};

use relay_proto::queue::JobKey;
use relay_proto::queued::Cause;

#[derive(Debug, Default)]
pub(super) struct Reasons {
    known: HashMap<JobKey, (u64, Box<str>)>,
    /// In the order of their first mention, with its number; those that are forgotten stand here for a while.
    order: VecDeque<(u64, JobKey)>,
    mentions: u64,
}

impl Reasons {
    pub(super) fn remember(&mut self, key: JobKey, cause: &Cause) {
        let text: String = text(cause).chars().take(CHARACTERS_MAX).collect();
        if let Some((_, known)) = self.known.get_mut(&key) {
            *known = text.into();
            return;
        }
        self.mentions += 1;
        self.known.insert(key, (self.mentions, text.into()));
        self.order.push_back((self.mentions, key));
        while self.known.len() > REASONS_MAX
            && let Some((mention, oldest)) = self.order.pop_front()
        {
            if self
                .known
                .get(&oldest)
                .is_some_and(|(known, _)| *known == mention)
            {
                self.known.remove(&oldest);
            }
        }
        if self.order.len() > 2 * REASONS_MAX {
            let known = &self.known;
            let is_known = |(mention, key): &(u64, JobKey)| {
                known.get(key).is_some_and(|(known, _)| known == mention)
            };
            self.order.retain(is_known);
        }
    }

    pub(super) fn forget(&mut self, key: JobKey) {
        self.known.remove(&key);
    }

    pub(super) fn of(&self, key: JobKey) -> Option<&str> {
        self.known.get(&key).map(|(_, text)| text.as_ref())
    }
}

/// One line of it.
pub(super) fn text(cause: &Cause) -> String {
    match cause {
        Cause::Reply(reply) => format!("{} {}", reply.code(), reply.text()),
        Cause::Local { status, text } => format!("{status} {text}"),
    }
}

/// Some 15 MB.
const REASONS_MAX: usize = 65_536;
const CHARACTERS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use relay_proto::queue::{Arrival, First, Scheduler, Settings};
    use relay_proto::queued::{Egress, QueueId, UnixMillis};

    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut scheduler = Scheduler::new(Settings::default(), UnixMillis(0));
        let mut keys = Vec::new();
        for number in 1..=REASONS_MAX as u64 + 10 {
            let id = QueueId::from_number(number).unwrap();
            let arrival = Arrival {
                id,
                arrived: UnixMillis(0),
                octets: 0,
                customer: None,
                original_dst: None,
                policies_waived: false,
                egress: Egress::Pool,
                sender: String::new(),
                domains: vec![("a.example".into(), vec![0])],
            };
            scheduler.insert(&arrival, First::Now, UnixMillis(0));
            keys.extend(scheduler.jobs_of(id));
        }
        let mut reasons = Reasons::default();
        let cause = Cause::Local {
            status: "4.4.1",
            text: "x".repeat(1000),
        };
        for key in &keys {
            reasons.remember(*key, &cause);
        }
        assert_eq!(reasons.of(keys[9]), None);
        assert_eq!(reasons.of(keys[10]).unwrap().len(), CHARACTERS_MAX);
        for _ in 0..3 {
            for key in &keys[10..] {
                reasons.forget(*key);
                reasons.remember(*key, &cause);
            }
        }
        assert!(reasons.order.len() <= 2 * REASONS_MAX);
    }
}
