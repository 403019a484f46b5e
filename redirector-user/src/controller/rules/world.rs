//! What rules know of everything else: the flags of the moment, and who can never be flagged.

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::super::state::State;
use crate::policy::{
    dial::{Action, Flag, Height},
    guards::Guards,
    rules::{Beneath, Conduct, Position, World, rule_of},
};

/// The world as it is.
pub(super) struct Live<'a> {
    pub(super) state: &'a State,
    pub(super) guards: &'a Guards,
    pub(super) now: Timestamp,
}

impl Live<'_> {
    /// The most specific flag of a person over a customer.
    fn persons(&self, customer: IpNetwork) -> Option<&Flag> {
        let mut over = self.state.flags.over(customer);
        over.find(|flag| rule_of(&flag.terms.actor).is_none())
    }
}

impl World for Live<'_> {
    fn is_frozen(&self) -> bool {
        self.state.frozen.is_some()
    }

    fn position(&self, customer: IpNetwork) -> Option<Position> {
        let flag = self.state.flags.over(customer).next()?;
        let rule = rule_of(&flag.terms.actor);
        let own = flag.terms.prefix == customer;
        let height = Height::of(&flag.terms.action);
        let persons = self.persons(customer);
        let cause = flag.terms.cause.as_deref();
        let beneath = match rule {
            Some(_) => cause.and_then(|cause| cause.beneath.clone()),
            None => own.then(|| Beneath {
                flag: flag.id,
                height: height.name().to_owned(),
                until: flag.terms.expires_at.at(),
            }),
        };
        let around = persons.map_or(Height::None, |flag| Height::of(&flag.terms.action));
        let replaced = beneath.as_ref();
        let replaced = replaced.map_or(Height::None, |beneath| beneath.floor(self.now));
        Some(Position {
            flag: flag.id,
            own,
            height,
            rule: rule.map(str::to_owned),
            only_by_person: cause.is_none_or(|cause| cause.only_by_person),
            beneath,
            floor: around.max(replaced),
            exempt: persons.is_some_and(|flag| flag.terms.action == Action::Pass),
        })
    }

    fn conduct(&self, customer: IpNetwork) -> Option<&Conduct> {
        self.state.conduct.get(&customer)
    }

    fn automatic(&self) -> Vec<(IpNetwork, String)> {
        let flags = self.state.flags.automatic();
        let of_rules = flags.filter_map(|flag| {
            let rule = rule_of(&flag.terms.actor)?;
            Some((flag.terms.prefix, rule.to_owned()))
        });
        of_rules.collect()
    }

    fn guarded(&self, customer: IpNetwork) -> Option<String> {
        self.guards.keeps_from_rules(customer)
    }

    fn customer_prefix(&self, customer: IpNetwork) -> Option<IpNetwork> {
        self.guards.customer_prefix(customer)
    }
}
