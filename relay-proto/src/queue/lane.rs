//! The jobs that are ready for one site by one egress, and whose turn it is: deficit round robin between customers.
//!
//! What customers share here is the time of connections. A transaction costs some round trips whatever its size, and
//! then its octets; so turns are reckoned in octets, with a fixed amount on top for each message. By messages alone,
//! one customer's large ones would take the site from everybody else; by octets alone, a flood of tiny ones would.
//!
//! A customer is served while it has credit left, and what the last message cost beyond that is paid off in the next
//! rounds, so that no message is too large to be sent.

use std::collections::{HashMap, VecDeque};

use super::jobs::{Chain, Jobs, List};
use super::names::NONE;
use super::pace::{Pace, PaceLimits};

#[derive(Debug)]
pub(super) struct Lane {
    /// Numbers of its names.
    pub(super) way: u32,
    pub(super) site: u32,
    pub(super) pace: Pace,
    /// Workers that live.
    pub(super) open: u32,
    /// Those of them that wait for a job.
    pub(super) idle: u32,
    /// Those of them that have one.
    pub(super) busy: u32,
    /// It stands among those that may want a worker.
    pub(super) listed: bool,
    /// Its idle workers are to be woken.
    pub(super) woken: bool,
    /// It waits until its site may have one connection more.
    pub(super) waits_for_site: bool,
    /// Since when it has neither jobs nor workers.
    pub(super) empty_since_ms: u64,
    queue: Turns,
}

#[derive(Debug, Default)]
struct Turns {
    ready: u32,
    shares: HashMap<u32, Share>,
    /// Customers in the order of their turns; each that has a share stands here once.
    ring: VecDeque<u32>,
}

#[derive(Debug, Default)]
struct Share {
    jobs: List,
    credit: i64,
}

impl Lane {
    pub(super) fn new(way: u32, site: u32, limits: &PaceLimits) -> Self {
        Self {
            way,
            site,
            pace: Pace::new(limits),
            open: 0,
            idle: 0,
            busy: 0,
            listed: false,
            woken: false,
            waits_for_site: false,
            empty_since_ms: 0,
            queue: Turns::default(),
        }
    }

    /// How many jobs are ready.
    pub(super) fn ready(&self) -> u32 {
        self.queue.ready
    }

    /// Puts a job behind those of the same customer.
    pub(super) fn push(&mut self, jobs: &mut Jobs, slot: u32, customer: u32) {
        let queue = &mut self.queue;
        let share = queue.shares.entry(customer).or_insert_with(|| {
            queue.ring.push_back(customer);
            // A newcomer is served in its turn, not a round later.
            Share {
                jobs: List::default(),
                credit: QUANTUM,
            }
        });
        jobs.push_back(&mut share.jobs, slot, Chain::Place);
        queue.ready += 1;
    }

    /// Takes out a job, whoever's turn it is.
    pub(super) fn remove(&mut self, jobs: &mut Jobs, slot: u32, customer: u32) {
        if let Some(share) = self.queue.shares.get_mut(&customer) {
            jobs.unlink(&mut share.jobs, slot, Chain::Place);
            self.queue.ready = self.queue.ready.saturating_sub(1);
        }
    }

    /// The job whose turn it is.
    pub(super) fn pop(&mut self, jobs: &mut Jobs) -> Option<u32> {
        let queue = &mut self.queue;
        if queue.ready == 0 {
            return None;
        }
        let mut in_debt = 0;
        while let Some(&customer) = queue.ring.front() {
            let Some(share) = queue.shares.get_mut(&customer) else {
                queue.ring.pop_front();
                continue;
            };
            if share.credit > 0 {
                if let Some(slot) = jobs.pop_front(&mut share.jobs, Chain::Place) {
                    let octets = jobs.at(slot).map_or(0, |job| job.octets);
                    share.credit -= i64::from(octets) + PER_MESSAGE;
                    queue.ready -= 1;
                    return Some(slot);
                }
                // It has nothing to send and owes nothing: the credit goes with it.
                queue.shares.remove(&customer);
                queue.ring.pop_front();
                continue;
            }
            share.credit += QUANTUM;
            queue.ring.rotate_left(1);
            in_debt += 1;
            if in_debt > queue.ring.len() {
                queue.pay_off();
                in_debt = 0;
            }
        }
        None
    }
}

impl Turns {
    /// As many rounds at once as bring the first one out of its debt.
    fn pay_off(&mut self) {
        let rounds = self.shares.values().map(|it| -it.credit / QUANTUM).min();
        let more = rounds.unwrap_or(0).max(0) * QUANTUM;
        for share in self.shares.values_mut() {
            share.credit += more;
        }
    }
}

/// What a customer may send in a turn: a few usual messages.
const QUANTUM: i64 = 128 << 10;
/// What the round trips of a transaction are worth.
const PER_MESSAGE: i64 = 16 << 10;

/// Who sends what is the relay's own.
pub(super) const RELAY: u32 = NONE;

#[cfg(test)]
mod tests {
    use super::super::jobs::{Job, Recipients};
    use super::*;
    use crate::queued::QueueId;

    struct Scene {
        jobs: Jobs,
        lane: Lane,
        made: u64,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                jobs: Jobs::new(),
                lane: Lane::new(0, 0, &PaceLimits::default()),
                made: 0,
            }
        }

        fn push(&mut self, customer: u32, octets: u32) -> u32 {
            self.made += 1;
            let id = QueueId::from_number(self.made).unwrap();
            let mut job = Job::new(id, 0, Recipients::One(0));
            (job.customer, job.octets) = (customer, octets);
            let slot = self.jobs.insert(job).unwrap();
            self.lane.push(&mut self.jobs, slot, customer);
            slot
        }

        /// Customer and octets of what is next.
        fn pop(&mut self) -> Option<(u32, u32)> {
            let slot = self.lane.pop(&mut self.jobs)?;
            let job = self.jobs.remove(slot).unwrap();
            Some((job.customer, job.octets))
        }
    }

    #[test]
    fn each_customer_has_its_turn_however_many_the_others_have_queued() {
        let mut scene = Scene::new();
        (0..10_000).for_each(|_| {
            scene.push(1, 4096);
        });
        scene.push(2, 4096);
        scene.push(3, 4096);
        let served: Vec<u32> = (0..30).map(|_| scene.pop().unwrap().0).collect();
        assert!(served.contains(&2) && served.contains(&3), "{served:?}");
    }

    #[test]
    fn large_messages_do_not_take_the_site() {
        let mut scene = Scene::new();
        for _ in 0..300 {
            scene.push(1, 10 << 20);
            scene.push(2, 0);
        }
        let (mut large, mut small) = (0, 0);
        while small < 300 {
            match scene.pop().unwrap() {
                (1, _) => large += 1,
                _ => small += 1,
            }
        }
        // 300 small ones cost 4.7 MiB: less than half of one large one.
        assert!((1..=2).contains(&large), "{large}");
        // What is left of the large ones is served nevertheless, at once.
        assert_eq!(core::iter::from_fn(|| scene.pop()).count(), 300 - large);
    }

    #[test]
    fn what_is_taken_out_has_no_turn() {
        let mut scene = Scene::new();
        let first = scene.push(1, 1);
        scene.push(2, 2);
        scene.lane.remove(&mut scene.jobs, first, 1);
        assert_eq!(scene.pop(), Some((2, 2)));
        assert_eq!(scene.pop(), None);
        assert_eq!(scene.lane.ready(), 0);
        scene.push(1, 3);
        assert_eq!(scene.pop(), Some((1, 3)));
    }

    proptest::proptest! {
        /// While two customers both have something to send, neither gets more than the other by more than what a turn
        /// and the largest message are.
        #[test]
        fn shares_are_even_to_within_a_turn_and_a_message(
            sizes in proptest::collection::vec(0_u32..2_000_000, 20..200),
            customers in 2_u32..6,
        ) {
            let mut scene = Scene::new();
            let largest = i64::from(*sizes.iter().max().unwrap()) + PER_MESSAGE;
            let mut left = vec![0_usize; customers as usize];
            for (index, octets) in (0_u32..).zip(&sizes) {
                scene.push(index % customers, *octets);
                left[(index % customers) as usize] += 1;
            }
            let mut served = vec![0_i64; customers as usize];
            while let Some((customer, octets)) = scene.pop() {
                served[customer as usize] += i64::from(octets) + PER_MESSAGE;
                left[customer as usize] -= 1;
                if left.contains(&0) {
                    break;
                }
                let (most, least) = (served.iter().max().unwrap(), served.iter().min().unwrap());
                proptest::prop_assert!(most - least <= 2 * (QUANTUM + largest), "{served:?}");
            }
        }
    }
}
