//! What it costs to know customers: `cargo run --release -p relay-proto --example behaviour_cost [CUSTOMERS]`.
//!
//! Quiet customers send one message, busy ones write to a thousand people from a hundred addresses and have all the sites
//! that are remembered. Told are octets a customer, and the time of a message of one recipient from connection to answer.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a tool that a person runs by hand"
)]

use core::net::{IpAddr, Ipv4Addr};
use core::num::NonZeroU64;
use core::time::Duration;
use std::time::Instant;

use relay_proto::behaviour::answers::Answered;
use relay_proto::behaviour::identity::Identity;
use relay_proto::behaviour::simhash::Simhash;
use relay_proto::behaviour::texts::Texts;
use relay_proto::behaviour::{CustomerKey, Customers, Distinct, Limits, Measure, Name};

fn main() {
    let customers: u32 = std::env::args()
        .nth(1)
        .and_then(|it| it.parse().ok())
        .unwrap_or(4096);
    let mut limits = Limits::default();
    Name::all().for_each(|name| limits.set(name, NonZeroU64::new(1_000_000_000)));
    let key = |number: u32| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
        CustomerKey::of(IpAddr::from(address), 64)
    };
    let now = |number: u32| Duration::from_secs(1_790_000_000 + u64::from(number) / 1000);

    let empty = resident();
    let mut table = Customers::new(customers as usize);
    let began = Instant::now();
    for number in 0..customers {
        message(&mut table, key(number), &limits, now(number), number);
    }
    tell("quiet customers", customers, empty, began, &table);

    let began = Instant::now();
    let messages = 1_000_000;
    for number in 0..messages {
        let customer = key(number % customers);
        message(&mut table, customer, &limits, now(number), number % 50);
    }
    let each = began.elapsed() / messages;
    println!("a message of one recipient: {each:?}");

    let began = Instant::now();
    for number in 0..customers {
        let customer = table.heard(key(number));
        for recipient in 0..1000 {
            customer.saw(
                Distinct::Recipients,
                &format!("<{recipient}@x.example>"),
                now(number),
            );
        }
        for sender in 0..100 {
            customer.saw(
                Distinct::Senders,
                &format!("<{sender}@y.example>"),
                now(number),
            );
        }
        for site in 0..64 {
            let site = Identity::clean(&format!("{site}:mail.php")).expect("it is a name");
            customer.site_used(&site, Measure::Messages, 1, &limits, now(number));
        }
    }
    tell("busy customers", customers, empty, began, &table);
    let began = Instant::now();
    let octets = table.encode().len();
    println!("the file: {octets} octets in {:?}", began.elapsed());

    let text =
        "some twenty words of a letter that many people get who have never asked for it at all "
            .repeat(20);
    let mut texts = Texts::new(16_384);
    let began = Instant::now();
    for number in 0..10_000 {
        let mut simhash = Simhash::default();
        simhash.push(&text);
        simhash.push(&format!("and {number} more"));
        let simhash = simhash.finish().unwrap_or(0) ^ u64::from(number) << 7;
        texts.sent(simhash, key(number % customers), 1, now(number));
    }
    let each = began.elapsed() / 10_000;
    println!(
        "a text of {} octets: {each:?}; all texts: {} octets",
        text.len(),
        texts.octets()
    );
}

/// From connection to answer.
fn message(
    table: &mut Customers,
    key: CustomerKey,
    limits: &Limits,
    now: Duration,
    recipient: u32,
) {
    let connected = table.heard(key).room(Measure::Connections, 1, limits, now);
    let customer = table.heard(key);
    customer.used(Measure::Connections, 1, limits, now);
    let announced = table.heard(key).room(Measure::Messages, 1, limits, now);
    let sender = table
        .heard(key)
        .room_for_another(Distinct::Senders, limits, now);
    let named = table
        .heard(key)
        .room_for_another(Distinct::Recipients, limits, now);
    let customer = table.heard(key);
    customer.used(Measure::Recipients, 1, limits, now);
    customer.saw(
        Distinct::Recipients,
        &format!("<{recipient}@x.example>"),
        now,
    );
    table.heard(key).answered(Answered::Taken, now);
    let customer = table.heard(key);
    customer.used(Measure::Messages, 1, limits, now);
    customer.saw(Distinct::Senders, "<a@customer.example>", now);
    table.heard(key).used(Measure::Octets, 4096, limits, now);
    let all = [connected, announced, sender, named];
    assert!(all.iter().all(Result::is_ok), "the limits are beyond reach");
}

fn tell(what: &str, count: u32, empty: u64, began: Instant, table: &Customers) {
    let elapsed = began.elapsed();
    let reckoned: usize = table.all().map(|(_, customer)| customer.octets()).sum();
    let octets = resident().saturating_sub(empty);
    println!(
        "{count} {what} in {elapsed:?}: {} octets each in memory, {} reckoned",
        octets / u64::from(count.max(1)),
        reckoned / (count.max(1) as usize),
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
