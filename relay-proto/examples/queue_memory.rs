//! What a million queued messages cost: `cargo run --release -p relay-proto --example queue_memory [MESSAGES] [DOMAINS]`.
//!
//! Each message has one recipient. They are put in, deferred once, and taken out again, and the resident memory of the
//! process is told after each.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a tool that a person runs by hand"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use relay_proto::queue::{Action, After, Arrival, First, Scheduler, Settings};
use relay_proto::queued::{Egress, QueueId, UnixMillis};

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|it| it.parse().ok());
    let messages: u32 = arguments.next().unwrap_or(1_000_000);
    let domains: u32 = arguments.next().unwrap_or(100_000);
    let now = UnixMillis(1_790_000_000_000);
    let empty = resident();
    let mut queue = Scheduler::new(Settings::default(), now);
    let began = Instant::now();
    for number in 0..messages {
        let domain = number % domains;
        let arrival = Arrival {
            id: QueueId::from_number((now.0 << 22) + u64::from(number)).expect("not 0"),
            arrived: now,
            octets: 4096,
            customer: Some(Ipv4Addr::from_bits(0xc000_0200 + number % 10_000).into()),
            original_dst: Some(SocketAddr::from((Ipv4Addr::from_bits(domain), 25))),
            policies_waived: false,
            egress: Egress::Pool,
            sender: format!("customer-{}.example", number % 10_000),
            domains: vec![(format!("recipient-{domain}.example"), vec![0])],
        };
        queue.insert(&arrival, First::Now, now);
    }
    tell("put in", messages, empty, began);
    let began = Instant::now();
    let mut deferred = 0;
    while let Some(action) = queue.poll(now) {
        if let Action::Place(order) = action {
            let after = queue.defer(order.key, &order.recipients, now);
            deferred += u32::from(matches!(after, After::Due { .. }));
        }
    }
    tell("scheduled", deferred, empty, began);
    let began = Instant::now();
    let (mut done, later) = (0, UnixMillis(now.0 + 3_600_000));
    while let Some(action) = queue.poll(later) {
        if let Action::Place(order) = action {
            queue.finish(order.key);
            done += 1;
        }
    }
    tell("taken out", done, empty, began);
}

fn tell(what: &str, count: u32, empty: u64, began: Instant) {
    let octets = resident().saturating_sub(empty);
    println!(
        "{count} {what} in {:?}: {} MB, {} octets each",
        began.elapsed(),
        octets / 1_000_000,
        octets / u64::from(count.max(1))
    );
}

/// Octets of the process in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
