//! Rules: what is done with a customer by itself, because of figures that the edge and the relays have counted.
//!
//! Pure. [`RuleSet::parse`] reads the operator's file, whole or not at all. A [`Rotation`] is what was counted of all
//! customers between two moments; [`Engine::push`] takes it, [`Surveyor::survey`] adds up the windows that the rules ask
//! for, and [`Engine::judge`] says what follows, in a [`World`] that knows who is flagged already. The controller does
//! what it says; [`replay`] only notes it, over the rotations that the store has kept. Both go through the same three
//! calls, so what a replay says is what would have happened.
//!
//! What it never does: lower or lift a person's flag, flag whom the guards protect or a person has exempted, go
//! beyond the caps, or do anything while it is frozen. [`World`] holds what these depend on.
//!
//! # Diagnostics
//!
//! [`Wrong`] names line, field, and what is allowed.

mod cause;
mod codec;
mod condition;
mod conduct;
mod engine;
mod figures;
mod observation;
mod raw;
mod read;
pub mod replay;
mod ring;
mod template;
mod trial;

use std::time::Duration;

use ipnetwork::IpNetwork;

pub use self::{
    cause::{Beneath, Cause, Compared},
    codec::{Damaged, decode, encode},
    condition::{Condition, Sense, When},
    conduct::{Conduct, Ending, Probation},
    engine::{Doing, Engine, Firing, Outcome, Position, Surveyor, World},
    figures::{Figure, Figures},
    observation::{Observation, Rotation},
    read::Wrong,
    ring::{Ring, Survey, Watched},
    template::Template,
    trial::Trial,
};
use super::{
    dial::{Action, FlagRequest, Height},
    guards::Caps,
};

/// The rules of one file, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    /// What all rules together may do.
    pub caps: Caps,
    /// The rules; a name stands once.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its name; its flags' actor is [`ACTOR_PREFIX`] and the name.
    pub name: String,
    /// How far back its figures reach.
    pub window: Duration,
    /// What must be so.
    pub when: When,
    /// How long it must have been so.
    pub held_for: Duration,
    /// Whom it is about.
    pub scope: Scope,
    /// What then happens.
    pub then: Then,
    /// What it may do.
    pub caps: Caps,
    /// How long its flags' customers are watched more closely once a flag has ended by itself; `None` = they are not.
    pub probation: Option<Duration>,
    /// What limits are multiplied by meanwhile; above 0, at most 1.
    pub probation_factor: f64,
    /// After so many of its flags have ended by themselves the next one only ends by a person.
    pub max_lifts: Option<u32>,
}

/// Whom a rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only customers in these; none = everybody.
    pub prefixes: Vec<IpNetwork>,
    /// Not customers in these.
    pub except: Vec<IpNetwork>,
    /// Only customers whose dial stands at one of these; none = wherever it stands.
    pub present: Vec<Height>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Turns the dial up to this, if it stands lower.
    Raise(Terms),
    /// Turns the dial down to this, if a rule has turned it higher.
    Lower(Terms),
    /// Lifts a flag that a rule has made.
    Lift,
}

/// Terms of the flags that a rule makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// As a person would ask for it, but for target, reason and actor.
    pub request: FlagRequest,
    /// How high that stands.
    pub height: Height,
    /// What it comes to.
    pub action: Action,
    /// What the customer reads.
    pub reason: Template,
}

impl RuleSet {
    /// The rule of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The longest window that any of them asks for.
    #[must_use]
    pub fn longest_window(&self) -> Duration {
        let windows = self.rules.iter().map(|rule| rule.window);
        windows.max().unwrap_or_default()
    }
}

impl Rule {
    /// The actor of its flags.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("{ACTOR_PREFIX}{}", self.name)
    }

    /// Terms of the flags that it makes; `None` if it only lifts.
    #[must_use]
    pub const fn terms(&self) -> Option<&Terms> {
        match &self.then {
            Then::Raise(terms) | Then::Lower(terms) => Some(terms),
            Then::Lift => None,
        }
    }
}

impl Scope {
    /// Whether a customer is in it; where its dial stands is asked for apart.
    #[must_use]
    pub fn covers(&self, customer: IpNetwork) -> bool {
        let inside = |prefixes: &[IpNetwork]| {
            prefixes.iter().any(|prefix| {
                prefix.prefix() <= customer.prefix() && prefix.contains(customer.network())
            })
        };
        (self.prefixes.is_empty() || inside(&self.prefixes)) && !inside(&self.except)
    }
}

/// The rule behind an actor, if one is.
#[must_use]
pub fn rule_of(actor: &str) -> Option<&str> {
    actor.strip_prefix(ACTOR_PREFIX)
}

/// A duration as people write it, `10m` or `1d`.
#[must_use]
pub fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let whole = units
        .iter()
        .find(|(_, size)| seconds > 0 && seconds.is_multiple_of(*size));
    match whole {
        Some((unit, size)) => format!("{}{unit}", seconds / size),
        None => format!("{seconds}s"),
    }
}

/// What the actors of rules begin with; no person's does.
pub const ACTOR_PREFIX: &str = "rule:";

#[cfg(test)]
mod tests;
