//! A copy of a message that a verdict has refused, as evidence.

use relay_proto::queued::QueueId;
use relay_proto::verdict::{Concern, Judgement, Verdict};

use super::inspection::{Asked, Inspection};
use crate::behaviour::simhash;
use crate::message::Message;
use crate::quarantine::Evidence;

impl Inspection<'_> {
    /// Keeps a copy if the verdict wants one and there is a place for it. Whatever becomes of that, the sender hears the
    /// same.
    pub(super) async fn keep_copy(&self, judgement: &Judgement, asked: &Asked, content: &Message) {
        let Verdict::Reject { reason, keep: true } = &judgement.verdict else {
            return;
        };
        let Some(quarantine) = &self.relay.quarantine else {
            return;
        };
        let name = QueueId::from_number(1).expect("one is not zero");
        // Without it only what is the same to the letter is found to be alike.
        let simhash = simhash(content).await.unwrap_or_default();
        let evidence = Evidence {
            id: self.id.to_owned(),
            // It is given its own name when it is released.
            queued: self.queued(name, self.trace_fields(), content).await,
            customer: self.admitted.customer,
            identity: asked.site().map(str::to_owned),
            verdict: match judgement.concern {
                Some(Concern::Spam) => "spam",
                Some(Concern::Malware) => "malware",
                None => "unscannable",
            },
            reason: reason.clone(),
            reasons: asked.reasons(),
            scanners: asked.to_string(),
            tier: self.tier(),
            simhash,
            content: content.clone(),
        };
        quarantine.keep(evidence).await;
    }
}
