//! The guards: what can never be flagged, whoever asks; and, in [`caps`], how much may be flagged by itself,
//! in [`reach`], how much a file may change.
//!
//! Pure, and judged against the configuration of the moment, so that a guard cannot be forgotten by one of
//! the ways in.

pub mod caps;
pub mod reach;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnetwork::IpNetwork;

pub use self::caps::Caps;
use super::dial::Refusal;

/// What the guards know.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// The operator's customer prefixes.
    pub customer_prefixes: BTreeSet<IpNetwork>,
    /// Addresses that carry the gate itself, with what each one is.
    pub protected: BTreeMap<IpAddr, String>,
    /// Prefixes that the edge probes relays from. A flag around one is no harm: each address that is probed from
    /// has a policy of its own, which wins.
    pub reserved: Vec<IpNetwork>,
}

impl Guards {
    /// Judges whom a flag is about.
    ///
    /// # Errors
    ///
    /// [`Refusal::Guard`] names the rule and what would be allowed.
    pub fn check(&self, target: IpNetwork) -> Result<(), Refusal> {
        self.inside_customer_prefixes(target)?;
        self.outside_reserved(target)?;
        self.clear_of_protected(target)
    }

    /// The customer prefix that a prefix is in.
    #[must_use]
    pub fn customer_prefix(&self, target: IpNetwork) -> Option<IpNetwork> {
        let around =
            |wide: &&IpNetwork| wide.contains(target.network()) && wide.prefix() <= target.prefix();
        self.customer_prefixes.iter().find(around).copied()
    }

    fn outside_reserved(&self, target: IpNetwork) -> Result<(), Refusal> {
        let around = |reserved: &&IpNetwork| {
            reserved.prefix() <= target.prefix() && reserved.contains(target.network())
        };
        match self.reserved.iter().find(around) {
            None => Ok(()),
            Some(reserved) => Err(Refusal::Guard(format!(
                "{target} is in {reserved}, which health.probe_sources keeps for probes of relays: no customer has it"
            ))),
        }
    }

    fn inside_customer_prefixes(&self, target: IpNetwork) -> Result<(), Refusal> {
        let covers = |wide: &IpNetwork, narrow: IpNetwork| {
            wide.contains(narrow.network()) && wide.prefix() <= narrow.prefix()
        };
        if self
            .customer_prefixes
            .iter()
            .any(|customers| covers(customers, target))
        {
            return Ok(());
        }
        let inside = self
            .customer_prefixes
            .iter()
            .find(|customers| covers(&target, **customers));
        Err(Refusal::Guard(match inside {
            Some(customers) => {
                format!("{target} is wider than the customer prefix {customers}; flag at most that")
            }
            None => {
                let prefixes: Vec<_> = self
                    .customer_prefixes
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                format!(
                    "{target} is not a customer: the customer prefixes are {}",
                    prefixes.join(", ")
                )
            }
        }))
    }

    fn clear_of_protected(&self, target: IpNetwork) -> Result<(), Refusal> {
        match self
            .protected
            .iter()
            .find(|(address, _)| target.contains(**address))
        {
            None => Ok(()),
            Some((address, what)) => Err(Refusal::Guard(format!(
                "{target} contains {address}, {what}: flagging it would cut the gate off; flag narrower prefixes"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str) -> Result<(), String> {
        let relay = "192.0.2.200".parse().unwrap();
        let guards = Guards {
            customer_prefixes: ["192.0.2.0/24", "2001:db8:a::/48"]
                .map(|prefix| prefix.parse().unwrap())
                .into(),
            protected: BTreeMap::from([(relay, String::from("the listener of relay-1"))]),
            reserved: ["192.0.2.128/28", "2001:db8:a:ffff::/64"]
                .map(|prefix| prefix.parse().unwrap())
                .into(),
        };
        guards.check(target.parse().unwrap()).map_err(|refusal| {
            assert!(matches!(refusal, Refusal::Guard(_)));
            refusal.to_string()
        })
    }

    #[test]
    fn customers_can_be_flagged() {
        for target in [
            "192.0.2.10/32",
            "192.0.2.0/25",
            "2001:db8:a::/48",
            "2001:db8:a:a::/64",
        ] {
            assert_eq!(check(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn others_cannot() {
        assert!(
            check("203.0.113.1/32")
                .unwrap_err()
                .contains("is not a customer")
        );
        assert!(
            check("2001:db8:b::/64")
                .unwrap_err()
                .contains("is not a customer")
        );
        assert!(
            check("192.0.0.0/16")
                .unwrap_err()
                .contains("wider than the customer prefix 192.0.2.0/24")
        );
        assert!(check("0.0.0.0/0").unwrap_err().contains("wider than"));
        assert!(check("2001:db8::/32").unwrap_err().contains("wider than"));
    }

    #[test]
    fn what_is_kept_for_probes_cannot_be_flagged() {
        for target in [
            "192.0.2.128/28",
            "192.0.2.130/32",
            "2001:db8:a:ffff::1/128",
            "2001:db8:a:ffff::/64",
        ] {
            assert!(
                check(target).unwrap_err().contains("keeps for probes"),
                "{target}"
            );
        }
        // Around it, or beside it.
        for target in ["192.0.2.128/27", "192.0.2.144/32", "2001:db8:a::/48"] {
            assert_eq!(check(target), Ok(()), "{target}");
        }
    }

    #[test]
    fn the_gate_itself_cannot_be_flagged() {
        for target in ["192.0.2.200/32", "192.0.2.192/26", "192.0.2.0/24"] {
            assert!(
                check(target)
                    .unwrap_err()
                    .contains("the listener of relay-1"),
                "{target}"
            );
        }
    }
}
