//! From the customer's dot to the final reply: scan, decide, deliver, and pass on the answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use relay_proto::envelope::EhloName;
use relay_proto::header::Trace;
use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use relay_proto::verdict::{Finding, Verdict, combine};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info};

use super::doubt::{self, InDoubt};
use super::{Cutthrough, Facts, Transaction, elapsed_ms};
use crate::egress::Way;
use crate::message::Message;
use crate::metrics::Counter;
use crate::scan::{self, Report, Submission};
use crate::treatment::one_line;

mod handover;

/// What became of a message.
#[derive(Debug)]
struct Outcome {
    /// One word for the log.
    verdict: &'static str,
    counter: Counter,
    reply: Reply,
}

/// What is known about a delivery while it runs, also if it is cut off.
#[derive(Debug, Default)]
struct Progress {
    octets: u64,
    scanners: String,
    /// The message, once it is whole.
    message: Option<InDoubt>,
}

/// A message that may pass, and by when.
#[derive(Debug)]
struct Passed {
    content: Message,
    /// Our trace fields, which go above it.
    trace: String,
    /// When the customer's dot came.
    received: Instant,
}

impl Cutthrough {
    /// The message has been received whole: its final reply.
    pub(super) async fn message(&mut self, facts: Facts) -> Answer {
        let received = Instant::now();
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Reply(Reply::new(451, "4.3.0", "no message is being received"));
        };
        let mut progress = Progress::default();
        let outcome = self
            .deliver(&mut transaction, &facts, received, &mut progress)
            .await;
        self.relay.metrics().count(outcome.counter);
        // Session parity: of each leg the version, the cipher, and how the peer's name was verified. Customers
        // show no certificate; of destinations any is taken.
        let outbound = transaction.destinations_leg;
        info!(
            queue.id = %transaction.id,
            verdict = outcome.verdict,
            reply.code = outcome.reply.code().value(),
            octets = progress.octets,
            egress.way = self.way.as_ref().map(Way::name).map(|name| &**name),
            recipients = transaction.recipients.len(),
            scanners = progress.scanners,
            tls.inbound.version = facts.leg.version(),
            tls.inbound.cipher = facts.leg.cipher(),
            tls.inbound.verified = "none",
            tls.outbound.version = outbound.version(),
            tls.outbound.cipher = outbound.cipher(),
            tls.outbound.verified = if outbound.is_tls() { "opportunistic" } else { "none" },
            elapsed_ms = elapsed_ms(&transaction),
            "message outcome"
        );
        if let Some(message) = progress.message
            && outcome.reply.code().is_positive()
        {
            self.doubt(message);
        }
        if outcome.reply.code() == 421 {
            Answer::ReplyAndClose(outcome.reply)
        } else {
            Answer::Reply(outcome.reply)
        }
    }

    async fn deliver(
        &mut self,
        transaction: &mut Transaction,
        facts: &Facts,
        received: Instant,
        progress: &mut Progress,
    ) -> Outcome {
        let Some(intake) = transaction.intake.take() else {
            return lost("nothing was received");
        };
        let deadline = received + DATA_DEADLINE;
        let content = match timeout_at(deadline, intake.finish()).await {
            Ok(Ok(content)) => content,
            Ok(Err(error)) => {
                self.withdraw().await;
                return spill_failed(&transaction.id, &error);
            }
            Err(_elapsed) => {
                self.withdraw().await;
                return late();
            }
        };
        progress.octets = content.octets();
        let message = self.identify(transaction, &content).await;
        progress.message = Some(message);
        if self.relay.unheard.take(message.fingerprint).await {
            self.withdraw().await;
            return already_delivered(&transaction.id);
        }
        let scan = self.scan(transaction, facts, &content, progress);
        let Ok(verdict) = timeout_at(deadline, scan).await else {
            self.withdraw().await;
            return late();
        };
        if let Some(outcome) = self.refusal(&verdict, &transaction.id) {
            self.withdraw().await;
            return outcome;
        }
        let passed = Passed {
            content,
            trace: self.trace_fields(transaction, facts),
            received,
        };
        self.hand_over(transaction, facts, &passed).await
    }

    async fn identify(&self, transaction: &mut Transaction, content: &Message) -> InDoubt {
        let hash = std::mem::take(&mut transaction.hash);
        let customer = self.admitted.customer;
        let reverse_path = &transaction.mail.reverse_path;
        InDoubt {
            fingerprint: hash.fingerprint(customer, reverse_path, &transaction.recipients),
            // What cannot be read back cannot be delivered either.
            names_itself: doubt::names_itself(content).await.unwrap_or(false),
        }
    }

    async fn scan(
        &self,
        transaction: &Transaction,
        facts: &Facts,
        content: &Message,
        progress: &mut Progress,
    ) -> Verdict {
        let submission = Submission {
            id: transaction.id.clone(),
            client: self.admitted.customer.ip(),
            ehlo: facts.ehlo.clone(),
            mail: transaction.mail.clone(),
            recipients: transaction.recipients.clone(),
            content: content.clone(),
        };
        let scanners = if self.scanned {
            &self.relay.scanners[..]
        } else {
            &[]
        };
        let reports = scan::scan(scanners, Arc::new(submission)).await;
        for report in &reports {
            if matches!(report.finding, Finding::Failed { .. }) {
                self.relay.metrics().count(Counter::ScannerFailed);
            }
        }
        progress.scanners = reports.iter().map(summary).collect::<Vec<_>>().join(" ");
        combine(reports.into_iter().map(|report| report.finding))
    }

    /// The outcome of a message that must not pass; `None` if it may.
    fn refusal(&self, verdict: &Verdict, id: &str) -> Option<Outcome> {
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
                let reply = verdict.reply(id, help_url)?;
                Some(Outcome {
                    verdict: "rejected",
                    counter: Counter::Rejected,
                    reply,
                })
            }
            Verdict::Defer { .. } => {
                let reply = verdict.reply(id, help_url)?;
                Some(Outcome {
                    verdict: "deferred",
                    counter: Counter::Deferred,
                    reply,
                })
            }
        }
    }

    /// Takes the transaction back from a destination that has seen none of the content; the connection
    /// is kept for the next one.
    async fn withdraw(&mut self) {
        let Some(upstream) = &mut self.upstream else {
            return;
        };
        // The customer waits for its reply, and this one changes nothing for it.
        if !matches!(timeout(RSET_DEADLINE, upstream.reset()).await, Ok(Ok(()))) {
            self.upstream = None;
        }
    }

    fn trace_fields(&self, transaction: &Transaction, facts: &Facts) -> String {
        let identity = &self.relay.config.identity;
        let nameless = EhloName::new("unknown").expect("a visible word is a name");
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let date = rfc2822::to_string(&now).expect("the present has a date of RFC 5322");
        let recipient = match &transaction.recipients[..] {
            [only] => Some(&only.forward_path),
            _ => None,
        };
        Trace {
            ehlo: facts.ehlo.as_ref().unwrap_or(&nameless),
            client: self.admitted.customer.ip(),
            hostname: &identity.hostname,
            operator: &identity.operator,
            esmtp: facts.esmtp,
            tls: facts.tls,
            smtputf8: transaction.mail.smtputf8,
            id: &transaction.id,
            recipient,
            date: &date,
        }
        .fields()
    }
}

fn refused_by_destination(reply: Reply) -> Outcome {
    Outcome {
        verdict: "refused-by-destination",
        counter: Counter::RefusedByDestination,
        reply,
    }
}

/// A message that the destination took on an earlier connection, whose 250 got lost.
fn already_delivered(id: &str) -> Outcome {
    let text =
        format!("your destination took this message before, when our answer got lost id={id}");
    Outcome {
        verdict: "already-delivered",
        counter: Counter::AlreadyDelivered,
        reply: Reply::new(250, "2.0.0", &text),
    }
}

/// The destination went away before it had the whole message.
fn lost(why: &str) -> Outcome {
    Outcome {
        verdict: "lost",
        counter: Counter::Lost,
        reply: Reply::new(
            451,
            "4.4.2",
            &format!("lost your destination: {why}; try again"),
        ),
    }
}

/// The destination went away after the dot, and may have the message all the same; RFC 5321 section 6.1
/// and RFC 1047 leave no better answer than to try again.
fn lost_after_dot(why: &str) -> Outcome {
    let text = format!(
        "lost your destination after the whole message: {why}; it may arrive twice if you try again"
    );
    Outcome {
        verdict: "lost-after-dot",
        counter: Counter::LostAfterDot,
        reply: Reply::new(451, "4.4.2", &text),
    }
}

/// Too much of the time in which the sender waits for its reply has gone by.
fn late() -> Outcome {
    let text = "could not be delivered in time, and nothing was sent; try again";
    Outcome {
        verdict: "late",
        counter: Counter::Late,
        reply: Reply::new(451, "4.4.2", text),
    }
}

fn spill_failed(id: &str, error: &std::io::Error) -> Outcome {
    error!(queue.id = %id, %error, "a message does not fit; look at message.spill_dir");
    let text = format!("no room for your message now, try again id={id}");
    Outcome {
        verdict: "no-room",
        counter: Counter::SpillFailed,
        reply: Reply::new(452, "4.3.1", &text),
    }
}

/// `builtin=clean/3ms` or `rspamd=reject/12.5/40ms`.
fn summary(report: &Report) -> String {
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

/// How long after the customer's dot the destination may be told DATA. The sender waits ten minutes for
/// the reply to its dot (RFC 5321 section 4.5.3.2.6), some wait five; a message that arrives after that
/// arrives twice.
const DATA_DEADLINE: Duration = Duration::from_secs(270);
/// How long after the customer's dot the destination may be sent ours. A large message on a slow line
/// needs more than what [`DATA_DEADLINE`] leaves, and would otherwise never arrive. A sender that has not
/// waited for it finds its retry answered from [`crate::unheard`].
const DOT_DEADLINE: Duration = Duration::from_secs(540);
const RSET_DEADLINE: Duration = Duration::from_secs(10);
