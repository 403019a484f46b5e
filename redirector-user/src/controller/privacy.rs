//! What is held about a customer, handed out and erased. Both stand in the trail.

use serde_json::json;

use super::{Controller, Problem, clock, trail::actor_of};
use crate::{
    api::view::{ErasedView, HeldView, PrivacyRequest},
    policy::{
        dial::{FlagId, REASON_OCTETS, read_target},
        extent::{Extent, Span},
        tenant::CustomerId,
    },
    store::drains::Word,
};

impl Controller {
    /// All that is held about a customer; who has seen it stands in the trail.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] without an actor, else [`Problem::Store`].
    pub async fn held_about(&self, request: &PrivacyRequest) -> Result<HeldView, Problem> {
        let (customer, extent) = self.extent(request).await?;
        let said = json!({
            "what": "privacy export", "customer": customer, "reason": reason(request)?,
        });
        let at = self.note_view(&request.actor, "privacy", said).await?;
        let held = self.store.held_about(&extent).await?;
        tracing::info!(
            actor = request.actor,
            "what is held about a customer was handed out"
        );
        Ok(HeldView {
            customer,
            at,
            held: held.0,
        })
    }

    /// Erases what is held about a customer.
    ///
    /// # Errors
    ///
    /// [`Problem::Guard`] without an actor or a reason, and while a flag of the customer is in force; nothing is erased then, but
    /// for figures, where the flag came in that very moment.
    pub async fn erase_customer(&self, request: &PrivacyRequest) -> Result<ErasedView, Problem> {
        let (_, extent) = self.extent(request).await?;
        let reason = reason(request)?;
        if reason.is_empty() {
            let text =
                "erasing needs a reason, for the trail; name a ticket in it, not the customer";
            return Err(Problem::Guard(String::from(text)));
        }
        let word = Word {
            at: clock(),
            by: actor_of(&request.actor)?,
            reason,
        };
        // One at a time: what one takes away, another one's look must not have found.
        let _only_one = self.erasing.lock().await;
        // The long part, while everybody else goes on.
        let scanned = self.store.scan_held(&extent).await?;
        let scanned = scanned.map_err(|standing| Problem::Guard(in_force(&standing)))?;
        let figures = self.store.erase_figures_of(&extent).await?;
        // Under the one lock, so that no flag comes meanwhile, and nothing is remembered again.
        let mut state = self.lock().await;
        let erased = self.store.erase_scanned(&extent, &word, &scanned, figures);
        match erased.await? {
            Ok(gone) => {
                let before = state.conduct.len();
                state
                    .conduct
                    .retain(|customer, conduct| !extent.holds(*customer, conduct.changed_at));
                let forgotten = before - state.conduct.len();
                drop(state);
                let file_rewritten = self.store.forget_pages().await;
                tracing::info!(
                    actor = word.by,
                    forgotten,
                    "what is held about a customer was erased"
                );
                Ok(ErasedView {
                    gone,
                    at: word.at,
                    file_rewritten,
                })
            }
            Err(standing) => Err(Problem::Guard(in_force(&standing))),
        }
    }

    /// Whom it is about: an address or a prefix, always, or what a customer has and had, by its key.
    async fn extent(&self, request: &PrivacyRequest) -> Result<(String, Extent), Problem> {
        let target = match read_target(&request.customer, request.exact) {
            Ok(prefix) => return Ok((prefix.to_string(), Extent::always(prefix))),
            Err(refusal) => refusal,
        };
        // What is neither is most likely a mistyped address.
        let customer = CustomerId::read(&request.customer).map_err(|_no_key| target)?;
        let had = self.store.assignments_of(&customer).await?;
        if had.is_empty() && self.store.customer(&customer).await?.is_none() {
            return Err(Problem::NotFound(format!(
                "{customer}: neither an address, nor a prefix, nor the key of a customer (`outgate customer ls`)"
            )));
        }
        let spans = had.into_iter().map(|assignment| Span {
            prefix: assignment.prefix,
            from: Some(assignment.from),
            to: assignment.to,
        });
        Ok((customer.to_string(), Extent::of(customer, spans)))
    }
}

fn reason(request: &PrivacyRequest) -> Result<String, Problem> {
    let reason = request.reason.trim();
    if reason.len() > REASON_OCTETS || reason.chars().any(char::is_control) {
        return Err(Problem::Usage(format!(
            "reason {reason:?}: allowed is one line of at most {REASON_OCTETS} octets"
        )));
    }
    Ok(reason.to_owned())
}

fn in_force(standing: &[FlagId]) -> String {
    let named = standing.iter().take(NAMED).map(ToString::to_string);
    let more = match standing.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "flags of this customer are in force: {}{more}; lift them first (`outgate flag rm ID --reason ...`), then erase",
        named.collect::<Vec<_>>().join(", ")
    )
}

/// Flags that are named.
const NAMED: usize = 10;
