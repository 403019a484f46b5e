//! A turn of the rules: what was counted is kept, added up, judged, and done.
//!
//! What fails is logged and tried again at the next turn, because the engine says again what is still due. What was
//! counted is kept in memory first, so a store that refuses costs the record, not the judgement.

use std::{collections::BTreeSet, net::IpAddr, sync::PoisonError};

use contract::event::{Event, Happening, Rates};
use tokio::task::spawn_blocking;

use super::super::{Controller, Problem, clock, flags::pool_terms, state::State};
use super::{ago, world::Live};
use crate::{
    feed::Own,
    policy::{
        dial::{Ended, FlagId, Proposal, read_target},
        rules::{Doing, Firing, Observation, Outcome, Rotation, Survey},
    },
    store::{
        audit::Kind,
        firings::{Came, Detail, Fired},
    },
};

impl Controller {
    /// What a relay has counted of a customer; the next turn, seconds away, goes by it.
    pub fn figures_from_relay(&self, customer: IpAddr, rates: &Rates) {
        self.said_by_relay(customer, &observation(rates));
    }

    /// What a relay has told, as far as it is a rule's business.
    pub(in crate::controller) async fn rules_hear(&self, event: &Event) {
        if let Some(customer) = event.customer {
            self.happened_at_relay(customer, &event.happening);
        }
        if let (Happening::Released { by, reason, .. }, Some(flag)) =
            (&event.happening, event.flag_id)
            && let Err(error) = self.released(FlagId(flag), by, reason).await
        {
            // It may have ended meanwhile; the release itself stands in the trail.
            tracing::info!(flag.id = flag, %error, "a release put no flag on probation");
        }
    }

    /// What else a relay has told of a customer that rules can go by.
    pub fn happened_at_relay(&self, customer: IpAddr, happening: &Happening) {
        let nothing = Observation::NOTHING;
        match happening {
            Happening::Rates(rates) => self.figures_from_relay(customer, rates),
            Happening::LimitHit { .. } => {
                let limit_hits = 1;
                self.said_by_relay(
                    customer,
                    &Observation {
                        limit_hits,
                        ..nothing
                    },
                );
            }
            Happening::Learnt {
                verifying: true, ..
            } => {
                let learnt = 1;
                self.said_by_relay(customer, &Observation { learnt, ..nothing });
            }
            // Spam is counted by the rates.
            Happening::Verdict(_)
            | Happening::Learnt {
                verifying: false, ..
            }
            | Happening::Kept { .. }
            | Happening::Released { .. }
            | Happening::Viewed { .. }
            | Happening::Confirmed { .. }
            | Happening::ScannerDown { .. }
            | Happening::ScannerBack { .. }
            | Happening::DiskFailed { .. }
            | Happening::DiskBack { .. }
            | Happening::Lost { .. }
            | Happening::Unknown(_) => {}
        }
    }

    fn said_by_relay(&self, customer: IpAddr, seen: &Observation) {
        // The same source as the radar's: an IPv6 customer is its /64. Who uses submission from elsewhere is none.
        let source = read_target(&customer.to_string(), false).ok();
        let customers = &self.config.customer_prefixes;
        let Some(source) =
            source.filter(|_| customers.iter().any(|prefix| prefix.contains(customer)))
        else {
            return;
        };
        let mut said = self
            .ruling
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MOST && !said.contains_key(&source) {
            tracing::warn!("more customers at the relays than rules look at in one turn");
            return;
        }
        said.entry(source)
            .or_insert(Observation::NOTHING)
            .unite(seen);
    }

    /// Whether relays have said anything since the last turn.
    pub(in crate::controller) fn relays_have_spoken(&self) -> bool {
        let said = self.ruling.said.lock();
        !said.unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Goes through one turn with what the radar has seen, and what relays have said meanwhile.
    pub(in crate::controller) async fn turn_rules(&self, rotation: Rotation) {
        let _turn = self.ruling.turning.lock().await;
        let rotation = self.with_what_was_said(rotation.above(self.config.statistics.floor_syns));
        let (octets, surveyor) = {
            let mut engine = self.ruling.engine();
            (engine.push(&rotation), engine.surveyor())
        };
        let (from, until, sources) = (rotation.from, rotation.until, rotation.seen.len());
        let octets = octets.to_vec();
        let kept = self.store.keep_rotation(from, until, sources, octets).await;
        if let Err(error) = kept {
            tracing::error!(%error, "the figures of a turn were not kept");
        }
        // Off the runtime: two hours of a large network take a while.
        match spawn_blocking(move || surveyor.survey()).await {
            Ok(survey) => {
                if let Err(error) = self.act(&survey).await {
                    tracing::error!(%error, "what rules wanted could not be done");
                }
            }
            Err(error) => tracing::error!(%error, "the figures could not be added up"),
        }
    }

    fn with_what_was_said(&self, mut rotation: Rotation) -> Rotation {
        let said = std::mem::take(
            &mut *self
                .ruling
                .said
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for (source, seen) in said {
            let all = rotation.seen.entry(source);
            all.or_insert(Observation::NOTHING).unite(&seen);
        }
        rotation
    }

    /// Judges, and does what is due.
    async fn act(&self, survey: &Survey) -> Result<(), Problem> {
        let mut state = self.lock().await;
        if self.unless_importing().is_err() {
            // What is due now is due at the next turn, too.
            return Ok(());
        }
        let guards = self.guards(&state);
        let world = Live {
            state: &state,
            guards: &guards,
            now: clock(),
        };
        let fired = self.ruling.engine().judge(survey, &world);
        let mut noted = Vec::new();
        let mut unsaid = 0_usize;
        for firing in fired {
            let (rule, customer) = (firing.rule.clone(), firing.customer);
            let undone = match &firing.outcome {
                Outcome::Due => {
                    match self.carry_out(&mut state, &firing).await {
                        Ok(flag) => noted.push(fired_as(firing, Came::Done, Some(flag), None)),
                        Err(error) => {
                            tracing::error!(rule, customer.addr = %customer, %error, "a rule could not act");
                        }
                    }
                    continue;
                }
                Outcome::WouldHave => None,
                Outcome::HeldBack(by) => Some(by.clone()),
            };
            if !firing.is_news {
                continue;
            }
            if noted.len() >= NEWS_MOST {
                unsaid += 1;
                continue;
            }
            if let Some(by) = undone {
                tracing::warn!(rule, customer.addr = %customer, by, "a rule was held back");
                noted.push(fired_as(firing, Came::HeldBack, None, Some(by)));
            } else {
                tracing::info!(rule, customer.addr = %customer, "a frozen rule would have acted");
                noted.push(fired_as(firing, Came::WouldHave, None, None));
            }
        }
        if unsaid > 0 {
            tracing::warn!(
                customers = unsaid,
                "rules were held back from more than are noted"
            );
        }
        drop(state);
        if !noted.is_empty() {
            self.store.note_firings(&noted).await?;
            for one in &noted {
                self.metrics().fired(&one.rule, one.outcome.name());
            }
            let undone = noted.iter().filter(|one| one.outcome != Came::Done);
            let told = undone.map(|one| Own::RuleDidNot(one).at(one.at, Some(one.customer)));
            self.store.tell(told.collect()).await?;
        }
        Ok(())
    }

    async fn carry_out(&self, state: &mut State, firing: &Firing) -> Result<FlagId, Problem> {
        match &firing.doing {
            Doing::Flag { request, .. } => {
                let pools = pool_terms(&self.config);
                let cause = firing.cause.clone();
                let proposal = Proposal::caused(request, &pools, clock(), cause)?;
                self.put_flag(state, &proposal).await
            }
            Doing::Lift(flag) => {
                let ended = Ended {
                    at: clock(),
                    by: format!("{}{}", crate::policy::rules::ACTOR_PREFIX, firing.rule),
                    reason: firing.cause.in_words(),
                };
                self.end_flag(state, *flag, Kind::FlagLifted, ended).await?;
                Ok(*flag)
            }
        }
    }

    /// Takes back into memory what windows of rules need, so that a restart does not blind them.
    pub(in crate::controller) async fn recall_rotations(&self) -> Result<(), Problem> {
        let _turn = self.ruling.turning.lock().await;
        let longest = self.ruling.engine().rules().longest_window();
        let (mut after, now) = (ago(longest), clock());
        self.ruling.engine().forget_rotations();
        loop {
            let page = self.store.rotations(after, now, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.until;
            let mut engine = self.ruling.engine();
            for rotation in &page {
                engine.push(rotation);
            }
        }
    }

    /// Forgets what is older than the operator wants to keep.
    pub(in crate::controller) async fn forget_figures(&self) -> Result<(), Problem> {
        let before = ago(self.config.statistics.keep);
        let octets_max = self.config.statistics.octets_max;
        self.store.forget_rotations(before, octets_max).await?;
        self.store.forget_firings(before).await?;
        let mut state = self.lock().await;
        let now = clock();
        let forgotten = state.conduct.iter().filter(|(customer, conduct)| {
            conduct.is_forgotten(now) && state.flags.on(**customer).is_none()
        });
        let forgotten: BTreeSet<_> = forgotten.map(|(customer, _)| *customer).collect();
        if !forgotten.is_empty() {
            self.store.forget_conduct(forgotten.iter().copied()).await?;
            state
                .conduct
                .retain(|customer, _| !forgotten.contains(customer));
        }
        Ok(())
    }
}

/// Shares are those of an hour, and are weighed by the recipients of each report.
fn observation(rates: &Rates) -> Observation {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion from a float saturates, and the share was clamped"
    )]
    let part = |share: f64| (share.clamp(0.0, 1.0) * rates.recipients as f64).round() as u64;
    Observation {
        connections: rates.connections,
        messages: rates.messages,
        recipients: rates.recipients,
        distinct_recipients: rates.distinct_recipients,
        distinct_senders: rates.distinct_senders,
        unknown: part(rates.unknown_share),
        refused: part(rates.refused_share),
        spam: rates.spam,
        ..Observation::NOTHING
    }
}

fn fired_as(
    firing: Firing,
    outcome: Came,
    flag: Option<FlagId>,
    held_back_by: Option<String>,
) -> Fired {
    let dial = match &firing.doing {
        Doing::Flag { height, .. } => height.name(),
        Doing::Lift(_) => "lift",
    };
    Fired {
        at: firing.at,
        customer: firing.customer,
        rule: firing.rule,
        outcome,
        detail: Detail {
            dial: dial.to_owned(),
            flag,
            held_back_by,
            cause: firing.cause,
        },
    }
}

/// As many as the radar has sources in a window by default.
const SAID_MOST: usize = 65_536;
/// What is noted of one turn beside what was done: whoever reads it has seen enough.
const NEWS_MOST: usize = 1000;
/// Rotations read at once: some megabytes.
const PAGE: u32 = 64;
