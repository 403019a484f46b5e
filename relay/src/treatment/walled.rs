//! Walled: the customer may write to the operator, and to nobody else.
//!
//! EHLO, STARTTLS and MAIL are answered as ever, because a mail server that is refused at RCPT returns the
//! message to its sender at once, while one that is refused by the greeting keeps trying for days. Every
//! recipient hears `550 5.7.1` with the reason, where to read on, and a reference by which the abuse desk
//! finds flag and session. The destination that the customer had chosen is never connected to.
//!
//! Mail for the operator's own mailboxes goes to the operator's mail server by cut-through, so that its
//! answers are that server's. It is not scanned here: who asks why it was blocked may quote the spam that
//! it was blocked for, and what the operator's server thinks of that is its own affair. How often is bounded by
//! an [`Allowance`](crate::allowance::Allowance).
//!
//! # Diagnostics
//! One `info` per transaction that had a recipient refused, with the reference that the customer heard.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use contract::words;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::{Abort, Answer, Offer, Question};
use tracing::info;

use super::Cutthrough;
use super::cutthrough::auth_refused;
use crate::Relay;
use crate::admission::Admitted;
use crate::config::OperatorMail;
use crate::id::SessionId;
use crate::inbound::hearing::Hearing;
use crate::inbound::session::Facts;
use crate::listen::Drain;
use crate::listen::limits::counted_as;
use crate::metrics::Counter;
use crate::origin::OriginalDst;

/// One customer's session.
pub(crate) struct Walled {
    relay: Arc<Relay>,
    admitted: Admitted,
    id: SessionId,
    drain: Drain,
    transaction: Option<Transaction>,
    /// The way to the operator's mail server, from the first recipient there on.
    operator: Option<Cutthrough>,
}

/// What the customer has said since MAIL.
#[derive(Debug)]
struct Transaction {
    mail: Mail,
    /// Recipients that were refused here.
    refused: u32,
    /// The operator's mail server has a part in it.
    operators: bool,
}

impl Walled {
    /// Nothing has been said yet.
    pub(crate) fn new(relay: Arc<Relay>, admitted: Admitted, id: SessionId, drain: Drain) -> Self {
        Self {
            relay,
            admitted,
            id,
            drain,
            transaction: None,
            operator: None,
        }
    }

    /// Answers the session's open question.
    pub(crate) async fn answer(&mut self, question: Question, facts: Facts) -> Answer {
        match question {
            Question::Hello(_) => Answer::Offer(self.offer()),
            Question::Auth(_) => {
                let pointer = (&self.relay.config).into();
                Answer::Reply(auth_refused(None, pointer))
            }
            Question::Mail(mail) => self.mail(mail),
            Question::Recipient(recipient) => self.recipient(recipient, facts).await,
            Question::Data => self.pass_on(Question::Data, facts).await,
            Question::Message => {
                let answer = self.pass_on(Question::Message, facts).await;
                self.conclude();
                answer
            }
        }
    }

    /// Content of a message to the operator.
    pub(crate) async fn body(&mut self, octets: Bytes) {
        if let Some(operator) = self.operators() {
            operator.body(octets).await;
        }
    }

    /// Forgets the transaction.
    pub(crate) async fn aborted(&mut self, abort: Abort) {
        if let Some(operator) = self.operators() {
            operator.aborted(abort).await;
        }
        self.conclude();
    }

    /// Whether a message to the operator may be in doubt.
    pub(crate) fn awaits_hearing(&self) -> bool {
        self.operator
            .as_ref()
            .is_some_and(Cutthrough::awaits_hearing)
    }

    /// What became of the last reply.
    pub(crate) fn heard(&mut self, hearing: Hearing) {
        if let Some(operator) = &mut self.operator {
            operator.heard(hearing);
        }
    }

    /// The customer has gone.
    pub(crate) async fn end(mut self) {
        self.conclude();
        if let Some(operator) = self.operator {
            operator.end().await;
        }
    }

    /// What every mail server offers. The operator's own is not asked: hardly a message goes there, and a blocked
    /// customer must neither keep it busy nor go without its refusals while it is away.
    fn offer(&self) -> Offer {
        Offer {
            max_message_octets: self.relay.config.message.max_octets,
            eight_bit_mime: true,
            starttls: true,
            limits: self.relay.config.session.limits(),
            ..Offer::default()
        }
    }

    fn mail(&mut self, mail: Mail) -> Answer {
        if self.drain.has_begun() {
            let hostname = &self.relay.config.identity.hostname;
            let text = format!("{hostname} is shutting down, try again");
            return Answer::ReplyAndClose(Reply::new(421, "4.3.2", &text));
        }
        self.transaction = Some(Transaction {
            mail,
            refused: 0,
            operators: false,
        });
        Answer::Reply(Reply::new(250, "2.1.0", "sender noted"))
    }

    async fn recipient(&mut self, recipient: Recipient, facts: Facts) -> Answer {
        let operator_mail = self.relay.config.operator_mail.clone();
        match operator_mail {
            Some(OperatorMail {
                mailboxes,
                deliver_to,
                ..
            }) if mailboxes.contain(&recipient.forward_path) => {
                self.hand_to_operator(recipient, facts, OriginalDst::new(deliver_to))
                    .await
            }
            Some(_) | None => self.refuse(),
        }
    }

    /// The refusal that the customer's mail log shows. All of it fits a line of 512 octets (RFC 5321 section
    /// 4.5.3.1.5), however long its parts may be.
    fn refuse(&mut self) -> Answer {
        self.relay.metrics().count(Counter::Walled);
        if let Some(transaction) = &mut self.transaction {
            transaction.refused = transaction.refused.saturating_add(1);
        }
        let identity = &self.relay.config.identity;
        let submission = self.relay.config.submission.as_ref();
        let text = refusal(
            self.admitted.customer.ip(),
            &identity.operator,
            self.admitted.reason(),
            submission.and_then(|it| it.name.as_deref()),
            &identity.help_url,
            &self.reference(),
        );
        Answer::Reply(Reply::new(550, "5.7.1", &text))
    }

    async fn hand_to_operator(
        &mut self,
        recipient: Recipient,
        facts: Facts,
        destination: OriginalDst,
    ) -> Answer {
        let Some(transaction) = &mut self.transaction else {
            return out_of_turn();
        };
        let allowance = &self.relay.operator_allowance;
        if !transaction.operators
            && !allowance.take(counted_as(self.admitted.customer), Instant::now())
        {
            self.relay.metrics().count(Counter::WalledDeferred);
            let text = "too many messages to the operator from your address, try again later";
            return Answer::Reply(Reply::new(450, "4.7.1", text));
        }
        let operator = self.operator.get_or_insert_with(|| {
            let admitted = self.admitted.to_the_operator();
            let (relay, drain) = (Arc::clone(&self.relay), self.drain.clone());
            Cutthrough::new(relay, admitted, destination, self.id, drain).unscanned()
        });
        if !transaction.operators {
            let mail = Question::Mail(transaction.mail.clone());
            match operator.answer(mail, facts.clone()).await {
                Answer::Reply(reply) if reply.code().is_positive() => transaction.operators = true,
                refused => return refused,
            }
        }
        operator.answer(Question::Recipient(recipient), facts).await
    }

    /// For whoever has a part in the transaction: there is nothing to say about DATA without it.
    async fn pass_on(&mut self, question: Question, facts: Facts) -> Answer {
        match self.operators() {
            Some(operator) => operator.answer(question, facts).await,
            None => out_of_turn(),
        }
    }

    /// The way to the operator's mail server, if that has a part in the transaction.
    fn operators(&mut self) -> Option<&mut Cutthrough> {
        let has_part = self.transaction.as_ref().is_some_and(|it| it.operators);
        self.operator.as_mut().filter(|_| has_part)
    }

    fn conclude(&mut self) {
        if let Some(Transaction {
            refused: refused @ 1..,
            operators,
            ..
        }) = self.transaction.take()
        {
            info!(
                verdict = "walled",
                reply.code = 550,
                reference = self.reference(),
                flag.id = self.admitted.flag_id(),
                recipients = refused,
                operators,
                "message outcome"
            );
        }
    }

    /// What the customer quotes and the abuse desk looks for: flag and session, where there is a flag.
    fn reference(&self) -> String {
        match self.admitted.flag_id() {
            Some(flag_id) => format!("F{flag_id}-{}", self.id),
            None => self.id.to_string(),
        }
    }
}

fn refusal(
    customer: IpAddr,
    operator: &str,
    reason: Option<&str>,
    service: Option<&str>,
    help_url: &str,
    reference: &str,
) -> String {
    let blocked = words::blocked(customer, operator, reason);
    let see = format!("; see {help_url} ref {reference}");
    let service = service.map_or_else(String::new, |name| {
        format!("; who has an account may submit on port 587 of {name}")
    });
    // Whoever reads the page that is named finds it there, too.
    if blocked.len() + service.len() + see.len() > TEXT_OCTETS_MAX {
        return blocked + &see;
    }
    blocked + &service + &see
}

/// A question that the session only asks about recipients that were taken.
fn out_of_turn() -> Answer {
    Answer::Reply(Reply::new(554, "5.5.1", "no valid recipients"))
}

impl fmt::Debug for Walled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walled")
            .field("id", &self.id)
            .field("admitted", &self.admitted)
            .field("transaction", &self.transaction)
            .finish_non_exhaustive()
    }
}

/// 512 octets without codes and the end of the line.
const TEXT_OCTETS_MAX: usize = 512 - "550 5.7.1 \r\n".len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_fits_one_line_however_long_its_parts_are() {
        let customer = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".parse().unwrap();
        let text = refusal(
            customer,
            &"o".repeat(64),
            Some(&"reason\r\n250 ok ".repeat(100)),
            Some(&"n".repeat(64)),
            &format!("https://{}", "u".repeat(192)),
            &format!("F{}-{}", u32::MAX, SessionId::new()),
        );
        let mut wire = bytes::BytesMut::new();
        Reply::new(550, "5.7.1", &text).encode(false, &mut wire);
        assert!(wire.len() <= 512, "{}", wire.len());
        assert_eq!(wire.iter().filter(|&&octet| octet == b'\n').count(), 1);
    }

    #[test]
    fn a_refusal_without_a_reason_says_the_rest() {
        let customer = "192.0.2.10".parse().unwrap();
        assert_eq!(
            refusal(customer, "Example", None, None, "https://h.example", "0"),
            "mail from 192.0.2.10 is blocked by Example; see https://h.example ref 0"
        );
        let offered = Some("submit.example.net");
        assert_eq!(
            refusal(customer, "Example", None, offered, "https://h.example", "0"),
            "mail from 192.0.2.10 is blocked by Example; who has an account may submit on port 587 of \
             submit.example.net; see https://h.example ref 0"
        );
    }
}
