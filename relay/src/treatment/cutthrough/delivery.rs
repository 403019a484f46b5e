//! From the customer's dot to the final reply: scan, decide, deliver, and pass on the answer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use relay_proto::client::LostCause;
use relay_proto::envelope::EhloName;
use relay_proto::header::Trace;
use relay_proto::reply::Reply;
use relay_proto::server::Answer;
use relay_proto::verdict::{Finding, Verdict, combine};
use tokio::time::timeout;
use tracing::{error, info};

use super::{Cutthrough, Facts, Transaction, elapsed_ms};
use crate::message::Message;
use crate::metrics::Counter;
use crate::outbound::{Lost, Upstream};
use crate::scan::{self, Report, Submission};
use crate::treatment::one_line;

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
    /// The destination has, or may have, all of the message.
    end_of_data_sent: bool,
}

impl Cutthrough {
    /// The message has been received whole: its final reply.
    pub(super) async fn message(&mut self, facts: Facts) -> Answer {
        let Some(mut transaction) = self.transaction.take() else {
            return Answer::Reply(Reply::new(451, "4.3.0", "no message is being received"));
        };
        let mut progress = Progress::default();
        let delivery = self.deliver(&mut transaction, &facts, &mut progress);
        let outcome = match timeout(FINAL_REPLY_DEADLINE, delivery).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                // The connection is in the middle of something that is not awaited any more.
                self.upstream = None;
                lost("no final reply in time", progress.end_of_data_sent)
            }
        };
        self.relay.metrics().count(outcome.counter);
        info!(
            queue.id = %transaction.id,
            verdict = outcome.verdict,
            reply.code = outcome.reply.code().value(),
            octets = progress.octets,
            recipients = transaction.recipients.len(),
            scanners = progress.scanners,
            tls.inbound = facts.tls,
            tls.outbound = self.upstream.as_ref().and_then(Upstream::tls_description),
            elapsed_ms = elapsed_ms(&transaction),
            "message outcome"
        );
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
        progress: &mut Progress,
    ) -> Outcome {
        let Some(intake) = transaction.intake.take() else {
            return lost("nothing was received", false);
        };
        let content = match intake.finish().await {
            Ok(content) => content,
            Err(error) => {
                self.withdraw().await;
                return spill_failed(&transaction.id, &error);
            }
        };
        progress.octets = content.octets();
        let verdict = self.scan(transaction, facts, &content, progress).await;
        if let Some(outcome) = self.refusal(&verdict, &transaction.id) {
            self.withdraw().await;
            return outcome;
        }
        let trace = self.trace_fields(transaction, facts);
        let Some(upstream) = &mut self.upstream else {
            return lost("the connection is gone", false);
        };
        match hand_over(upstream, &trace, &content, progress).await {
            Ok(reply) if reply.code().is_positive() => Outcome {
                verdict: "delivered",
                counter: Counter::Delivered,
                reply,
            },
            Ok(reply) => refused_by_destination(reply),
            Err(HandOverError::Message(error)) => {
                // Without its dot, what the destination has so far is no message.
                self.upstream = None;
                spill_failed(&transaction.id, &error)
            }
            Err(HandOverError::Lost(lost_upstream)) => {
                self.upstream = None;
                match lost_upstream.cause {
                    LostCause::Refused(reply) if !reply.code().is_positive() => {
                        refused_by_destination(reply)
                    }
                    cause => lost(&cause.to_string(), progress.end_of_data_sent),
                }
            }
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

/// Why a message could not be handed over.
#[derive(Debug)]
enum HandOverError {
    /// It cannot be read back.
    Message(std::io::Error),
    /// The destination is gone.
    Lost(Lost),
}

/// DATA, trace fields, content, dot: the destination's last word.
async fn hand_over(
    upstream: &mut Upstream,
    trace: &str,
    content: &Message,
    progress: &mut Progress,
) -> Result<Reply, HandOverError> {
    if let Some(reply) = upstream.data().await.map_err(HandOverError::Lost)? {
        return Ok(reply);
    }
    upstream
        .content(trace.as_bytes())
        .await
        .map_err(HandOverError::Lost)?;
    let mut reader = content.reader();
    while let Some(block) = reader.next().await.map_err(HandOverError::Message)? {
        upstream
            .content(&block)
            .await
            .map_err(HandOverError::Lost)?;
    }
    progress.end_of_data_sent = true;
    upstream.end_of_data().await.map_err(HandOverError::Lost)
}

fn refused_by_destination(reply: Reply) -> Outcome {
    Outcome {
        verdict: "refused-by-destination",
        counter: Counter::RefusedByDestination,
        reply,
    }
}

/// The destination went away. After the dot it may have the message all the same; RFC 5321 section 6.1
/// and RFC 1047 leave no better answer than to try again.
fn lost(why: &str, end_of_data_sent: bool) -> Outcome {
    let text = if end_of_data_sent {
        format!(
            "lost your destination after the whole message: {why}; it may arrive twice if you try again"
        )
    } else {
        format!("lost your destination: {why}; try again")
    };
    Outcome {
        verdict: "lost",
        counter: Counter::Lost,
        reply: Reply::new(451, "4.4.2", &text),
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

/// The sender waits at most ten minutes for the reply to its dot (RFC 5321 section 4.5.3.2.6), some
/// wait five. A message that was delivered after it stopped waiting arrives twice.
const FINAL_REPLY_DEADLINE: Duration = Duration::from_secs(270);
const RSET_DEADLINE: Duration = Duration::from_secs(10);
