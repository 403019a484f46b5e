//! What the queue has to find out for itself where a customer was going to nobody but us.

use relay_proto::address::ForwardPath;
use relay_proto::envelope::Recipient;
use relay_proto::reply::Reply;

use super::Queue;
use crate::egress::{Leg, NoWay};
use crate::origin::OriginalDst;

impl Queue {
    /// Gives a postmaster without a domain the mailbox of ours: who came to us means nobody else's (RFC 5321 section
    /// 4.5.1).
    pub(super) fn name_postmaster(&self, recipient: &mut Recipient) -> Result<(), Reply> {
        if recipient.forward_path.mailbox().is_some() {
            return Ok(());
        }
        let config = &self.relay.config;
        let operator_mail = config.operator_mail.as_ref();
        match operator_mail.and_then(|mail| mail.mailboxes.postmaster()) {
            Some(mailbox) => {
                recipient.forward_path = ForwardPath::Mailbox(mailbox.clone());
                Ok(())
            }
            None => {
                let help_url = &config.identity.help_url;
                let text = format!("the postmaster here has no mailbox; see {help_url}");
                Err(Reply::new(550, "5.1.1", &text))
            }
        }
    }

    /// The server that a message is for, or will be sent to first, as far as that is known and matters. Of several
    /// domains the first recipient's stands for all: what differs is at most the family of the address that the message
    /// leaves from.
    pub(super) async fn heading(&self, recipients: &[Recipient]) -> Option<OriginalDst> {
        if self.original_dst.is_some() {
            return self.original_dst;
        }
        self.relay.aligning.as_ref()?;
        let domain = recipients.first()?.forward_path.mailbox()?.domain();
        let server = self.relay.router.first_server(domain).await?;
        Some(OriginalDst::new(server))
    }

    /// The leg by which it would go there now.
    pub(super) fn leg_to(&self, destination: OriginalDst) -> Result<Leg, NoWay> {
        let egresses = &self.relay.egresses;
        self.admitted.legs(egresses, None, destination).best()
    }
}
