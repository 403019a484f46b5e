//! The limits of a session's customer: asked before a question goes to its treatment, told what came of it.
//!
//! A recipient counts when it was taken, a message when its content is asked for, octets when they have come. So what is
//! refused elsewhere costs a customer nothing but a message whose content it could send.

use std::net::IpAddr;

use contract::Tier;
use relay_proto::envelope::Mail;
use relay_proto::reply::Reply;
use relay_proto::server::{Answer, Question};

use super::inspection::{self, Inspection};
use super::outcome::{LIMITED, LOCKED, Outcome};
use crate::Relay;
use crate::admission::Admitted;
use crate::behaviour::{Reached, Sites, Watched};
use crate::message::Message;
use crate::metrics::Counter;

/// One session's customer.
#[derive(Debug)]
pub(super) struct Limited {
    watched: Watched,
    customer: IpAddr,
    flag_id: Option<u32>,
    help_url: String,
    /// The reverse-path of the open transaction.
    sender: String,
}

/// What was asked, as far as it counts.
#[derive(Debug)]
pub(super) enum Asked {
    /// Whether somebody may be written to.
    Recipient(String),
    /// Whether the content may come.
    Data,
    /// Something else.
    Other,
}

impl Limited {
    pub(super) fn new(relay: &Relay, admitted: &Admitted) -> Self {
        let customer = admitted.customer.ip();
        Self {
            watched: relay.behaviour.under_flag(customer, admitted.limits()),
            customer,
            flag_id: admitted.flag_id(),
            help_url: relay.config.identity.help_url.clone(),
            sender: String::new(),
        }
    }

    /// The customer's part of what is watched.
    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// What a question is answered that goes beyond a limit, or comes from a locked site.
    pub(super) fn before(
        &mut self,
        relay: &Relay,
        user: Option<&str>,
        question: &Question,
    ) -> Result<Asked, Answer> {
        let reached = |reached: Reached| Answer::Reply(self.reply(relay, &reached));
        match question {
            Question::Mail(mail) => {
                self.watched.announces(mail.size).map_err(reached)?;
                let sites = self.sites(relay, user, mail).of_envelope();
                if let Some(lock) = self.watched.locked(&sites) {
                    return Err(Answer::Reply(self.watched.refusal(&lock, &self.help_url)));
                }
                self.sender = mail.reverse_path.to_string();
                Ok(Asked::Other)
            }
            Question::Recipient(recipient) => {
                self.watched.names_recipient().map_err(reached)?;
                Ok(Asked::Recipient(recipient.forward_path.to_string()))
            }
            Question::Data => {
                self.watched.sends(&self.sender).map_err(reached)?;
                Ok(Asked::Data)
            }
            Question::Hello(_) | Question::Message | Question::Auth(_) => Ok(Asked::Other),
        }
    }

    /// What became of the question.
    pub(super) fn after(&self, asked: Asked, answer: &Answer) {
        match (asked, answer) {
            (Asked::Recipient(recipient), Answer::Reply(reply)) if reply.code().is_positive() => {
                self.watched.wrote_to(&recipient);
            }
            (Asked::Data, Answer::Reply(_) | Answer::ReplyAndClose(_)) => self.watched.sends_not(),
            (Asked::Recipient(_) | Asked::Data | Asked::Other, _) => {}
        }
    }

    /// The outcome of a message that has come whole and may not go on, by a lock or a limit; it is counted if it may.
    pub(super) async fn content(
        &self,
        inspection: &Inspection<'_>,
        content: &Message,
        asked: &mut inspection::Asked,
    ) -> Option<Outcome> {
        let sites = self.sites(inspection.relay, inspection.user, inspection.mail);
        let header = match sites.stand_in_headers() && inspection.tier() >= Tier::Headers {
            true => {
                let section = content.header_section(HEADER_OCTETS_MAX).await;
                // What cannot be read back is found out by whoever delivers it.
                section.map_or_else(|_unreadable| Vec::new(), |section| section.octets)
            }
            false => Vec::new(),
        };
        let sites = sites.of_message(&header);
        asked.came_from(sites.first().map(ToString::to_string));
        if let Some(lock) = self.watched.locked(&sites) {
            let reply = self.watched.refusal(&lock, &self.help_url);
            return Some(outcome(LOCKED, Counter::Rejected, reply));
        }
        let recipients = inspection.recipients.len() as u64;
        let sent = (self.watched).sent(content.octets(), recipients, &sites);
        sent.err().map(|reached| {
            let reply = self.reply(inspection.relay, &reached);
            let counter = match reply.code().is_permanent() {
                true => Counter::Rejected,
                false => Counter::Deferred,
            };
            outcome(LIMITED, counter, reply)
        })
    }

    /// A server has answered about a recipient.
    pub(super) fn answered(&self, relay: &Relay, reply: &Reply) {
        self.watched.answered(reply);
        if reply.code().is_permanent() {
            // Who writes to nobody that exists never has a message of which this would be told.
            let reporter = relay.reporter();
            reporter.count(self.customer, self.flag_id, |rates| {
                relay.behaviour.describe(self.customer, rates);
            });
        }
    }

    fn reply(&self, relay: &Relay, reached: &Reached) -> Reply {
        if let Some(happening) = reached.happening() {
            let reporter = relay.reporter();
            reporter.happened(self.customer, self.flag_id, happening);
        }
        reached.reply(&self.help_url)
    }

    fn sites<'a>(&self, relay: &'a Relay, user: Option<&'a str>, mail: &'a Mail) -> Sites<'a> {
        Sites {
            rules: &relay.behaviour.config().identities,
            customer: self.customer,
            user,
            sender: &mail.reverse_path,
        }
    }
}

fn outcome(verdict: &'static str, counter: Counter, reply: Reply) -> Outcome {
    Outcome {
        verdict,
        counter,
        reply,
    }
}

/// What stands behind so many octets is nobody's name.
const HEADER_OCTETS_MAX: usize = 256 << 10;
