//! What every message goes through before it may go anywhere: the scanners, and the refusal if they want one; and the
//! trace fields of those that pass.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::header::Trace;
use relay_proto::verdict::{Finding, Verdict, combine};
use tracing::warn;

use super::one_line;
use super::outcome::Outcome;
use crate::Relay;
use crate::admission::Admitted;
use crate::inbound::session::Facts;
use crate::message::Message;
use crate::metrics::Counter;
use crate::origin::OriginalDst;
use crate::scan::{self, Report, Submission};
use crate::token::Attribution;
use crate::vouch::Patience;

/// One message, as its sender describes it.
#[derive(Clone, Copy)]
pub(super) struct Inspection<'a> {
    pub(super) relay: &'a Relay,
    pub(super) admitted: &'a Admitted,
    /// Where its customer was going, if that is known.
    pub(super) original_dst: Option<OriginalDst>,
    /// Who its customer has shown that it is.
    pub(super) user: Option<&'a str>,
    pub(super) facts: &'a Facts,
    pub(super) id: &'a str,
    pub(super) mail: &'a Mail,
    /// Those that were taken.
    pub(super) recipients: &'a [Recipient],
    /// It leaves from its customer's own address, whatever the policy says.
    pub(super) from_customer: bool,
    /// For all look-ups about it.
    pub(super) patience: &'a Patience,
}

impl Inspection<'_> {
    /// What all scanners together say. `summary` has each one's word, also of those that have spoken when the caller
    /// gives up.
    pub(super) async fn scan(&self, content: &Message, summary: &mut String) -> Verdict {
        let submission = Submission {
            id: self.id.to_owned(),
            client: self.admitted.customer.ip(),
            user: self.user.map(str::to_owned),
            ehlo: self.facts.ehlo.clone(),
            mail: self.mail.clone(),
            recipients: self.recipients.to_vec(),
            content: content.clone(),
        };
        let reports = scan::scan(&self.relay.scanners, Arc::new(submission)).await;
        for report in &reports {
            if matches!(report.finding, Finding::Failed { .. }) {
                self.relay.metrics().count(Counter::ScannerFailed);
            }
        }
        *summary = reports.iter().map(word).collect::<Vec<_>>().join(" ");
        combine(reports.into_iter().map(|report| report.finding))
    }

    /// The outcome of a message that must not pass; `None` if it may.
    pub(super) fn refusal(&self, verdict: &Verdict) -> Option<Outcome> {
        let help_url = &self.relay.config.identity.help_url;
        match verdict {
            Verdict::Accept => None,
            Verdict::Reject { reason } => {
                // Why its mail is looked at at all is the first thing that a refused customer asks.
                let flagged = self.admitted.reason().map_or_else(String::new, |reason| {
                    format!(
                        " (mail from {} is filtered: {})",
                        self.admitted.customer,
                        one_line(reason)
                    )
                });
                let verdict = Verdict::Reject {
                    reason: format!("{reason}{flagged}"),
                };
                let reply = verdict.reply(self.id, help_url)?;
                Some(Outcome {
                    verdict: "rejected",
                    counter: Counter::Rejected,
                    reply,
                })
            }
            Verdict::Defer { .. } => {
                let reply = verdict.reply(self.id, help_url)?;
                Some(Outcome {
                    verdict: "deferred",
                    counter: Counter::Deferred,
                    reply,
                })
            }
        }
    }

    /// Our fields, which go above the content: the trace, and what signs it with the content.
    pub(super) async fn fields(&self, content: &Message) -> String {
        let trace = self.trace_fields();
        match self.relay.signer.sign_customers(&trace, content).await {
            Ok(signatures) => signatures + &trace,
            Err(error) => {
                self.relay.metrics().count(Counter::Unsigned);
                warn!(queue.id = %self.id, %error, "a customer's message leaves without the operator's signature");
                trace
            }
        }
    }

    fn trace_fields(&self) -> String {
        let identity = &self.relay.config.identity;
        let nameless = EhloName::new("unknown").expect("a visible word is a name");
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let date = rfc2822::to_string(&now).expect("the present has a date of RFC 5322");
        let recipient = match self.recipients {
            [only] => Some(&only.forward_path),
            _ => None,
        };
        let token = self.relay.tokens.as_ref().and_then(|tokens| {
            tokens.make(&Attribution {
                customer: self.admitted.customer.ip(),
                flag_id: self.admitted.flag_id(),
                treatment: self.admitted.treatment(),
                egress: self.admitted.egress(),
                at: now.timestamp(),
                id: self.id.to_owned(),
            })
        });
        Trace {
            ehlo: self.facts.ehlo.as_ref().unwrap_or(&nameless),
            client: self.admitted.customer.ip(),
            hostname: &identity.hostname,
            operator: &identity.operator,
            esmtp: self.facts.esmtp,
            tls: self.facts.tls,
            authenticated: self.user.is_some(),
            smtputf8: self.mail.smtputf8,
            id: self.id,
            token: token.as_deref(),
            recipient,
            date: &date,
        }
        .fields()
    }
}

/// `builtin=clean/3ms` or `rspamd=reject/12.5/40ms`.
fn word(report: &Report) -> String {
    let finding = match &report.finding {
        Finding::Clean => "clean",
        Finding::Reject { .. } => "reject",
        Finding::Defer { .. } => "defer",
        Finding::Failed { .. } => "failed",
    };
    let score = report
        .score
        .map_or_else(String::new, |score| format!("/{score:.1}"));
    format!(
        "{}={finding}{score}/{}ms",
        report.scanner,
        report.elapsed.as_millis()
    )
}
