//! What the program says of single frames reaches the log.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use redirector_common::{abi::Role, counters::Counter};
use redirector_user::{
    edge::{AttachMode, Edge},
    reconcile::MapOp,
};

use crate::{
    bench::{Elsewhere, PinDir, address, isolated},
    judge::syn,
};

#[test]
fn debug_lines_reach_the_log() {
    isolated(|| {
        let pins = PinDir::new();
        let mut config = pins.config();
        config.debug_lines = true;
        let mut edge = Edge::open(config).unwrap();
        let customer = Elsewhere::new();
        customer.wire("cust0", &["192.0.2.1/24"], &["192.0.2.10/24"]);
        edge.attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        edge.apply(&[MapOp::PutCustomer("192.0.2.0/24".parse().unwrap())])
            .unwrap();
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
        let mut lines = edge.debug_lines().unwrap().expect("they are configured");
        assert!(edge.debug_lines().unwrap().is_none(), "one reader only");

        syn(&customer, address("192.0.2.1"));
        let counter = format!("counter={}", Counter::Unflagged.index());
        let deadline = Instant::now() + Duration::from_secs(5);
        let seen = || LINES.lock().unwrap().clone();
        while !seen().iter().any(|line| line.contains(&counter)) {
            assert!(
                Instant::now() < deadline,
                "no line with {counter}: {:?}",
                seen()
            );
            std::thread::sleep(Duration::from_millis(5));
            lines.forward();
        }
    });
}

/// What the log has seen; of this process, so one test only may set it.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        if line.starts_with("judged ") {
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}
