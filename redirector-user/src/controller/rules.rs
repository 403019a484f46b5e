//! Rules at work: what is read at start and again, who has frozen them, and what they have come to.
//!
//! [`turn`] lets them act, [`world`] is what they know of everything else, [`life`] what happens to a customer when a
//! flag of theirs ends, [`trial`] tries other rules on what was recorded.

mod life;
mod trial;
mod turn;
mod world;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{MutexGuard, PoisonError},
};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use tokio::sync::Mutex;

pub use self::trial::ReplayOrder;
use super::{Controller, Problem, clock, flags::pool_terms};
use crate::{
    api::view::{DrainView, ProbationView, RuleView, RulesView, StatisticsView},
    config::Config,
    feed::Own,
    policy::{
        dial::Flag,
        rules::{ACTOR_PREFIX, Engine, Observation, RuleSet, Wrong, rule_of},
    },
    store::{
        audit::{Entry, Kind},
        drains::Word,
        firings::{Came, Fired},
        freezes::RULES,
    },
};

/// What is done by itself.
#[derive(Debug)]
pub(super) struct Ruling {
    engine: std::sync::Mutex<Engine>,
    /// Held for a turn, so that rotations are judged in their order.
    turning: Mutex<()>,
    /// What relays have said since the last turn.
    said: std::sync::Mutex<BTreeMap<IpNetwork, Observation>>,
}

/// Why there are no rules to go by.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file is not there or not readable.
    #[error("{}: {source}; `rules` of outgated.toml names it", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{}: {wrong}", file.display())]
    Wrong {
        /// Which.
        file: PathBuf,
        /// What.
        wrong: Wrong,
    },
}

/// Reads the file of rules that a configuration names; none are no rules.
///
/// # Errors
///
/// [`RulesError`].
pub fn load_rules(config: &Config) -> Result<RuleSet, RulesError> {
    let Some(file) = config.rules.clone() else {
        return Ok(RuleSet::default());
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(source) => return Err(RulesError::Unreadable { file, source }),
    };
    RuleSet::parse(&text, &pool_terms(config)).map_err(|wrong| RulesError::Wrong { file, wrong })
}

impl Ruling {
    /// Of some rules; `flags` are those that rules have made before.
    pub(super) fn new<'a>(rules: RuleSet, flags: impl Iterator<Item = &'a Flag>) -> Self {
        let mut engine = Engine::new(rules);
        engine.recall(flags.filter_map(|flag| {
            let rule = rule_of(&flag.terms.actor)?;
            Some((flag.terms.created_at.at(), rule.to_owned()))
        }));
        Self {
            engine: std::sync::Mutex::new(engine),
            turning: Mutex::new(()),
            said: std::sync::Mutex::default(),
        }
    }

    /// A panic while it was held has left whole rotations behind: they are pushed in one step.
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Reads the file of rules again: the whole of it is in force afterwards, or none of it.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] if it cannot be gone by; the rules from before stay in force.
    pub async fn reload_rules(&self, actor: &str) -> Result<RulesView, Problem> {
        let by = named(actor)?;
        let rules = load_rules(&self.config).map_err(|error| Problem::Usage(error.to_string()))?;
        let names: Vec<&str> = rules.rules.iter().map(|rule| rule.name.as_str()).collect();
        let entry = Entry {
            at: clock(),
            actor: by,
            kind: Kind::RulesLoaded,
            subject: String::from(RULES),
            payload: serde_json::json!({ "rules": names }),
        };
        {
            let _turn = self.ruling.turning.lock().await;
            self.store.record(entry).await?;
            tracing::info!(rules = names.len(), "rules loaded");
            drop(names);
            self.ruling.engine().replace(rules);
        }
        // A longer window than before has rotations in the store that memory has forgotten.
        self.recall_rotations().await?;
        self.rules().await
    }

    /// Lets rules do nothing until [`Controller::thaw_rules`], over every restart. What they would have done is noted.
    ///
    /// # Errors
    ///
    /// [`Problem::Guard`] without a reason or an actor.
    pub async fn freeze_rules(&self, actor: &str, reason: &str) -> Result<RulesView, Problem> {
        let word = word(actor, reason)?;
        {
            let mut state = self.lock().await;
            self.store.freeze_rules(&word).await?;
            tracing::warn!(actor = word.by, "rules frozen");
            self.tell(Own::RulesFrozen(&word)).await;
            let since = state.frozen.as_ref().map_or(word.at, |before| before.at);
            state.frozen = Some(Word { at: since, ..word });
        }
        self.rules().await
    }

    /// Lets rules act again.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if they are not frozen, [`Problem::Guard`] without a reason or an actor.
    pub async fn thaw_rules(&self, actor: &str, reason: &str) -> Result<RulesView, Problem> {
        let word = word(actor, reason)?;
        {
            let mut state = self.lock().await;
            if state.frozen.is_none() {
                let problem = "the rules are not frozen; `outgate rules ls` shows what they do";
                return Err(Problem::NotFound(String::from(problem)));
            }
            self.store.thaw_rules(&word).await?;
            tracing::info!(actor = word.by, "rules thawed");
            self.tell(Own::RulesThawed(&word)).await;
            state.frozen = None;
        }
        self.rules().await
    }

    /// Every rule, with what it has come to.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn rules(&self) -> Result<RulesView, Problem> {
        let now = clock();
        let since = ago(DAY);
        let counts = self.store.count_firings(since).await?;
        let kept = self.store.kept_rotations().await?;
        let rules = self.ruling.engine().rules().clone();
        let state = self.lock().await;
        let mut flags: BTreeMap<String, usize> = BTreeMap::new();
        for flag in state.flags.automatic() {
            if let Some(rule) = rule_of(&flag.terms.actor) {
                *flags.entry(rule.to_owned()).or_default() += 1;
            }
        }
        let views = rules.rules.iter().map(|rule| {
            let count = |outcome| {
                let key = (rule.name.clone(), outcome);
                counts.get(&key).copied().unwrap_or_default()
            };
            RuleView::new(
                rule,
                flags.get(&rule.name).copied().unwrap_or_default(),
                [Came::Done, Came::WouldHave, Came::HeldBack].map(count),
            )
        });
        let probation = state.conduct.iter().filter_map(|(customer, conduct)| {
            let probation = conduct.probation.as_ref();
            let probation = probation.filter(|probation| now < probation.until)?;
            Some(ProbationView::new(*customer, conduct.lifts, probation))
        });
        Ok(RulesView {
            file: self.config.rules.clone(),
            rules: views.collect(),
            per_minute: rules.caps.per_minute.map(u32::from),
            share_of_prefix: rules.caps.share,
            frozen: state.frozen.as_ref().map(|word| DrainView {
                since: word.at,
                by: word.by.clone(),
                reason: word.reason.clone(),
            }),
            probation: probation.collect(),
            statistics: StatisticsView {
                rotations: kept.rotations,
                octets: kept.octets,
                since: kept.since,
            },
        })
    }

    /// What rules wanted, the newest first.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn firings(&self, at_most: u32) -> Result<Vec<Fired>, Problem> {
        Ok(self.store.firings(at_most).await?)
    }
}

fn word(actor: &str, reason: &str) -> Result<Word, Problem> {
    let (by, reason) = (named(actor)?, reason.trim());
    if reason.is_empty() {
        let problem = "this needs a reason, for the trail";
        return Err(Problem::Guard(String::from(problem)));
    }
    Ok(Word {
        at: clock(),
        by,
        reason: reason.to_owned(),
    })
}

fn named(actor: &str) -> Result<String, Problem> {
    match actor.trim() {
        "" => Err(Problem::Guard(String::from(
            "a change of rules needs an actor, for the trail",
        ))),
        rule if rule.starts_with(ACTOR_PREFIX) => Err(Problem::Usage(format!(
            "actor {rule:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are"
        ))),
        actor => Ok(actor.to_owned()),
    }
}

/// The moment that long ago.
fn ago(span: std::time::Duration) -> Timestamp {
    let span = jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX);
    clock().checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// What the list of rules counts over.
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
