//! Putting a message into the relay's own queue, and what its sender hears about that.

use contract::Egress;
use relay_proto::envelope::{Mail, TlsTag};
use relay_proto::queued::{self, QueueId, Queued, Source};
use relay_proto::reply::Reply;
use tracing::warn;

use super::inspection::Inspection;
use super::outcome::Outcome;
use crate::clock::unix_now;
use crate::message::Message;
use crate::metrics::Counter;
use crate::notify;
use crate::origin::OriginalDst;
use crate::queueing::Queueing;
use crate::spool::{Kept, StoreError};

impl Inspection<'_> {
    /// Makes the message durable under the name `id`, which also stands in `trace`. It is not tried before
    /// [`Queueing::begin`], nor, with a reason to hold it, before a person releases it.
    pub(super) async fn keep(
        &self,
        queueing: &Queueing,
        id: QueueId,
        trace: String,
        content: &Message,
        held: Option<String>,
    ) -> Result<(Kept, Queued), StoreError> {
        let facts = self.facts;
        let customer = self.admitted.customer.ip();
        let reverse_path = &self.mail.reverse_path;
        // Who has logged in is known to the operator, and his reverse-path his own to answer for.
        let vouched = async {
            let (voucher, ehlo) = (queueing.voucher(), facts.ehlo.as_ref());
            let patience = self.patience;
            let vouched = voucher.vouches(customer, ehlo, reverse_path, content, patience);
            self.user.is_some() || vouched.await.is_some()
        };
        let queued = Queued {
            may_notify: vouched.await,
            held,
            ..self.queued(id, trace, content).await
        };
        let kept = queueing.spool().store(&queued, content).await?;
        Ok((kept, queued))
    }

    /// The message as it goes into the queue; nobody has vouched for its sender yet.
    pub(super) async fn queued(&self, id: QueueId, trace: String, content: &Message) -> Queued {
        let facts = self.facts;
        Queued {
            id,
            arrived: unix_now(),
            source: Source::Customer {
                address: self.admitted.customer.ip(),
                original_dst: self.original_dst.map(OriginalDst::socket_addr),
                ehlo: facts.ehlo.clone(),
                tls: facts.tls,
                flag_id: self.admitted.flag_id(),
                user: self.user.map(str::to_owned),
            },
            egress: match self.admitted.egress() {
                Egress::PoolOrCustomer if self.from_customer => queued::Egress::Customer,
                Egress::Pool | Egress::PoolOrCustomer => queued::Egress::Pool,
                Egress::Customer => queued::Egress::Customer,
                Egress::Socks5 => queued::Egress::Socks5,
            },
            mail: self.tagged(content).await,
            recipients: self.recipients.to_vec(),
            trace,
            may_notify: false,
            held: None,
        }
    }

    /// MAIL, with what the header asks of TLS where MAIL asked nothing (RFC 8689 section 4.1).
    async fn tagged(&self, content: &Message) -> Mail {
        let mut mail = self.mail.clone();
        if mail.tls == TlsTag::None && !self.relay.config.routing.ignores_tls_required_no {
            // What cannot be read is found out when it is stored; without the tag more is demanded, not less.
            let head = notify::head(content).await;
            if head.is_ok_and(|head| head.says_tls_is_optional()) {
                mail.tls = TlsTag::Optional;
            }
        }
        mail
    }
}

/// The message is the relay's to deliver.
pub(super) fn queued(id: QueueId) -> Outcome {
    Outcome {
        verdict: "queued",
        counter: Counter::Queued,
        reply: Reply::new(250, "2.0.0", &format!("queued as {id}")),
    }
}

/// The message is the relay's, and a person decides about it.
pub(super) fn held(id: QueueId) -> Outcome {
    Outcome {
        verdict: "held",
        counter: Counter::Held,
        reply: Reply::new(250, "2.0.0", &format!("queued as {id}")),
    }
}

/// It could not be made durable, so the sender keeps it.
pub(super) fn no_room(id: &str, error: &StoreError) -> Outcome {
    warn!(queue.id = %id, %error, "a message cannot be queued; its sender tries again");
    Outcome {
        verdict: "no-room",
        counter: Counter::NotQueued,
        reply: Reply::new(
            452,
            "4.3.1",
            &format!("no room in the queue now, try again id={id}"),
        ),
    }
}
