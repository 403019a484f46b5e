//! What the embedded classifier learns from what people decide here: a released message was wanted, one that is confirmed
//! with its content was not.

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::release::Received;
use super::{Desk, Refusal, given};
use crate::classifier::features::LOOKED_AT_OCTETS;
use crate::classifier::{Label, Lesson};
use crate::message::Message;
use crate::quarantine::record::RecordId;
use crate::quarantine::shapes::Did;

impl Desk {
    /// It is spam indeed, and its content, opened where the key is, is the classifier's to learn from.
    pub(super) async fn confirm_opened(
        &self,
        actor: &str,
        received: Received,
    ) -> Result<Did, Refusal> {
        let id = received.opened.id.clone();
        self.confirm(actor, &id, given(&received.opened.reason)?)
            .await?;
        self.learn(&id, &received.content, Label::Spam).await;
        Ok(Did { id, queue_id: None })
    }

    /// Teaches the classifier, if there is one. What cannot be learnt changes nothing of what was decided.
    pub(super) async fn learn(&self, id: &RecordId, content: &Message, label: Label) {
        let Some(live) = self.tools().classifier else {
            return;
        };
        let learnt = async {
            let beginning = content.beginning(LOOKED_AT_OCTETS + 1).await?;
            let lesson = spawn_blocking(move || live.learn(&beginning, label)).await?;
            lesson.map_err(std::io::Error::other)
        };
        match learnt.await {
            Ok(Lesson::Learnt { before, after }) => {
                info!(record.id = %id, ?label, before, after, "the classifier has learnt");
            }
            Ok(Lesson::Known | Lesson::Off) => {}
            Err(error) => warn!(record.id = %id, %error, "the classifier cannot learn from this"),
        }
    }
}
