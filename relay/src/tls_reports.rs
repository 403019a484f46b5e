//! Reports to domains about the TLS of their servers (RFC 8460), of what [`results`](crate::outbound::results) has counted.
//!
//! [`Reporter::run`] sends each finished day's reports in the course of the next: it asks the domain where it wants them
//! (`published`), and puts a signed message into the queue, or hands the report over by HTTPS (`telling`). When each is due is
//! `plan`'s; `kept` is what was sent. [`preview`](preview()) is what would be sent, for a person.
//!
//! A report is sent before it is noted that it was, so a crash in between sends it once more, under the same name. Mail with
//! reports is delivered whatever the domain's policy says, and its sessions are not counted: a report is never about the
//! delivery of reports.
//!
//! # Diagnostics
//! Logged: `info` for each report, and each that was not delivered; `warn` if it cannot be noted, and then nothing more is
//! sent until it can; `error` for a key that does not sign.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tracing::info;

use crate::config::{Config, TlsReports};
use crate::dns::Dns;
use crate::https::Https;
use crate::metrics::{Counter, Metrics};
use crate::notify::Notifier;
use crate::outbound::results::Results;
use crate::queueing::Queueing;

mod kept;
mod letter;
mod plan;
mod post;
mod preview;
mod published;
mod report;
mod telling;

use plan::{Progress, Turn};
pub use preview::{Preview, Unknown, preview};
pub use report::Report;
use report::Reporting;

/// What a reporter needs of the rest of the relay.
#[derive(Debug, Clone)]
pub(crate) struct Means {
    pub(crate) dns: Dns,
    pub(crate) https: Https,
    pub(crate) results: Results,
    pub(crate) queueing: Queueing,
    /// Knows the keys that are in force.
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Sends them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    means: Means,
    sender: Sender,
    file: PathBuf,
}

/// Who reports.
#[derive(Debug, Clone)]
struct Sender {
    terms: TlsReports,
    hostname: String,
}

impl Reporter {
    /// Sends reports as `config` wants them; `None` if it wants none.
    pub(crate) fn open(config: &Config, means: Means) -> Option<Self> {
        let sender = Sender::of(config)?;
        let file = config.state_dir.join("tls-reports.json");
        Some(Self(Arc::new(Inner {
            means,
            sender,
            file,
        })))
    }

    /// Sends what is due, for ever.
    pub(crate) async fn run(self) {
        let mut progress = kept::load(&self.0.file).await;
        let mut turns = BTreeMap::new();
        let mut kept = true;
        loop {
            // What was sent and is not noted would be sent again after a crash; it shall not become more.
            if kept || kept::keep(&self.0.file, &progress).await {
                kept = self.pass(&mut progress, &mut turns).await;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Sends what is due now; whether all of it is noted.
    async fn pass(&self, progress: &mut Progress, turns: &mut BTreeMap<Date, Vec<Turn>>) -> bool {
        let now = Timestamp::now();
        progress.forget(now);
        let results = &self.0.means.results;
        let finished = results.finished(now.to_zoned(TimeZone::UTC).date());
        let reported = finished.into_iter();
        let reported: Vec<Date> = reported
            .filter(|day| plan::is_reported(*day, now))
            .collect();
        turns.retain(|day, _| reported.contains(day));
        for day in reported {
            let turns = turns.entry(day).or_insert_with(|| {
                let domains = results.domains(day);
                plan::turns(day, &domains, &self.0.sender.hostname)
            });
            if !self.send_due(progress, day, turns).await {
                return false;
            }
        }
        self.try_again(progress).await
    }

    /// Sends the reports of one day that are due, some at a time.
    async fn send_due(&self, progress: &mut Progress, day: Date, turns: &[Turn]) -> bool {
        loop {
            let now = Timestamp::now();
            let due = progress.due(day, turns, now).take(AT_ONCE);
            let due: Vec<Turn> = due.cloned().collect();
            let Some(last) = due.last() else {
                return true;
            };
            let mut telling = JoinSet::new();
            for Turn { domain, .. } in due.iter().cloned() {
                let inner = Arc::clone(&self.0);
                telling.spawn(async move { (inner.tell(day, &domain).await, domain) });
            }
            for (left, domain) in telling.join_all().await {
                self.add(progress, day, &domain, left);
            }
            progress.reach(day, last);
            if !kept::keep(&self.0.file, progress).await {
                return false;
            }
        }
    }

    /// Delivers, and finds out, what could not be before.
    async fn try_again(&self, progress: &mut Progress) -> bool {
        loop {
            let now = Timestamp::now();
            let due = progress.take_due(now, AT_ONCE);
            if due.is_empty() {
                return true;
            }
            let mut trying = JoinSet::new();
            for pending in due {
                let inner = Arc::clone(&self.0);
                trying.spawn(async move { (inner.try_again(&pending).await, pending) });
            }
            for (left, pending) in trying.join_all().await {
                if left.contains(&pending.to) {
                    let (day, domain) = (pending.day, pending.domain.clone());
                    if !progress.put_back(pending, now) {
                        self.give_up(day, &domain, "tried for a day");
                    }
                } else {
                    // Where it is wanted is known now.
                    self.add(progress, pending.day, &pending.domain, left);
                }
            }
            if !kept::keep(&self.0.file, progress).await {
                return false;
            }
        }
    }

    fn add(&self, progress: &mut Progress, day: Date, domain: &str, left: Vec<Option<String>>) {
        for to in left {
            if !progress.add(day, domain, to, Timestamp::now()) {
                self.give_up(day, domain, "too many others are to be tried again");
            }
        }
    }

    fn give_up(&self, day: Date, domain: &str, why: &'static str) {
        self.0.means.metrics.count(Counter::TlsReportsFailed);
        info!(%domain, %day, why, "TLS report given up");
    }
}

impl Sender {
    fn of(config: &Config) -> Option<Self> {
        let terms = config.tls_reports.clone()?;
        Some(Self {
            terms,
            hostname: config.identity.hostname.clone(),
        })
    }

    fn reporting(&self) -> Reporting<'_> {
        let submitter = self.terms.from.rsplit_once('@');
        Reporting {
            organization: &self.terms.organization,
            contact: &self.terms.contact,
            submitter: submitter.map_or("", |(_, domain)| domain),
            hostname: &self.hostname,
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(30);
/// Domains that are asked, and endpoints that are spoken to, at the same time.
const AT_ONCE: usize = 16;
