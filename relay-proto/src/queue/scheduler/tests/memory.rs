//! That what is gone leaves nothing behind.

use super::sim::{Mood, Sim};
use crate::queue::Settings;

#[test]
fn a_queue_that_was_emptied_has_no_names_and_no_lanes() {
    let mut sim = Sim::new(Settings::default());
    for number in 0..3000 {
        let domain = format!("d{number}.example");
        if number % 3 == 0 {
            sim.mood(&domain, Mood::Greylists);
        }
        sim.arrive(&format!("2001:db8:{number:x}::1"), &domain, 1);
    }
    sim.run(60_000);
    assert_eq!(sim.delivered.len(), 2000);
    sim.run(6 * 86_400_000);
    assert_eq!(sim.expired.len(), 1000);
    let queue = &sim.queue;
    assert!(queue.is_empty());
    assert_eq!(queue.domains.in_use(), 0);
    assert_eq!(queue.targets.in_use(), 0);
    assert_eq!(queue.customers.in_use(), 0);
    assert_eq!(queue.shares.in_use(), 0);
    assert_eq!(queue.original_dsts.in_use(), 0);
    assert_eq!((queue.ways.in_use(), queue.sites.in_use()), (0, 0));
    assert_eq!((queue.lane_of.len(), queue.listed.len()), (0, 0));
    assert!(queue.arrivals.is_empty() && queue.warnings.is_empty());
    assert_eq!(queue.deadline(), None);
}
