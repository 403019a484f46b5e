//! What every message goes through before it may go anywhere: the scanners, and the refusal if they want one; and the
//! trace fields of those that pass.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use contract::{Tier, words};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::header::Trace;
use relay_proto::verdict::{Concern, Finding, Judgement, Report, Verdict};
use tracing::warn;

use super::outcome::Outcome;
use crate::Relay;
use crate::admission::Admitted;
use crate::inbound::session::Facts;
use crate::listen::limits::counted_as;
use crate::message::Message;
use crate::metrics::Counter;
use crate::origin::OriginalDst;
use crate::scan::{Judged, Submission};
use crate::token::Attribution;
use crate::vouch::Patience;

/// What the scanners have said about a message so far.
#[derive(Debug, Default)]
pub(super) struct Asked {
    reports: Vec<Report>,
    /// The site inside of the customer's host that it came from, if a rule names one.
    site: Option<String>,
}

impl Asked {
    pub(super) fn reports(&self) -> &[Report] {
        &self.reports
    }

    pub(super) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// It came from there.
    pub(super) fn came_from(&mut self, site: Option<String>) {
        self.site = site;
    }

    /// What they saw, each with its scanner.
    pub(super) fn reasons(&self) -> Vec<String> {
        let of = |report: &Report| {
            let scanner = report.scanner;
            let reasons = report.reasons.iter().take(REASONS_MAX);
            let reasons = reasons.map(move |reason| format!("{scanner}: {reason}"));
            reasons.collect::<Vec<_>>()
        };
        self.reports.iter().flat_map(of).collect()
    }
}

/// Each one's word.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, report) in self.reports.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{report}")?;
        }
        Ok(())
    }
}

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
    /// Asks those scanners that need no content; the outcome of a message that need not come.
    pub(super) async fn before_data(&self, asked: &mut Asked) -> Option<Outcome> {
        if !self.relay.scanners.asks_before_data(self.tier()) {
            return None;
        }
        let submission = self.submission(&Message::from(Bytes::new()));
        let answers = self.relay.scanners.before_data(self.tier(), submission);
        let Judged { reports, judgement } = answers.await;
        self.count(&reports);
        asked.reports = reports;
        match judgement.verdict {
            // What it means that somebody could not look is decided with all the others' words.
            Verdict::Accept { .. } | Verdict::Hold { .. } => None,
            Verdict::Defer { .. } | Verdict::Reject { .. } => {
                self.tell_of_spam(&judgement);
                self.refusal(&judgement)
            }
        }
    }

    /// What all scanners together say, those that were asked before among them.
    pub(super) async fn scan(&self, content: &Message, asked: &mut Asked) -> Judgement {
        let before = std::mem::take(&mut asked.reports);
        let counted = before.len();
        let submission = self.submission(content);
        let answers = self.relay.scanners.at_dot(self.tier(), submission, before);
        let Judged { reports, judgement } = answers.await;
        self.count(reports.get(counted..).unwrap_or_default());
        asked.reports = reports;
        self.tell_of_spam(&judgement);
        judgement
    }

    fn tell_of_spam(&self, judgement: &Judgement) {
        if judgement.concern == Some(Concern::Spam) {
            let customer = self.admitted.customer.ip();
            self.relay.behaviour.of(customer).sent_spam();
        }
    }

    /// The outcome of a message that must not pass; `None` if it may.
    pub(super) fn refusal(&self, judgement: &Judgement) -> Option<Outcome> {
        let help_url = &self.relay.config.identity.help_url;
        match &judgement.verdict {
            Verdict::Accept { limited: false } | Verdict::Hold { .. } => None,
            Verdict::Accept { limited: true } => self.unscanned(),
            Verdict::Reject { reason, keep } => {
                // Why its mail is looked at at all is the first thing that a refused customer asks.
                let flagged = self.admitted.reason().map_or_else(String::new, |reason| {
                    format!(" ({})", words::filtered(self.admitted.customer, reason))
                });
                let verdict = Verdict::Reject {
                    reason: format!("{reason}{flagged}"),
                    keep: *keep,
                };
                let reply = verdict.reply(self.id, help_url)?;
                Some(Outcome {
                    verdict: "rejected",
                    counter: Counter::Rejected,
                    reply,
                })
            }
            verdict @ Verdict::Defer { .. } => {
                let reply = verdict.reply(self.id, help_url)?;
                Some(Outcome {
                    verdict: "deferred",
                    counter: Counter::Deferred,
                    reply,
                })
            }
        }
    }

    /// A scanner has failed whose customers may send a few messages all the same.
    fn unscanned(&self) -> Option<Outcome> {
        let customer = counted_as(self.admitted.customer);
        if self.relay.unscanned.take(customer, Instant::now()) {
            self.relay.metrics().count(Counter::PassedUnscanned);
            return None;
        }
        let per_hour = self.relay.config.verdict.unscanned_per_hour;
        let reason = format!(
            "a content scanner is not available, and {} has sent more than {per_hour} messages in an hour without it; \
             try again later",
            self.admitted.customer
        );
        let reply =
            Verdict::Defer { reason }.reply(self.id, &self.relay.config.identity.help_url)?;
        Some(Outcome {
            verdict: "deferred",
            counter: Counter::UnscannedLimited,
            reply,
        })
    }

    /// What of the customer's mail may be looked at.
    pub(super) fn tier(&self) -> Tier {
        let own = self.admitted.policy.as_ref().and_then(|policy| policy.tier);
        self.relay.scanners.tier(own)
    }

    fn submission(&self, content: &Message) -> Submission {
        Submission {
            id: self.id.to_owned(),
            client: self.admitted.customer.ip(),
            user: self.user.map(str::to_owned),
            ehlo: self.facts.ehlo.clone(),
            mail: self.mail.clone(),
            recipients: self.recipients.to_vec(),
            content: content.clone(),
        }
    }

    fn count(&self, reports: &[Report]) {
        let metrics = self.relay.metrics();
        for report in reports {
            if matches!(report.finding, Finding::Failed { .. }) {
                metrics.count(Counter::ScannerFailed);
            }
            metrics.scanners().count(report);
            let outcome = match &report.finding {
                // Nobody knows.
                Finding::Skipped => continue,
                Finding::Failed { .. } => Err(report.reasons.join("; ")),
                Finding::Clean
                | Finding::Found { .. }
                | Finding::Defer { .. }
                | Finding::Unscannable { .. } => Ok(()),
            };
            self.relay.reporter().scanner(report.scanner, outcome);
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

    pub(super) fn trace_fields(&self) -> String {
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

/// Of one scanner; the weightiest come first.
const REASONS_MAX: usize = 20;
