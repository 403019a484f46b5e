//! The guards: what can never be flagged, whoever asks; and, in [`caps`], how much may be flagged by itself,
//! in [`reach`], how much a file may change.
//!
//! Pure, and judged against the configuration of the moment, so that a guard cannot be forgotten by one of
//! the ways in.

pub mod caps;
pub mod reach;

use std::{collections::BTreeSet, sync::Arc};

use ipnetwork::IpNetwork;
use jiff::Timestamp;

pub use self::caps::Caps;
use super::{
    dial::{Action, Proposal, Refusal},
    exemption::Exemptions,
    prefixes::Prefixes,
};

/// What the guards know.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// The operator's customer prefixes.
    pub customer_prefixes: BTreeSet<IpNetwork>,
    /// Whom nobody can flag, with why: what carries the gate itself, and what the operator says. A flag around one
    /// leaves it free.
    pub protected: Arc<Prefixes<String>>,
    /// Who is not flagged because somebody has promised it.
    pub exemptions: Arc<Exemptions>,
    /// What time it is, for those.
    pub now: Timestamp,
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
        self.outside_protected(target)
    }

    /// Judges a flag: whom it is about, and whether that customer is exempt.
    ///
    /// # Errors
    ///
    /// As [`Guards::check`].
    pub fn check_flag(&self, proposal: &Proposal) -> Result<(), Refusal> {
        self.check(proposal.prefix)?;
        // What takes nothing from a customer is kept from nobody.
        let harmless = matches!(proposal.action, Action::Pass | Action::Observe);
        if harmless || proposal.despite_exemption.is_some() {
            return Ok(());
        }
        match self.exemptions.forbids(proposal.prefix, self.now) {
            None => Ok(()),
            Some(exemption) => Err(Refusal::Guard(format!(
                "{} is {}: --despite-exemption, with a reason, flags {} all the same",
                exemption.prefix,
                exemption.in_words(),
                proposal.prefix
            ))),
        }
    }

    /// Why rules cannot flag somebody, if so.
    #[must_use]
    pub fn keeps_from_rules(&self, customer: IpNetwork) -> Option<String> {
        if let Err(refusal) = self.check(customer) {
            return Some(refusal.to_string());
        }
        let exemption = self.exemptions.forbids(customer, self.now);
        exemption.map(|exemption| exemption.in_words())
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

    fn outside_protected(&self, target: IpNetwork) -> Result<(), Refusal> {
        match self.protected.over(target).next() {
            None => Ok(()),
            Some((protected, why)) => Err(Refusal::Guard(format!(
                "{target} is protected, because {protected} is {why}: nobody can flag it; outgated.toml says what is \
                 protected ([[protected]], and the addresses of relays and of the edge)"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> Guards {
        let protected = [
            ("192.0.2.200/32", "the listener of relay-1"),
            ("192.0.2.240/29", "our own servers"),
            ("2001:db8:a:25::/64", "our own servers"),
        ];
        let protected = protected.map(|(prefix, why)| (prefix.parse().unwrap(), why.to_owned()));
        Guards {
            customer_prefixes: ["192.0.2.0/24", "2001:db8:a::/48"]
                .map(|prefix| prefix.parse().unwrap())
                .into(),
            protected: Arc::new(protected.into_iter().collect()),
            reserved: ["192.0.2.128/28", "2001:db8:a:ffff::/64"]
                .map(|prefix| prefix.parse().unwrap())
                .into(),
            ..Guards::default()
        }
    }

    #[track_caller]
    fn check(target: &str) -> Result<(), String> {
        let guards = guards();
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
    fn what_is_protected_cannot_be_flagged_and_stays_free_in_a_wider_flag() {
        for (target, why) in [
            (
                "192.0.2.200/32",
                "192.0.2.200/32 is the listener of relay-1",
            ),
            ("192.0.2.240/29", "192.0.2.240/29 is our own servers"),
            ("192.0.2.242/32", "192.0.2.240/29 is our own servers"),
            (
                "2001:db8:a:25::17/128",
                "2001:db8:a:25::/64 is our own servers",
            ),
        ] {
            assert!(check(target).unwrap_err().contains(why), "{target}");
        }
        let spared = |target: &str| -> Vec<String> {
            assert_eq!(check(target), Ok(()), "{target}");
            let guards = guards();
            let spared = guards.protected.within(target.parse().unwrap());
            spared.map(|(prefix, _)| prefix.to_string()).collect()
        };
        assert_eq!(
            spared("192.0.2.192/26"),
            ["192.0.2.200/32", "192.0.2.240/29"]
        );
        assert_eq!(spared("192.0.2.192/27"), ["192.0.2.200/32"]);
        assert_eq!(spared("2001:db8:a::/48"), ["2001:db8:a:25::/64"]);
        assert!(spared("192.0.2.0/25").is_empty());
    }
}
