//! What rules would have done: the engine over rotations that were recorded, in a world that exists in memory alone.
//!
//! The world begins without automatic flags, holds the flags of people as they were, and lives by what the rules
//! do: their flags come into force at once, end by their time, and lead into probation as real ones do. It cannot
//! know what customers would have done if they had been flagged.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{
    Beneath, Conduct, Doing, Engine, Firing, Outcome, Position, Rotation, RuleSet, World,
    conduct::Ending, rule_of,
};
use crate::policy::{
    dial::{Flag, FlagId, FlagRequest, Height, Proposal},
    guards::Guards,
};

/// A replay that runs.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    world: Past,
}

/// The world of a replay.
#[derive(Debug)]
struct Past {
    guards: Guards,
    now: Timestamp,
    /// Flags of people, by prefix.
    persons: BTreeMap<IpNetwork, Vec<Stood>>,
    automatic: BTreeMap<IpNetwork, Simulated>,
    conduct: BTreeMap<IpNetwork, Conduct>,
    last_id: u32,
}

/// A person's flag, from when to when.
#[derive(Clone, Copy, Debug)]
struct Stood {
    flag: FlagId,
    from: Timestamp,
    until: Timestamp,
    height: Height,
    exempts: bool,
}

/// A flag that a rule would have made.
#[derive(Clone, Debug)]
struct Simulated {
    flag: FlagId,
    rule: String,
    height: Height,
    until: Timestamp,
    only_by_person: bool,
    beneath: Option<Beneath>,
}

impl Replay {
    /// Of these rules; `flags` are all that there were in that time, of which those of people count.
    #[must_use]
    pub fn new(rules: RuleSet, guards: Guards, flags: &[Flag]) -> Self {
        let mut persons: BTreeMap<IpNetwork, Vec<Stood>> = BTreeMap::new();
        for flag in flags
            .iter()
            .filter(|flag| rule_of(&flag.terms.actor).is_none())
        {
            let ended = flag.ended.as_ref().map(|ended| ended.at);
            persons.entry(flag.terms.prefix).or_default().push(Stood {
                flag: flag.id,
                from: flag.terms.created_at.at(),
                until: ended.unwrap_or_else(|| flag.terms.expires_at.at()),
                height: Height::of(&flag.terms.action),
                exempts: flag.terms.action == crate::policy::dial::Action::Pass,
            });
        }
        Self {
            engine: Engine::new(rules),
            world: Past {
                guards,
                now: Timestamp::MIN,
                persons,
                automatic: BTreeMap::new(),
                conduct: BTreeMap::new(),
                last_id: 0,
            },
        }
    }

    /// Takes the next rotation; answers with what the rules would have done then, and not done before.
    pub fn turn(&mut self, rotation: &Rotation) -> Vec<Firing> {
        self.engine.push(rotation);
        self.world.now = rotation.until;
        self.expire();
        let survey = self.engine.surveyor().survey();
        let fired = self.engine.judge(&survey, &self.world);
        for firing in fired.iter().filter(|firing| firing.outcome == Outcome::Due) {
            self.done(firing);
        }
        fired.into_iter().filter(|firing| firing.is_news).collect()
    }

    fn expire(&mut self) {
        let now = self.world.now;
        let over = self
            .world
            .automatic
            .extract_if(.., |_, flag| flag.until <= now);
        let over: Vec<_> = over.collect();
        for (customer, flag) in over {
            let (until, rule) = (flag.until, flag.rule.clone());
            self.ended(customer, &flag, until, &rule, "expired");
        }
    }

    fn done(&mut self, firing: &Firing) {
        match &firing.doing {
            Doing::Lift(_) => {
                if let Some(flag) = self.world.automatic.remove(&firing.customer) {
                    self.ended(firing.customer, &flag, firing.at, &firing.rule, "lifted");
                }
            }
            Doing::Flag { request, height } => {
                self.world.last_id += 1;
                let simulated = Simulated {
                    flag: FlagId(self.world.last_id),
                    rule: firing.rule.clone(),
                    height: *height,
                    until: ends(request, firing.at),
                    only_by_person: firing.cause.only_by_person,
                    beneath: firing.cause.beneath.clone(),
                };
                self.world.automatic.insert(firing.customer, simulated);
            }
        }
    }

    fn ended(&mut self, customer: IpNetwork, flag: &Simulated, at: Timestamp, by: &str, why: &str) {
        let conduct = self.world.conduct.entry(customer);
        conduct
            .or_insert_with(|| Conduct::fresh(at))
            .ended_by_itself(&Ending {
                flag: flag.flag,
                rule: self.engine.rules().named(&flag.rule),
                at,
                by,
                why,
            });
    }
}

/// When such a flag ends by itself. Rules were read with their lives.
fn ends(request: &FlagRequest, at: Timestamp) -> Timestamp {
    Proposal::ends(request, at).unwrap_or(at)
}

impl Past {
    /// Flags of people over a customer, the most specific first.
    fn persons_over(&self, customer: IpNetwork) -> Option<(IpNetwork, Stood)> {
        let lengths = (0..=customer.prefix()).rev();
        let around = lengths.filter_map(|length| {
            let around = IpNetwork::new(customer.network(), length).ok()?;
            IpNetwork::new(around.network(), length).ok()
        });
        let mut standing = around.filter_map(|prefix| {
            let stood = self.persons.get(&prefix)?.iter();
            let mut now = stood.filter(|stood| stood.from <= self.now && self.now < stood.until);
            Some((prefix, *now.next_back()?))
        });
        standing.next()
    }
}

impl World for Past {
    fn is_frozen(&self) -> bool {
        false
    }

    fn position(&self, customer: IpNetwork) -> Option<Position> {
        let person = self.persons_over(customer);
        let floor = person.map_or(Height::None, |(_, stood)| stood.height);
        let exempt = person.is_some_and(|(_, stood)| stood.exempts);
        if let Some(flag) = self.automatic.get(&customer)
            && !exempt
        {
            let beneath = flag.beneath.as_ref();
            let floor = beneath.map_or(floor, |beneath| floor.max(beneath.floor(self.now)));
            return Some(Position {
                flag: flag.flag,
                own: true,
                height: flag.height,
                rule: Some(flag.rule.clone()),
                only_by_person: flag.only_by_person,
                beneath: flag.beneath.clone(),
                floor,
                exempt,
            });
        }
        let (prefix, stood) = person?;
        Some(Position {
            flag: stood.flag,
            own: prefix == customer,
            height: stood.height,
            rule: None,
            only_by_person: true,
            beneath: (prefix == customer).then(|| Beneath {
                flag: stood.flag,
                height: stood.height.name().to_owned(),
                until: stood.until,
            }),
            floor,
            exempt,
        })
    }

    fn conduct(&self, customer: IpNetwork) -> Option<&Conduct> {
        self.conduct.get(&customer)
    }

    fn automatic(&self) -> Vec<(IpNetwork, String)> {
        let automatic = self.automatic.iter();
        automatic
            .map(|(customer, flag)| (*customer, flag.rule.clone()))
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
