//! A whole envelope in one go (RFC 2920): one way to the server and back instead of one for each command.

use bytes::Bytes;

use super::{Session, State};
use crate::Time;
use crate::client::{Action, Stage};
use crate::envelope::{Mail, Recipient};

impl Session {
    /// Whether [`Self::envelope`] may be asked: the server offered PIPELINING, and all of the envelope can be said to it.
    #[must_use]
    pub fn can_pipeline(&self, mail: &Mail, recipients: &[&Recipient]) -> bool {
        let utf8 = mail.smtputf8 || !mail.reverse_path.is_ascii();
        let sayable = |recipient: &&Recipient| utf8 || self.is_sayable(recipient);
        self.extensions.pipelining
            && (!utf8 || self.extensions.smtputf8)
            && (!mail.insists_on_tls() || self.extensions.require_tls)
            && recipients.iter().all(sayable)
    }

    /// MAIL, RCPT for each of `recipients`, and DATA, without waiting between them. Each is answered by an
    /// [`Event::Answered`](crate::client::Event::Answered), in that order.
    ///
    /// A server may answer DATA with 354 although it took none of the recipients (RFC 2920 section 3.1); then the caller
    /// gives no content, and [`Self::end`] at once.
    pub fn envelope(&mut self, now: Time, mail: &Mail, recipients: &[&Recipient]) {
        if !self.turn(Stage::Mail) {
            return;
        }
        self.utf8 = mail.smtputf8 || !mail.reverse_path.is_ascii();
        let mut lines = self.mail_line(mail);
        for recipient in recipients {
            lines.push_str("\r\n");
            lines.push_str(&self.rcpt_line(recipient));
            self.following.push_back(Stage::Rcpt);
        }
        lines.push_str("\r\nDATA\r\n");
        self.following.push_back(Stage::Data);
        self.state = State::Asked;
        self.deadline = Some(now.saturating_add(self.config.timeouts.mail));
        self.actions.push_back(Action::Send(Bytes::from(lines)));
    }

    /// What the session waits for after an answer, if more has been asked.
    pub(super) fn await_next(&mut self, now: Time) {
        if let Some(next) = self.following.pop_front() {
            let timeouts = &self.config.timeouts;
            let timeout = match next {
                Stage::Rcpt => timeouts.rcpt,
                Stage::Data => timeouts.data,
                Stage::Greeting
                | Stage::Ehlo
                | Stage::StartTls
                | Stage::Mail
                | Stage::Message
                | Stage::Rset
                | Stage::Quit => timeouts.mail,
            };
            self.stage = next;
            self.state = State::Asked;
            self.deadline = Some(now.saturating_add(timeout));
        }
    }

    /// Whether RCPT can be said without SMTPUTF8.
    pub(super) fn is_sayable(&self, recipient: &Recipient) -> bool {
        if self.extensions.dsn {
            recipient.is_ascii()
        } else {
            recipient.forward_path.is_ascii()
        }
    }
}
