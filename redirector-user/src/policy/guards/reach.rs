//! Reach: how much of the customers a file would change, and how much it may.
//!
//! A file that another program wrote wrongly, or half, must not take a network off the internet before somebody looks. So
//! what a file changes is counted first, as addresses (IPv6: /64s) of each customer prefix and as customers, against
//! [`Bounds`]; a person may say that it is meant.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::caps::most_of;
use crate::policy::tenant::{CustomerId, around, lies_in};

/// How much a file may change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Share of a customer prefix's addresses (IPv6: /64s); at least one may.
    pub share: f64,
    /// Customers.
    pub customers: usize,
}

/// What would change.
#[derive(Clone, Debug, Default)]
pub struct Reach(BTreeMap<IpNetwork, Option<CustomerId>>);

impl Reach {
    /// Notes that something changes for the addresses of a prefix, and whose they are.
    pub fn touch(&mut self, prefix: IpNetwork, customer: Option<CustomerId>) {
        // A host of IPv6 has at least a /64.
        let wide = match prefix {
            IpNetwork::V6(_) => around(prefix).find(|wide| wide.prefix() <= 64),
            IpNetwork::V4(_) => None,
        };
        self.0.insert(wide.unwrap_or(prefix), customer);
    }

    /// Judges all of it.
    ///
    /// # Errors
    ///
    /// The figures, what is allowed, and what to do.
    pub fn judge(
        &self,
        customer_prefixes: &BTreeSet<IpNetwork>,
        bounds: &Bounds,
    ) -> Result<(), String> {
        let mut said = Vec::new();
        for prefix in customer_prefixes {
            let (changed, most) = (self.within(*prefix), most_of(*prefix, bounds.share));
            if changed > most {
                let all = most_of(*prefix, 1.0);
                let what = if prefix.is_ipv4() {
                    "addresses"
                } else {
                    "/64s"
                };
                said.push(format!(
                    "{changed} of the {all} {what} of {prefix}, where {most} may"
                ));
            }
        }
        let customers = self.customers();
        if customers > bounds.customers {
            said.push(format!(
                "{customers} customers, where {} may",
                bounds.customers
            ));
        }
        if said.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the file would change {}; look at it with --diff, and say --override-guard \"why\" if it is meant \
             ([guards] in outgated.toml has the bounds)",
            said.join(", and ")
        ))
    }

    /// Customers; a prefix that is nobody's is one by itself.
    fn customers(&self) -> usize {
        let known: BTreeSet<_> = self.0.values().flatten().collect();
        let of_nobody = self.outermost().filter(|(_, customer)| customer.is_none());
        known.len() + of_nobody.count()
    }

    /// Addresses, or /64s, inside of a prefix.
    fn within(&self, wide: IpNetwork) -> u64 {
        let inside = self
            .outermost()
            .filter(|(prefix, _)| lies_in(*prefix, wide));
        inside.fold(0, |sum, (prefix, _)| {
            sum.saturating_add(most_of(prefix, 1.0))
        })
    }

    /// What does not lie in another one: by first address, the wider ones come first.
    fn outermost(&self) -> impl Iterator<Item = (IpNetwork, &Option<CustomerId>)> {
        let mut last: Option<IpNetwork> = None;
        self.0.iter().filter_map(move |(prefix, customer)| {
            if last.is_some_and(|last| lies_in(*prefix, last)) {
                return None;
            }
            last = Some(*prefix);
            Some((*prefix, customer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(touched: &[(&str, &str)]) -> Result<(), String> {
        let mut reach = Reach::default();
        for (prefix, customer) in touched {
            reach.touch(prefix.parse().unwrap(), CustomerId::read(customer).ok());
        }
        let prefixes = ["192.0.2.0/24", "2001:db8:a::/48"];
        let bounds = Bounds {
            share: 0.05,
            customers: 3,
        };
        reach.judge(
            &prefixes.map(|prefix| prefix.parse().unwrap()).into(),
            &bounds,
        )
    }

    #[test]
    fn addresses_are_counted_once_and_by_their_customer_prefix() {
        assert_eq!(
            judged(&[("192.0.2.0/29", "C-1"), ("192.0.2.1/32", "C-1")]),
            Ok(())
        );
        let said = judged(&[("192.0.2.0/28", "C-1")]).unwrap_err();
        assert!(
            said.contains("16 of the 256 addresses of 192.0.2.0/24, where 12 may"),
            "{said}"
        );
        // Many addresses of one host are one.
        let hosts: Vec<String> = (0..4000)
            .map(|host| format!("2001:db8:a::{host:x}/128"))
            .collect();
        let hosts: Vec<_> = hosts.iter().map(|host| (host.as_str(), "C-1")).collect();
        assert_eq!(judged(&hosts), Ok(()));
        let said = judged(&[("2001:db8:a::/52", "C-1")]).unwrap_err();
        assert!(said.contains("4096 of the 65536 /64s"), "{said}");
    }

    #[test]
    fn customers_are_counted_and_so_is_what_is_nobodys() {
        let three = [
            ("192.0.2.1/32", "a"),
            ("192.0.2.2/32", "b"),
            ("192.0.2.3/32", "c"),
        ];
        assert_eq!(judged(&three), Ok(()));
        assert_eq!(
            judged(&[&three[..], &[("192.0.2.4/32", "a")]].concat()),
            Ok(())
        );
        for more in ["d", ""] {
            let said = judged(&[&three[..], &[("192.0.2.4/32", more)]].concat()).unwrap_err();
            assert!(said.contains("4 customers, where 3 may"), "{said}");
            assert!(said.contains("--override-guard"), "{said}");
        }
    }
}
