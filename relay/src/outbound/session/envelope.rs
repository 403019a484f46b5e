//! A whole envelope at once: in one go where the destination offers PIPELINING, command by command elsewhere.

use relay_proto::client::{Event, LostCause, Stage};
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::reply::Reply;

use super::{Upstream, out_of_turn};
use crate::outbound::Lost;

/// What the destination said to an envelope.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// To MAIL; `None` = it was lost before.
    pub(crate) mail: Option<Reply>,
    /// To the recipients, in their order; those that are missing were not answered.
    pub(crate) recipients: Vec<Reply>,
    /// To DATA, if that was refused.
    pub(crate) data: Option<Reply>,
    /// It waits for content.
    pub(crate) ready: bool,
    /// The destination has gone.
    pub(crate) lost: Option<Lost>,
}

impl Upstream {
    /// MAIL, RCPT for each of `recipients`, and DATA if any of them was taken.
    pub(crate) async fn envelope(&mut self, mail: &Mail, recipients: &[&Recipient]) -> Answers {
        let mut answers = Answers::default();
        let said = if self.session.can_pipeline(mail, recipients) {
            self.in_one_go(mail, recipients, &mut answers).await
        } else {
            self.one_by_one(mail, recipients, &mut answers).await
        };
        answers.lost = said.err();
        answers
    }

    async fn in_one_go(
        &mut self,
        mail: &Mail,
        recipients: &[&Recipient],
        answers: &mut Answers,
    ) -> Result<(), Lost> {
        self.reset().await?;
        self.used.mail();
        for recipient in recipients {
            self.used.recipient(recipient);
        }
        self.session.envelope(self.clock.now(), mail, recipients);
        loop {
            let (stage, reply) = match self.next_event().await? {
                Event::Answered { stage, reply } => (stage, reply),
                Event::Lost { stage, cause } => return Err(Lost { stage, cause }),
                Event::Ready(_) => return Err(out_of_turn(Stage::Ehlo)),
            };
            match stage {
                Stage::Mail => {
                    self.in_transaction = reply.code().is_positive();
                    answers.mail = Some(reply);
                }
                Stage::Rcpt => answers.recipients.push(reply),
                _ if !reply.code().is_intermediate() => {
                    answers.data = Some(reply);
                    return Ok(());
                }
                _ if answers.took_anybody() => {
                    answers.ready = true;
                    return Ok(());
                }
                _ => {
                    // It says go ahead to nobody; an end of data and nothing before it is what RFC 2920 section 3.1 has
                    // for that.
                    self.end_of_data().await?;
                    return Ok(());
                }
            }
        }
    }

    async fn one_by_one(
        &mut self,
        mail: &Mail,
        recipients: &[&Recipient],
        answers: &mut Answers,
    ) -> Result<(), Lost> {
        let reply = answers.mail.insert(self.mail(mail).await?);
        if !reply.code().is_positive() {
            return Ok(());
        }
        for recipient in recipients {
            let reply = self.recipient(recipient).await?;
            answers.recipients.push(reply);
        }
        if answers.took_anybody() {
            answers.data = self.data().await?;
            answers.ready = answers.data.is_none();
        }
        Ok(())
    }
}

impl Answers {
    /// Whether any recipient was taken.
    pub(crate) fn took_anybody(&self) -> bool {
        let mail_taken = self.mail.as_ref().is_some_and(|it| it.code().is_positive());
        mail_taken && self.recipients.iter().any(|it| it.code().is_positive())
    }

    /// Whether the destination had gone before it said anything, as one does that was idle for too long.
    pub(crate) fn may_have_idled_out(&self) -> bool {
        let gone = self.lost.as_ref().is_some_and(|lost| match &lost.cause {
            LostCause::HungUp => true,
            LostCause::Refused(reply) => reply.code() == 421,
            LostCause::TimedOut
            | LostCause::Malformed(_)
            | LostCause::Framing(_)
            | LostCause::LineTooLong
            | LostCause::Unsolicited
            | LostCause::Injected
            | LostCause::TlsFailed
            | LostCause::Content(_)
            | LostCause::OutOfTurn => false,
        });
        gone && self.mail.is_none()
    }
}
