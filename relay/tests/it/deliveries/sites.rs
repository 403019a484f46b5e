//! Many sites, one of which is dead.

use super::world::{Running, site};
use crate::host::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn nineteen_sites_are_served_while_the_twentieth_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path());
    let domains: Vec<String> = (0..20).map(|number| format!("d{number}.example")).collect();
    for (number, domain) in domains.iter().enumerate() {
        site(&running.world, domain, number != 7).await;
    }
    for _ in 0..50 {
        for domain in &domains {
            running.arrive("192.0.2.1", &[&format!("x@{domain}")]);
        }
    }
    let others: Vec<&String> = domains.iter().filter(|it| *it != "d7.example").collect();
    let others_have_all = || others.iter().all(|domain| running.delivered(domain) == 50);
    tokio::task::block_in_place(|| wait_until("the deliveries of the others", others_have_all));
    assert_eq!(running.delivered("d7.example"), 0);
    let counts = running.queue.stats().counts;
    assert_eq!(counts.by_state.iter().sum::<usize>(), 50, "{counts:?}");
    running.stop.send_replace(true);
}
