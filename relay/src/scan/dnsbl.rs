//! The scanner that asks lists in the DNS about the customer's address.
//!
//! It needs nothing of the message, and is asked before the content comes. Who has logged in is not asked about: lists of
//! addresses that should send no mail by themselves have everybody's desk on them.

use std::sync::Arc;

use relay_proto::verdict::Finding;

use super::lists::{Host, Lists};
use super::{Opinion, Scan, Scanner, Stage, Submission, Terms};
use crate::config::DnsblConfig;
use crate::dns::Dns;

/// The scanner.
#[derive(Debug)]
pub(super) struct Dnsbl(Lists);

impl Dnsbl {
    /// Asks by `dns`.
    pub(super) fn new(config: &DnsblConfig, dns: Dns) -> Self {
        let mut zones = config.zones.clone();
        for zone in &mut zones {
            zone.addresses = true;
        }
        Self(Lists {
            scanner: "dnsbl",
            dns,
            zones,
            deadline: config.deadline,
            on_error: config.on_error,
            told: ToString::to_string,
        })
    }

    async fn ask(&self, submission: &Submission) -> Opinion {
        if submission.user.is_some() {
            return Finding::Skipped.into();
        }
        let host = Host::Address(submission.client.to_canonical());
        self.0.ask(&submission.id, &[host]).await
    }
}

impl Scanner for Dnsbl {
    fn terms(&self) -> Terms {
        Terms {
            name: self.0.scanner,
            stage: Stage::Envelope,
            deadline: self.0.deadline,
            on_error: self.0.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { Ok(self.ask(&submission).await) })
    }
}
