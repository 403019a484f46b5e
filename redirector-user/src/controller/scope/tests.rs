//! Passes that look at what was touched, against one that looks at everything.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use contract::{Egress, Generation, Treatment};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{
    config::Config,
    policy::{
        dial::{Action, Proposal, Redirect},
        ledger::Ledger,
    },
    store::Loaded,
};

#[derive(Clone, Debug)]
enum Step {
    /// Flags a prefix; another flag of it is replaced.
    Flag(&'static str, Option<Egress>),
    /// Lifts the flag of a prefix.
    Lift(&'static str),
    /// The relay has everything in force.
    Acknowledge,
    /// Who has connections now.
    Connections(Vec<&'static str>),
    /// The kernel holds something else of a prefix than was believed: nothing, or what nobody asked for.
    Doubt(&'static str, bool),
}

fn steps() -> impl Strategy<Value = Step> {
    let prefixes = || {
        prop::sample::select(vec![
            "192.0.2.10/32",
            "192.0.2.8/29",
            "192.0.2.0/24",
            "2001:db8:a:a::/64",
            "2001:db8:a::/48",
        ])
    };
    let customers =
        prop::sample::subsequence(vec!["192.0.2.10", "192.0.2.99", "2001:db8:a:a::1"], 0..=3);
    let egress = prop::option::of(prop_oneof![Just(Egress::Pool), Just(Egress::Customer)]);
    prop_oneof![
        4 => (prefixes(), egress).prop_map(|(prefix, egress)| Step::Flag(prefix, egress)),
        2 => prefixes().prop_map(Step::Lift),
        1 => Just(Step::Acknowledge),
        2 => customers.prop_map(Step::Connections),
        1 => (prefixes(), any::<bool>()).prop_map(|(prefix, foreign)| Step::Doubt(prefix, foreign)),
    ]
}

fn config() -> Config {
    let text = "operator = \"o\"\nhelp_url = \"https://o\"\ncustomer_prefixes = [\"192.0.2.0/24\"]\n\
                [[pool]]\nname = \"default\"\non_failure = \"closed\"\n\
                [[pool.relay]]\nname = \"r\"\naddress = [\"198.51.100.2\"]\nport = 2525\n";
    Config::parse(Path::new("o.toml"), text).unwrap()
}

fn flag(id: u32, prefix: &str, egress: Option<Egress>, replaces: Option<FlagId>) -> Flag {
    let redirect = |egress| {
        Action::Redirect(Box::new(Redirect {
            pool: String::from("default"),
            treatment: Treatment::Filter,
            egress,
            confirmed: false,
            delivery: contract::Delivery::default(),
            tier: None,
            limits: None,
        }))
    };
    Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: prefix.parse().unwrap(),
            action: egress.map_or(Action::Drop, redirect),
            reason: "r".into(),
            actor: "a".into(),
            ticket: None,
            quiet: false,
            grace_s: 600,
            created_at: Timestamp::UNIX_EPOCH.into(),
            expires_at: (Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24)).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
        },
        generation: Generation(u64::from(id)),
        tenant: None,
        replaces,
        activated_at: None,
        ended: None,
    }
}

/// What the controller does with a pass whose operations were applied.
fn pass(state: &mut State, config: &Config) {
    // Flags that have just come into force may ask more of relays.
    for _ in 0..3 {
        let desired = state.desired(config, Timestamp::UNIX_EPOCH, 100);
        state.hold(desired.edge);
        let fresh = state.newly_in_force(&desired.standing);
        state.mark_active(&fresh, Timestamp::UNIX_EPOCH);
        state.standing = desired.standing;
    }
}

proptest! {
    #[test]
    fn what_was_not_touched_is_what_it_should_be(steps in prop::collection::vec(steps(), 0..24)) {
        let config = config();
        let loaded = Loaded {
            head: None,
            generation: Generation(0),
            flags: Ledger::default(),
            drained: BTreeMap::new(),
            submission: crate::store::users::Standing::default(),
            conduct: BTreeMap::new(),
            frozen: None,
            bypasses: crate::policy::bypass::Bypasses::default(),
            exemptions: crate::policy::exemption::Exemptions::default(),
        };
        let mut state = State::adopt(
            &config,
            loaded,
            EdgeState::default(),
            &BTreeMap::new(),
            BTreeSet::new(),
        );
        pass(&mut state, &config);
        for (id, step) in (1..).zip(steps) {
            match step {
                Step::Flag(prefix, egress) => {
                    let replaced = state.flags.on(prefix.parse().unwrap()).cloned();
                    let fresh = flag(id, prefix, egress, replaced.as_ref().map(|flag| flag.id));
                    if let Some(replaced) = replaced {
                        let ended = crate::policy::dial::Ended {
                            at: Timestamp::UNIX_EPOCH,
                            by: String::from("b"),
                            reason: String::from("replaced"),
                        };
                        state.flags.insert(Flag { ended: Some(Box::new(ended)), ..replaced });
                    }
                    state.generation = fresh.generation;
                    state.flags.insert(fresh);
                }
                Step::Lift(prefix) => {
                    if let Some(id) = state.flags.on(prefix.parse().unwrap()).map(|flag| flag.id) {
                        state.forget(id);
                    }
                }
                Step::Acknowledge => {
                    let generation = state.generation;
                    state.relays.values_mut().for_each(|relay| relay.acknowledged = Some(generation));
                }
                Step::Connections(customers) => {
                    state.live_customers = customers.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
                }
                Step::Doubt(prefix, foreign) => {
                    let mut held = state.held.clone();
                    let policies = Arc::make_mut(&mut held.policies);
                    let prefix = prefix.parse().unwrap();
                    policies.remove(&prefix);
                    if foreign {
                        let action = abi::Action::Reset as u8;
                        policies.insert(prefix, abi::Policy { action, ..abi::Policy::default() });
                    }
                    state.doubt(held);
                }
            }
            pass(&mut state, &config);
            state.scope = Scope::All;
            let standing = state.standing.clone();
            let pools = state.pools(&config, &standing);
            let all = state.desired_in_scope(&config, standing, &pools, Timestamp::UNIX_EPOCH, 100);
            prop_assert_eq!(&all.edge.policies, &all.held.policies);
            state.give_back(all.held);
            state.scope = Scope::default();
        }
    }
}
