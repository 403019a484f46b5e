//! Trying rules on what was recorded: who would have been flagged, beside who was.

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::super::{Controller, Problem, flags::pool_terms};
use crate::{
    api::view::{ReallyView, ReplayView, WouldView},
    policy::{
        dial::{Flag, Height},
        rules::{Doing, Firing, Outcome, RuleSet, replay::Replay, rule_of},
    },
};

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct ReplayOrder {
    /// The rules, as a file has them.
    pub rules: String,
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

impl Controller {
    /// Goes through what was recorded with other rules, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] for rules that cannot be gone by, and a time without an end; [`Problem::NotFound`] if nothing
    /// was recorded then; what the store answers.
    pub async fn replay(&self, order: ReplayOrder) -> Result<ReplayView, Problem> {
        let ReplayOrder { rules, from, to } = order;
        if from >= to {
            return Err(Problem::Usage(format!(
                "from {from} to {to}: nothing lies between them; --from is the earlier one"
            )));
        }
        let rules = RuleSet::parse(&rules, &pool_terms(&self.config))
            .map_err(|wrong| Problem::Usage(wrong.to_string()))?;
        let flags = self.store.flags_between(from, to).await?;
        let guards = self.guards(&*self.lock().await);
        let mut replay = Replay::new(rules, guards, &flags);
        let mut view = ReplayView {
            from,
            to,
            rotations: 0,
            would: Vec::new(),
            held_back: 0,
            really_only: Vec::new(),
        };
        let mut after = from;
        loop {
            let page = self.store.rotations(after, to, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.until;
            view.rotations += page.len();
            let turns = spawn_blocking(move || {
                let fired: Vec<Firing> = page.iter().flat_map(|one| replay.turn(one)).collect();
                (replay, fired)
            });
            let fired;
            (replay, fired) = turns.await.map_err(|_panicked| {
                Problem::Busy(String::from(
                    "the replay failed inside outgated; its log says more",
                ))
            })?;
            for firing in fired {
                if matches!(firing.outcome, Outcome::HeldBack(_)) {
                    view.held_back += 1;
                }
                if view.would.len() == ROWS_MOST {
                    return Err(Problem::Usage(format!(
                        "these rules would act more than {ROWS_MOST} times; look at a shorter time, or raise limits"
                    )));
                }
                view.would.push(would(firing, &flags));
            }
        }
        if view.rotations == 0 {
            let kept = self.store.kept_rotations().await?;
            let since = match kept.since {
                Some(since) => format!("figures are kept since {since}"),
                None => String::from("no figures are kept yet"),
            };
            return Err(Problem::NotFound(format!(
                "nothing was recorded from {from} to {to}; {since}"
            )));
        }
        let unmet = |flag: &&Flag| {
            let met = |one: &WouldView| one.customer == flag.terms.prefix && one.dial != "lift";
            rule_of(&flag.terms.actor).is_some()
                && flag.terms.created_at > from
                && !view.would.iter().any(met)
        };
        view.really_only = flags.iter().filter(unmet).map(really).collect();
        Ok(view)
    }
}

fn would(firing: Firing, flags: &[Flag]) -> WouldView {
    let over = flags.iter().filter(|flag| {
        flag.terms.prefix.prefix() <= firing.customer.prefix()
            && flag.terms.prefix.contains(firing.customer.network())
    });
    WouldView {
        at: firing.at,
        customer: firing.customer,
        rule: firing.rule,
        dial: match &firing.doing {
            Doing::Flag { height, .. } => height.name().to_owned(),
            Doing::Lift(_) => String::from("lift"),
        },
        because: firing.cause.in_words(),
        held_back_by: match firing.outcome {
            Outcome::HeldBack(by) => Some(by),
            Outcome::Due | Outcome::WouldHave => None,
        },
        really: over.map(really).collect(),
    }
}

fn really(flag: &Flag) -> ReallyView {
    ReallyView {
        flag: flag.id,
        prefix: flag.terms.prefix,
        dial: Height::of(&flag.terms.action).name().to_owned(),
        actor: flag.terms.actor.to_string(),
        from: flag.terms.created_at.at(),
        until: flag
            .ended
            .as_ref()
            .map_or_else(|| flag.terms.expires_at.at(), |ended| ended.at),
    }
}

/// Rotations read at once: some megabytes.
const PAGE: u32 = 64;
/// Beyond that nobody reads them, and the rules are not what was meant.
const ROWS_MOST: usize = 20_000;
