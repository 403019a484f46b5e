//! Several endpoints, over which customers are spread by weighted rendezvous hashing.
//!
//! Every endpoint has a score for every customer, and the best one has the customer. So a customer keeps
//! its address when another comes or goes, as far as it is not the one that goes; no table is kept, and another run
//! of the relay, or another relay with the same addresses, comes to the same answer. An endpoint that is left out for
//! now hands its customers to their next best.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::endpoint::Endpoint;
use crate::listen::limits::counted_as;
use crate::origin::CustomerAddr;

/// The endpoints of a pool.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
}

impl Group {
    /// All of them, the best for `customer` first.
    pub(super) fn by_preference(&self, customer: CustomerAddr) -> Vec<&Arc<Endpoint>> {
        let scored = self.endpoints.iter();
        let scored = scored.map(|endpoint| (score(endpoint, customer), endpoint));
        let mut scored: Vec<_> = scored.collect();
        scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        scored.into_iter().map(|(_, endpoint)| endpoint).collect()
    }
}

/// With `x` evenly spread between 0 and 1, the greatest of `-weight / ln x` is each one's with the probability of its
/// weight's share (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).
fn score(endpoint: &Endpoint, customer: CustomerAddr) -> f64 {
    let mut hash = Sha256::new();
    // The place and not the name: pools may be renamed without moving a customer.
    hash.update(endpoint.key.as_bytes());
    hash.update([0]);
    hash.update(counted_as(customer).to_string());
    let digest = hash.finalize();
    let mut word = [0; 4];
    word.copy_from_slice(&digest[..4]);
    // Neither 0 nor 1.
    let x = (f64::from(u32::from_be_bytes(word)) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -f64::from(endpoint.weight) / x.ln()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn group(weights: &[u32]) -> Group {
        let endpoint = |(number, &weight): (usize, &u32)| {
            Arc::new(Endpoint {
                name: format!("test/198.51.100.{number}").into(),
                key: format!("198.51.100.{number}").into(),
                weight,
                ..Endpoint::routed()
            })
        };
        Group {
            name: "test".into(),
            endpoints: weights.iter().enumerate().map(endpoint).collect(),
        }
    }

    fn customers() -> impl Iterator<Item = CustomerAddr> {
        (0..10_000_u32).map(|number| CustomerAddr::new(Ipv4Addr::from(0xc000_0200 + number).into()))
    }

    fn first(group: &Group, customer: CustomerAddr) -> String {
        group.by_preference(customer)[0].key.to_string()
    }

    #[test]
    fn customers_are_shared_by_weight() {
        let group = group(&[1, 3, 6]);
        let share = |key: &str| {
            customers()
                .filter(|&customer| first(&group, customer) == key)
                .count()
        };
        for (key, expected) in [
            ("198.51.100.0", 1000),
            ("198.51.100.1", 3000),
            ("198.51.100.2", 6000),
        ] {
            let share = share(key);
            assert!(share.abs_diff(expected) < 200, "{key}: {share}");
        }
    }

    #[test]
    fn a_new_address_takes_customers_and_moves_no_other() {
        let (before, after) = (group(&[1, 1, 1]), group(&[1, 1, 1, 1]));
        let moved: Vec<String> = customers()
            .filter(|&customer| first(&before, customer) != first(&after, customer))
            .map(|customer| first(&after, customer))
            .collect();
        assert!(moved.iter().all(|to| to == "198.51.100.3"), "{moved:?}");
        assert!(moved.len().abs_diff(2500) < 250, "{}", moved.len());
    }

    #[test]
    fn a_customers_order_is_this_one_for_ever() {
        let group = group(&[1, 1, 1, 1]);
        let order = |customer: &str| -> Vec<String> {
            let customer = CustomerAddr::new(customer.parse().unwrap());
            let order = group.by_preference(customer);
            order
                .iter()
                .map(|endpoint| endpoint.key.trim_start_matches("198.51.100.").to_owned())
                .collect()
        };
        assert_eq!(order("192.0.2.10"), GOLDEN);
        // One /64 is one customer.
        assert_eq!(order("2001:db8:a:a::10"), order("2001:db8:a:a::ffff"));
    }

    /// Another order would move customers to other addresses with an upgrade.
    const GOLDEN: [&str; 4] = ["0", "3", "2", "1"];
}
