//! Rules in a world that is a few maps.

mod behaviour;
mod codec;
mod files;
mod life;
mod properties;

use std::collections::BTreeMap;

use contract::Treatment;
use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use redirector_common::abi::Via;

use super::*;
use crate::{
    policy::{
        dial::{FlagId, PoolTerms},
        guards::Guards,
    },
    radar::sketch::Sketch,
};

/// A world that does what rules say, or does not.
#[derive(Clone, Debug)]
pub(super) struct Toy {
    pub(super) frozen: bool,
    pub(super) positions: BTreeMap<IpNetwork, Position>,
    pub(super) conduct: BTreeMap<IpNetwork, Conduct>,
    pub(super) guards: Guards,
    pub(super) last_flag: u32,
}

impl World for Toy {
    fn is_frozen(&self) -> bool {
        self.frozen
    }

    fn position(&self, customer: IpNetwork) -> Option<Position> {
        self.positions.get(&customer).cloned()
    }

    fn conduct(&self, customer: IpNetwork) -> Option<&Conduct> {
        self.conduct.get(&customer)
    }

    fn automatic(&self) -> Vec<(IpNetwork, String)> {
        let positions = self.positions.iter();
        positions
            .filter_map(|(customer, stands)| Some((*customer, stands.rule.clone()?)))
            .collect()
    }

    fn guarded(&self, customer: IpNetwork) -> Option<String> {
        let judged = self.guards.check(customer).err();
        judged.map(|refusal| refusal.to_string())
    }

    fn customer_prefix(&self, customer: IpNetwork) -> Option<IpNetwork> {
        self.guards.customer_prefix(customer)
    }
}

impl Toy {
    pub(super) fn new() -> Self {
        Self {
            frozen: false,
            positions: BTreeMap::new(),
            conduct: BTreeMap::new(),
            guards: Guards {
                customer_prefixes: ["192.0.2.0/24", "2001:db8:a::/48"]
                    .map(|prefix| prefix.parse().unwrap())
                    .into(),
                ..Guards::default()
            },
            last_flag: 100,
        }
    }

    /// Does what is due.
    pub(super) fn follow(&mut self, firings: &[Firing]) {
        for firing in firings.iter().filter(|one| one.outcome == Outcome::Due) {
            match &firing.doing {
                Doing::Lift(_) => {
                    self.positions.remove(&firing.customer);
                }
                Doing::Flag { height, .. } => {
                    let before = self.positions.get(&firing.customer);
                    self.last_flag += 1;
                    let stands = Position {
                        flag: FlagId(self.last_flag),
                        only_by_person: firing.cause.only_by_person,
                        beneath: firing.cause.beneath.clone(),
                        floor: before.map_or(Height::None, |before| before.floor),
                        ..by_rule(&firing.rule, *height)
                    };
                    self.positions.insert(firing.customer, stands);
                }
            }
        }
    }
}

pub(super) fn by_rule(rule: &str, height: Height) -> Position {
    Position {
        flag: FlagId(7),
        own: true,
        height,
        rule: Some(rule.to_owned()),
        only_by_person: false,
        beneath: None,
        floor: Height::None,
        exempt: false,
    }
}

pub(super) fn by_person(height: Height) -> Position {
    Position {
        flag: FlagId(3),
        own: true,
        height,
        rule: None,
        only_by_person: true,
        beneath: Some(Beneath {
            flag: FlagId(3),
            height: height.name().to_owned(),
            until: minute(10_000),
        }),
        floor: height,
        exempt: false,
    }
}

pub(super) fn minute(number: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000).unwrap() + SignedDuration::from_mins(number)
}

pub(super) fn who(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

pub(super) fn syns(syns: u64) -> Observation {
    Observation {
        syns,
        packets: 2 * syns,
        octets: 120 * syns,
        ..Observation::NOTHING
    }
}

/// What was counted in the minute before this one's end.
pub(super) fn rotation(number: i64, seen: &[(&str, Observation)]) -> Rotation {
    let seen = seen.iter().map(|(source, seen)| (who(source), *seen));
    Rotation {
        seen: seen.collect(),
        ..Rotation::between(minute(number - 1), minute(number))
    }
}

pub(super) fn pools() -> Vec<PoolTerms> {
    vec![PoolTerms {
        name: String::from("default"),
        via: Via::Rewrite,
        third_party: false,
    }]
}

#[track_caller]
pub(super) fn parse(text: &str) -> RuleSet {
    RuleSet::parse(text, &pools()).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"))
}

/// A turn of the engine.
pub(super) fn turn(engine: &mut Engine, world: &impl World, rotation: &Rotation) -> Vec<Firing> {
    engine.push(rotation);
    let survey = engine.surveyor().survey();
    engine.judge(&survey, world)
}

/// A sketch with so many registers in use.
pub(super) fn sketch(used: usize) -> Sketch {
    let mut registers = *Sketch::EMPTY.registers();
    for (at, register) in registers.iter_mut().enumerate().take(used) {
        *register = u8::try_from(at % 57).unwrap() + 1;
    }
    Sketch::from_registers(registers)
}

/// One rule that walls whoever sends many SYNs.
pub(super) const SPRAY: &str = r#"
[[rule]]
name = "spray"
window = "2m"
when = { all = ["syns > 100 until 50"] }
[rule.then]
action = "redirect"
treatment = "walled"
ttl = "1h"
reason = "{syns} SYNs in {window}"
"#;

#[test]
fn heights_are_in_the_order_of_the_dial() {
    assert!(Height::ALL.is_sorted());
    for height in Height::ALL {
        assert_eq!(Height::from_name(height.name()), Some(height));
    }
    for treatment in Treatment::ALL {
        let height = Height::from_name(treatment.name()).unwrap();
        assert!(Height::Limit < height && height < Height::Refuse);
    }
}
