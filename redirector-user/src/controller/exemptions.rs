//! Exemptions: asked for by one person, approved by another, ended by hand or by time.

use std::sync::Arc;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{Controller, Problem, clock, state::State, terms::decision, views};
use crate::{
    api::view::{DecisionRequest, ExemptionView},
    policy::{
        dial::{Action, Ended},
        exemption::{Exemption, ExemptionId, ExemptionRequest},
    },
    store::{
        audit::{Kind, OUTGATED},
        drains::Word,
        exemptions::subject,
    },
};

impl Controller {
    /// Stores that somebody asks for an exemption. It protects nobody until a second person has approved it.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] for whom it cannot be about.
    pub async fn add_exemption(
        &self,
        request: &ExemptionRequest,
    ) -> Result<ExemptionView, Problem> {
        let asked = request.read(clock())?;
        let mut state = self.lock().await;
        if self.guards(&state).customer_prefix(asked.prefix).is_none() {
            return Err(Problem::Guard(format!(
                "{} is in no customer prefix, so nobody could flag it; customer_prefixes in outgated.toml names them",
                asked.prefix
            )));
        }
        if let Some(standing) = state.exemptions.on(asked.prefix) {
            return Err(Problem::Guard(format!(
                "{} has exemption {} already, until {}; lift that first (`outgate exempt lift {}`)",
                asked.prefix, standing.id, standing.until, standing.id
            )));
        }
        if state.exemptions.len() >= EXEMPTIONS_MAX {
            return Err(Problem::Guard(format!(
                "there are {EXEMPTIONS_MAX} exemptions, as many as there may be; lift some, or exempt wider prefixes"
            )));
        }
        let stored = self.store.add_exemption(&asked).await?;
        note(&stored, &stored.actor, Kind::ExemptionAsked);
        Arc::make_mut(&mut state.exemptions).put(stored.clone());
        Ok(view(&state, &stored))
    }

    /// Lets an exemption protect, as somebody else has asked for.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if there is none, [`Problem::Guard`] to whoever has asked for it.
    pub async fn approve_exemption(
        &self,
        id: ExemptionId,
        request: &DecisionRequest,
    ) -> Result<ExemptionView, Problem> {
        let word = decision(&request.actor, &request.reason)?;
        let mut state = self.lock().await;
        let approved = self
            .standing_exemption(&state, id)
            .await?
            .approved(&word.by, word.at)?;
        self.store.approve_exemption(&approved, &word).await?;
        note(&approved, &word.by, Kind::ExemptionApproved);
        Arc::make_mut(&mut state.exemptions).put(approved.clone());
        Ok(view(&state, &approved))
    }

    /// Ends an exemption.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if there is none, [`Problem::Guard`] without a reason or an actor.
    pub async fn lift_exemption(
        &self,
        id: ExemptionId,
        actor: &str,
        reason: &str,
    ) -> Result<ExemptionView, Problem> {
        let word = decision(actor, reason)?;
        let mut state = self.lock().await;
        let standing = self.standing_exemption(&state, id).await?.clone();
        let ended = self
            .end_exemption(&mut state, standing, Kind::ExemptionLifted, word)
            .await?;
        Ok(view(&state, &ended))
    }

    /// The newest exemptions, at most so many; with `ended`, the ended ones too.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn list_exemptions(
        &self,
        ended: bool,
        at_most: u32,
    ) -> Result<Vec<ExemptionView>, Problem> {
        let exemptions = self.store.exemptions(ended, at_most).await?;
        let state = self.lock().await;
        Ok(exemptions.iter().map(|one| view(&state, one)).collect())
    }

    /// Standing exemptions of a prefix and around it, the most specific first.
    pub async fn exemptions_over(&self, target: IpNetwork) -> Vec<ExemptionView> {
        let state = self.lock().await;
        let over = state.exemptions.over(target);
        over.map(|one| view(&state, one)).collect()
    }

    /// One exemption with its history.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`].
    pub async fn show_exemption(&self, id: ExemptionId) -> Result<ExemptionView, Problem> {
        let exemption = self.store.exemption(id).await?;
        let exemption = exemption.ok_or_else(|| {
            Problem::NotFound(format!(
                "no exemption {id}; `outgate exempt ls --all` lists every one there was"
            ))
        })?;
        let trail = self.store.trail_of(&subject(id)).await?;
        Ok(ExemptionView {
            history: trail.iter().map(views::history).collect(),
            ..view(&*self.lock().await, &exemption)
        })
    }

    /// Ends those whose time has come; answers with when the next one ends.
    pub(super) async fn end_exemptions(
        &self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Problem> {
        for exemption in state.exemptions.due(now) {
            let word = Word {
                at: now,
                by: String::from(OUTGATED),
                reason: String::from("its time is over"),
            };
            self.end_exemption(state, exemption, Kind::ExemptionEnded, word)
                .await?;
        }
        Ok(state.exemptions.next_end())
    }

    async fn end_exemption(
        &self,
        state: &mut State,
        exemption: Exemption,
        kind: Kind,
        word: Word,
    ) -> Result<Exemption, Problem> {
        self.store.end_exemption(&exemption, kind, &word).await?;
        note(&exemption, &word.by, kind);
        let ended = Exemption {
            ended: Some(Ended {
                at: word.at,
                by: word.by,
                reason: word.reason,
            }),
            ..exemption
        };
        Arc::make_mut(&mut state.exemptions).put(ended.clone());
        Ok(ended)
    }

    async fn standing_exemption<'state>(
        &self,
        state: &'state State,
        id: ExemptionId,
    ) -> Result<&'state Exemption, Problem> {
        if let Some(standing) = state.exemptions.get(id) {
            return Ok(standing);
        }
        Err(Problem::NotFound(match self.store.exemption(id).await? {
            Some(_) => {
                format!("exemption {id} has ended already; `outgate exempt show {id}` says how")
            }
            None => format!("no exemption {id}; `outgate exempt ls` lists those that stand"),
        }))
    }
}

fn note(exemption: &Exemption, actor: &str, kind: Kind) {
    tracing::info!(
        exemption.id = exemption.id.0,
        exemption.prefix = %exemption.prefix,
        actor,
        "{}",
        kind.name()
    );
}

/// As it is told, with the flags that take something from its customers all the same.
fn view(state: &State, exemption: &Exemption) -> ExemptionView {
    let over = state.flags.over(exemption.prefix);
    let inside = state
        .flags
        .within(exemption.prefix)
        .filter(|flag| flag.terms.prefix != exemption.prefix);
    let takes = |action: &Action| !matches!(action, Action::Pass | Action::Observe);
    let flags = over.chain(inside).filter(|flag| takes(&flag.terms.action));
    let flags = match exemption.ended {
        None => flags.map(|flag| flag.id).take(FLAGS_NAMED).collect(),
        Some(_) => Vec::new(),
    };
    ExemptionView::new(exemption, flags, clock())
}

/// Promises are made one by one; of more than that, a wider prefix is meant.
const EXEMPTIONS_MAX: usize = 10_000;
/// Numbers of flags in an answer.
const FLAGS_NAMED: usize = 100;
