//! Whether a rule holds for a customer, since when, and whether it would change anything.

use std::collections::{BTreeSet, HashMap};

use ipnetwork::IpNetwork;

use super::{Holding, Position, World};
use crate::policy::{
    dial::Height,
    rules::{Cause, Figures, Rule, Survey, Then, condition::Circumstances, conduct::after},
};

/// Whom a rule must be asked about. Only what a rule has flagged can be lowered or lifted.
pub(super) fn whom(
    index: usize,
    rule: &Rule,
    survey: &Survey,
    automatic: &BTreeSet<IpNetwork>,
    before: &HashMap<(usize, IpNetwork), Holding>,
) -> BTreeSet<IpNetwork> {
    match rule.then {
        Then::Lower(_) | Then::Lift => automatic.clone(),
        Then::Raise(_) => {
            let seen = survey.windows.get(&rule.window).into_iter();
            let seen = seen.flat_map(|watched| watched.figures.keys().copied());
            let held = before.keys().filter(|(of, _)| *of == index);
            seen.chain(held.map(|(_, customer)| *customer)).collect()
        }
    }
}

/// A rule that holds for somebody.
pub(super) struct Look {
    pub(super) holding: Holding,
    pub(super) position: Option<Position>,
    /// Figures, excess and cause, if it has held long enough and would change anything.
    pub(super) met: Option<(Figures, f64, Cause)>,
}

/// Looks at a rule and a customer; `None` if it does not hold.
pub(super) fn look(
    rule: &Rule,
    customer: IpNetwork,
    survey: &Survey,
    world: &impl World,
    last: Option<&Holding>,
) -> Option<Look> {
    if !rule.scope.covers(customer) {
        return None;
    }
    let at = survey.at;
    let conduct = world.conduct(customer);
    let pardoned_at = conduct.and_then(|conduct| conduct.pardoned_at);
    // What a person has judged is not judged again: until the window holds nothing of it.
    if pardoned_at.is_some_and(|pardoned_at| after(pardoned_at, rule.window) > at) {
        return None;
    }
    let figures = survey.figures(rule.window, customer);
    let on_probation = conduct.and_then(|conduct| conduct.factor(&rule.name, at));
    // Nearly everybody is beyond no limit, not even a lowered one; only of the others is more asked.
    let circumstances = |factor| Circumstances {
        figures: &figures,
        held: last.is_some(),
        factor,
        watched: survey.is_watched(rule.window),
    };
    if !rule.when.holds(circumstances(on_probation.unwrap_or(1.0))) {
        return None;
    }
    let position = world.position(customer);
    // Under a flag, probation is a mark and no more: what is released must not be what a rule turns against.
    let free = position
        .as_ref()
        .is_none_or(|stands| stands.height == Height::None);
    let factor = on_probation.filter(|_| free);
    let circumstances = circumstances(factor.unwrap_or(1.0));
    if factor != on_probation && !rule.when.holds(circumstances) {
        return None;
    }
    let holding = last.cloned().unwrap_or(Holding {
        since: at,
        said: None,
    });
    let held = at.duration_since(holding.since);
    let held_s = u64::try_from(held.as_secs()).unwrap_or_default();
    let long_enough = held_s >= rule.held_for.as_secs();
    let met = (long_enough && changes(rule, position.as_ref())).then(|| {
        let lifts = conduct.map_or(0, |conduct| conduct.lifts);
        let cause = Cause {
            rule: rule.name.clone(),
            at,
            window_s: rule.window.as_secs(),
            held_s,
            compared: rule.when.compared(circumstances),
            probation_factor: factor,
            only_by_person: rule.max_lifts.is_some_and(|most| lifts >= most)
                && matches!(rule.then, Then::Raise(_)),
            beneath: position.as_ref().and_then(|stands| stands.beneath.clone()),
        };
        (figures, rule.when.excess(circumstances), cause)
    });
    // What is said no more is news when it is said again.
    let said = holding.said.filter(|_| met.is_some());
    Some(Look {
        holding: Holding { said, ..holding },
        position,
        met,
    })
}

/// Whether a rule would turn the dial at all.
fn changes(rule: &Rule, position: Option<&Position>) -> bool {
    let height = position.map_or(Height::None, |stands| stands.height);
    if !rule.scope.present.is_empty() && !rule.scope.present.contains(&height) {
        return false;
    }
    let loose =
        position.filter(|stands| stands.own && stands.rule.is_some() && !stands.only_by_person);
    match &rule.then {
        Then::Raise(terms) => terms.height > height,
        Then::Lower(terms) => {
            loose.is_some_and(|stands| terms.height < stands.height && terms.height >= stands.floor)
        }
        Then::Lift => loose.is_some(),
    }
}
