//! Bypasses: added and lifted by people, ended by time, and put into the kernel.

use jiff::Timestamp;

use super::{Controller, Problem, clock, state::State, terms::decision};
use crate::{
    api::view::BypassView,
    policy::{
        bypass::{Bypass, BypassId, BypassRequest},
        dial::Ended,
    },
    store::{
        audit::{Kind, OUTGATED},
        drains::Word,
    },
};

impl Controller {
    /// Adds a bypass: new connections to there are redirected no more, whoever is flagged. It is in force in the kernel
    /// when this returns.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] for what it cannot be.
    pub async fn add_bypass(&self, request: &BypassRequest) -> Result<BypassView, Problem> {
        let asked = request.read(clock())?;
        let mut state = self.lock().await;
        if let Some(standing) = state.bypasses.on(asked.prefix) {
            return Err(Problem::Guard(format!(
                "{} has bypass {} already; lift that first (`outgate bypass lift {}`)",
                asked.prefix, standing.id, standing.id
            )));
        }
        if state.bypasses.len() >= BYPASSES_MAX {
            return Err(Problem::Guard(format!(
                "there are {BYPASSES_MAX} bypasses, as many as the kernel has room for; lift some, or name wider prefixes"
            )));
        }
        let stored = self.store.add_bypass(&asked).await?;
        note(&stored, &stored.actor, Kind::BypassAdded);
        state.bypasses.put(stored.clone());
        self.enforce_bypasses(&mut state).await;
        Ok(BypassView::new(&stored, clock()))
    }

    /// Ends a bypass. Connections that went free by it are answered with RST from then on, if their customer is
    /// redirected.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`] if there is none, [`Problem::Guard`] without a reason or an actor.
    pub async fn lift_bypass(
        &self,
        id: BypassId,
        actor: &str,
        reason: &str,
    ) -> Result<BypassView, Problem> {
        let word = decision(actor, reason)?;
        let mut state = self.lock().await;
        let Some(standing) = state.bypasses.get(id).cloned() else {
            return Err(Problem::NotFound(format!(
                "no bypass {id} stands; `outgate bypass ls` lists those that do"
            )));
        };
        let ended = self
            .end_bypass(&mut state, standing, Kind::BypassLifted, word)
            .await?;
        self.enforce_bypasses(&mut state).await;
        Ok(BypassView::new(&ended, clock()))
    }

    /// The newest bypasses, at most so many; with `ended`, the ended ones too.
    ///
    /// # Errors
    ///
    /// Only what the store answers.
    pub async fn list_bypasses(
        &self,
        ended: bool,
        at_most: u32,
    ) -> Result<Vec<BypassView>, Problem> {
        let (bypasses, now) = (self.store.bypasses(ended, at_most).await?, clock());
        let views = bypasses.iter().map(|one| BypassView::new(one, now));
        Ok(views.collect())
    }

    /// Ends those whose time has come; answers with when the next one ends.
    pub(super) async fn end_bypasses(
        &self,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Problem> {
        let due = state.bypasses.due(now);
        let any = !due.is_empty();
        for bypass in due {
            let word = Word {
                at: now,
                by: String::from(OUTGATED),
                reason: String::from("its time is over"),
            };
            self.end_bypass(state, bypass, Kind::BypassEnded, word)
                .await?;
        }
        if any {
            self.enforce_bypasses(state).await;
        }
        Ok(state.bypasses.next_end())
    }

    async fn end_bypass(
        &self,
        state: &mut State,
        bypass: Bypass,
        kind: Kind,
        word: Word,
    ) -> Result<Bypass, Problem> {
        self.store.end_bypass(&bypass, kind, &word).await?;
        note(&bypass, &word.by, kind);
        let ended = Bypass {
            ended: Some(Ended {
                at: word.at,
                by: word.by,
                reason: word.reason,
            }),
            ..bypass
        };
        state.bypasses.put(ended.clone());
        Ok(ended)
    }

    /// It is stored, so it will come into force; saying that it was refused would be wrong.
    async fn enforce_bypasses(&self, state: &mut State) {
        if let Err(error) = self.reconcile(state).await {
            tracing::error!(%error, "bypasses are stored, but the kernel does not have them yet");
        }
    }
}

fn note(bypass: &Bypass, actor: &str, kind: Kind) {
    tracing::info!(
        bypass.id = bypass.id.0,
        bypass.prefix = %bypass.prefix,
        actor,
        "{}",
        kind.name()
    );
}

/// As many as `BYPASSES4` and `BYPASSES6` take, each.
const BYPASSES_MAX: usize = 4096;
