//! The engine: what follows from figures, in a world where some customers are flagged already.
//!
//! It remembers rotations, since when which rule has held for whom, and the last minute's flags for the caps; nothing
//! else. What it says is due is expected to be done; if it is not, it says it again at the next turn.

mod look;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use self::look::{look, whom};
use super::{Beneath, Cause, Conduct, Figures, Ring, Rotation, Rule, RuleSet, Survey, Then};
use crate::policy::{
    dial::{FlagId, FlagRequest, Height, LONGEST_LIFE},
    guards::caps::{Tally, Wish},
};

/// What the engine must know of everything else.
pub trait World {
    /// Whether nothing may be done.
    fn is_frozen(&self) -> bool;
    /// Where a customer's dial stands, and by whom; `None` without a flag.
    fn position(&self, customer: IpNetwork) -> Option<Position>;
    /// How a customer has behaved after its flags.
    fn conduct(&self, customer: IpNetwork) -> Option<&Conduct>;
    /// Customers that rules have flagged, with the rules.
    fn automatic(&self) -> Vec<(IpNetwork, String)>;
    /// Why a customer can never be flagged, if so.
    fn guarded(&self, customer: IpNetwork) -> Option<String>;
    /// The customer prefix that somebody is in.
    fn customer_prefix(&self, customer: IpNetwork) -> Option<IpNetwork>;
}

/// Where a customer's dial stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The flag in force, the most specific one.
    pub flag: FlagId,
    /// Whether it is the customer's own, and not one around it.
    pub own: bool,
    /// How high that is.
    pub height: Height,
    /// The rule that made it; `None` = a person.
    pub rule: Option<String>,
    /// No rule may lift or lower it.
    pub only_by_person: bool,
    /// The flag of a person whose place it took; its own, if it is a person's.
    pub beneath: Option<Beneath>,
    /// Where the dial stood without rules; nothing lowers it below this.
    pub floor: Height,
    /// A person has exempted the customer.
    pub exempt: bool,
}

/// What a rule does, or would do, to one customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// The rule's name.
    pub rule: String,
    /// Whom.
    pub customer: IpNetwork,
    /// Until when was counted.
    pub at: Timestamp,
    /// The figures.
    pub cause: Cause,
    /// What.
    pub doing: Doing,
    /// Whether it may.
    pub outcome: Outcome,
    /// Whether the same was not said at the last turn.
    pub is_news: bool,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Flags.
    Flag {
        /// As a person would ask for it.
        request: Box<FlagRequest>,
        /// How high that is.
        height: Height,
    },
    /// Lifts this flag.
    Lift(FlagId),
}

/// Whether a rule may do what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is to be done.
    Due,
    /// It would be, were the rules not frozen.
    WouldHave,
    /// A guard or a cap forbids it, in these words.
    HeldBack(String),
}

/// The engine.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    rules: RuleSet,
    ring: Ring,
    holding: HashMap<(usize, IpNetwork), Holding>,
    tally: Tally,
}

/// Since when a rule has held for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holding {
    since: Timestamp,
    /// What was said of it at the last turn.
    said: Option<Outcome>,
}

/// What was counted, and which windows are asked for.
#[derive(Clone, Debug)]
pub struct Surveyor {
    ring: Ring,
    windows: Vec<Duration>,
}

/// A rule that holds for somebody, long enough.
struct Candidate<'a> {
    index: usize,
    rule: &'a Rule,
    customer: IpNetwork,
    position: Option<Position>,
    figures: Figures,
    excess: f64,
    cause: Cause,
}

impl Engine {
    /// Of some rules; nothing was counted yet.
    #[must_use]
    pub fn new(rules: RuleSet) -> Self {
        let mut engine = Self::default();
        engine.replace(rules);
        engine
    }

    /// Its rules.
    #[must_use]
    pub const fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// Goes by other rules from now on. Of those that stay as they are it remembers for whom they hold.
    pub fn replace(&mut self, rules: RuleSet) {
        let before = std::mem::replace(&mut self.rules, rules);
        self.ring.reach(self.rules.longest_window());
        let holding = std::mem::take(&mut self.holding).into_iter();
        self.holding = holding
            .filter_map(|((index, customer), holding)| {
                let rule = before.rules.get(index)?;
                let index = self.rules.rules.iter().position(|one| one == rule)?;
                Some(((index, customer), holding))
            })
            .collect();
    }

    /// Takes what was counted; answers with it as the store keeps it.
    pub fn push(&mut self, rotation: &Rotation) -> Arc<[u8]> {
        self.ring.push(rotation)
    }

    /// Takes over which rules have turned the dial up when, so that a restart makes no room under the caps.
    pub fn recall(&mut self, raises: impl IntoIterator<Item = (Timestamp, String)>) {
        self.tally.recall(raises);
    }

    /// Forgets what was counted, so that it can be pushed anew.
    pub fn forget_rotations(&mut self) {
        self.ring = Ring::default();
        self.ring.reach(self.rules.longest_window());
    }

    /// What can add up what the rules ask for, wherever there is time for it.
    #[must_use]
    pub fn surveyor(&self) -> Surveyor {
        let windows = self.rules.rules.iter().map(|rule| rule.window);
        Surveyor {
            ring: self.ring.clone(),
            windows: windows.collect(),
        }
    }

    /// What follows, the worst first.
    pub fn judge(&mut self, survey: &Survey, world: &impl World) -> Vec<Firing> {
        let automatic = world.automatic();
        let flagged = automatic
            .iter()
            .filter_map(|(customer, rule)| Some((world.customer_prefix(*customer)?, rule.clone())));
        self.tally.refresh(survey.at, flagged);
        let automatic: BTreeSet<IpNetwork> = automatic.into_iter().map(|(who, _)| who).collect();

        let before = std::mem::take(&mut self.holding);
        let mut holding = HashMap::new();
        let rules = self.rules.clone();
        let mut candidates: BTreeMap<IpNetwork, Vec<Candidate<'_>>> = BTreeMap::new();
        for (index, rule) in rules.rules.iter().enumerate() {
            for customer in whom(index, rule, survey, &automatic, &before) {
                let last = before.get(&(index, customer));
                let Some(look) = look(rule, customer, survey, world, last) else {
                    continue;
                };
                holding.insert((index, customer), look.holding);
                if let Some((figures, excess, cause)) = look.met {
                    candidates.entry(customer).or_default().push(Candidate {
                        index,
                        rule,
                        customer,
                        position: look.position,
                        figures,
                        excess,
                        cause,
                    });
                }
            }
        }
        self.holding = holding;

        let chosen = candidates.into_values().filter_map(foremost);
        let mut chosen: Vec<Candidate<'_>> = chosen.collect();
        chosen.sort_by(|one, other| {
            let by_excess = other.excess.total_cmp(&one.excess);
            by_excess.then_with(|| one.customer.cmp(&other.customer))
        });
        let fired = chosen
            .into_iter()
            .map(|candidate| self.fire(candidate, survey.at, &rules, world));
        fired.collect()
    }

    fn fire(
        &mut self,
        candidate: Candidate<'_>,
        at: Timestamp,
        rules: &RuleSet,
        world: &impl World,
    ) -> Firing {
        let outcome = self.outcome(&candidate, at, rules, world);
        let key = (candidate.index, candidate.customer);
        let is_news = match self.holding.get_mut(&key) {
            Some(holding) => holding.said.replace(outcome.clone()).as_ref() != Some(&outcome),
            None => true,
        };
        let doing = candidate.doing();
        Firing {
            rule: candidate.rule.name.clone(),
            customer: candidate.customer,
            at,
            cause: candidate.cause,
            doing,
            outcome,
            is_news,
        }
    }

    fn outcome(
        &mut self,
        candidate: &Candidate<'_>,
        at: Timestamp,
        rules: &RuleSet,
        world: &impl World,
    ) -> Outcome {
        let raises = matches!(candidate.rule.then, Then::Raise(_));
        if raises {
            let exempt = candidate.position.as_ref().filter(|stands| stands.exempt);
            if let Some(position) = exempt {
                return Outcome::HeldBack(format!("exempted by flag {}", position.flag));
            }
            if let Some(guard) = world.guarded(candidate.customer) {
                return Outcome::HeldBack(guard);
            }
        }
        if world.is_frozen() {
            return Outcome::WouldHave;
        }
        let (true, Some(prefix)) = (raises, world.customer_prefix(candidate.customer)) else {
            return Outcome::Due;
        };
        let position = candidate.position.as_ref();
        let wish = Wish {
            rule: &candidate.rule.name,
            own: candidate.rule.caps,
            overall: rules.caps,
            prefix,
            fresh: position.is_none_or(|stands| !stands.own || stands.rule.is_none()),
        };
        match self.tally.room(&wish) {
            Ok(()) => {
                self.tally.took(&wish, at);
                Outcome::Due
            }
            Err(cap) => Outcome::HeldBack(cap),
        }
    }
}

/// Of several rules that hold for one customer, the one that turns the dial highest; of lowering ones the most
/// careful, and only if none raises it.
fn foremost(candidates: Vec<Candidate<'_>>) -> Option<Candidate<'_>> {
    let rank = |candidate: &Candidate<'_>| match &candidate.rule.then {
        Then::Raise(terms) => (2, terms.height),
        Then::Lower(terms) => (1, terms.height),
        Then::Lift => (0, Height::None),
    };
    candidates.into_iter().reduce(|best, next| {
        if rank(&next) > rank(&best) {
            next
        } else {
            best
        }
    })
}

impl Surveyor {
    /// Adds up; the one call that takes long.
    #[must_use]
    pub fn survey(self) -> Survey {
        self.ring.survey(self.windows)
    }
}

impl Candidate<'_> {
    fn doing(&self) -> Doing {
        let Some(terms) = self.rule.terms() else {
            // Only what is flagged can be lifted.
            let flag = self
                .position
                .as_ref()
                .map_or(FlagId(0), |stands| stands.flag);
            return Doing::Lift(flag);
        };
        let rule = self.rule;
        let life = self
            .cause
            .only_by_person
            .then(|| String::from(LONGEST_LIFE));
        let request = FlagRequest {
            target: self.customer.to_string(),
            reason: terms.reason.filled(&rule.name, rule.window, &self.figures),
            actor: rule.actor(),
            life: life.or_else(|| terms.request.life.clone()),
            ..terms.request.clone()
        };
        Doing::Flag {
            request: Box::new(request),
            height: terms.height,
        }
    }
}
