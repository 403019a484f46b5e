//! One report on its way: where it is wanted, and the message or the request that brings it there.

use bytes::Bytes;
use jiff::civil::Date;
use relay_proto::address::{ForwardPath, Mailbox};
use relay_proto::envelope::{Mail, Recipient, TlsTag};
use relay_proto::queued::{Egress, Queued, Source};
use tracing::{error, info, warn};

use super::letter::{self, Letter};
use super::plan::Pending;
use super::post;
use super::published::{self, Endpoint};
use super::report::Report;
use super::{Inner, Means};
use crate::clock::unix_now;
use crate::dns::{Data, Dns, DnsName, Failure, Kind};
use crate::message::Message;
use crate::metrics::Counter;
use crate::notify;

impl Inner {
    /// Tells one domain of one day; what is left to be tried: endpoints, and `None` if these could not be found out.
    pub(super) async fn tell(&self, day: Date, domain: &str) -> Vec<Option<String>> {
        let endpoints = match endpoints(&self.means.dns, domain).await {
            Ok(endpoints) => endpoints,
            Err(failure) => {
                info!(%domain, %day, error = %failure, "where TLS reports are wanted is not known, trying again");
                return vec![None];
            }
        };
        let mut left = Vec::new();
        for endpoint in endpoints {
            let done = match &endpoint {
                Endpoint::Mail(to) => self.mail(day, domain, to).await,
                // It may take a minute, and others have their turn: it is noted first.
                Endpoint::Https { .. } => false,
            };
            if !done {
                left.push(Some(endpoint.to_string()));
            }
        }
        left
    }

    /// Tries again what was left; what is left now.
    pub(super) async fn try_again(&self, pending: &Pending) -> Vec<Option<String>> {
        let (day, domain) = (pending.day, pending.domain.as_str());
        let Some(uri) = &pending.to else {
            return self.tell(day, domain).await;
        };
        let done = match Endpoint::of(uri) {
            Some(Endpoint::Mail(to)) => self.mail(day, domain, &to).await,
            Some(Endpoint::Https { host, target }) => self.post(day, domain, &host, &target).await,
            // A later version knew it.
            None => true,
        };
        if done {
            Vec::new()
        } else {
            vec![pending.to.clone()]
        }
    }

    /// Hands the report over; whether it was taken.
    async fn post(&self, day: Date, domain: &str, host: &DnsName, target: &str) -> bool {
        let Some((_, file)) = self.report(day, domain) else {
            return true;
        };
        match post::post(&self.means.https, host, target, file).await {
            Ok(()) => {
                self.means.metrics.count(Counter::TlsReportsPosted);
                info!(%domain, %day, %host, "TLS report taken by HTTPS");
                true
            }
            Err(error) => {
                info!(%domain, %day, %host, %error, "TLS report not taken by HTTPS");
                false
            }
        }
    }

    /// Puts the report into the queue; whether it is on disk there.
    async fn mail(&self, day: Date, domain: &str, to: &Mailbox) -> bool {
        let Some((report, file)) = self.report(day, domain) else {
            return true;
        };
        let Means {
            queueing, notifier, ..
        } = &self.means;
        let from = &self.sender.terms.from;
        let now = unix_now();
        let id = queueing.spool().next_id(now);
        let letter = Letter {
            from,
            to,
            domain,
            id: &id.to_string(),
            date: &notify::date(now),
        };
        let content = letter::compose(&letter, &report, &file, self.sender.reporting());
        let mut signed = match notifier.signer().sign(&content) {
            Ok(signature) if !signature.is_empty() => signature,
            // The key can have gone from the configuration since the start.
            Ok(_) => {
                warn!(%domain, %day, "TLS report not sent: no [[dkim]] signs own mail any more");
                return true;
            }
            Err(error) => {
                error!(%domain, %day, %error, "TLS report not sent: it cannot be signed");
                return true;
            }
        };
        signed.extend_from_slice(&content);
        let reverse_path = format!("<{from}>").parse();
        let mut mail = Mail::new(reverse_path.expect("the configuration has a mailbox there"));
        mail.tls = TlsTag::Optional;
        let queued = Queued {
            id,
            arrived: now,
            source: Source::Relay,
            egress: Egress::Pool,
            mail,
            recipients: vec![Recipient::new(ForwardPath::Mailbox(to.clone()))],
            trace: String::new(),
            may_notify: false,
            held: None,
        };
        let message = Message::from(Bytes::from(signed));
        match queueing.spool().store(&queued, &message).await {
            Ok(kept) => {
                queueing.begin(kept, &queued, &[0]);
                self.means.metrics.count(Counter::TlsReportsMailed);
                info!(queue.id = %id, %domain, %day, report = report.report_id, "TLS report queued");
                true
            }
            Err(error) => {
                warn!(%domain, %day, %error, "a TLS report cannot be queued, trying again");
                false
            }
        }
    }

    /// The report and its file.
    fn report(&self, day: Date, domain: &str) -> Option<(Report, Vec<u8>)> {
        let counted = self.means.results.of(day, domain);
        if counted.is_empty() {
            // Results were lost, or put aside, while it waited.
            info!(%domain, %day, "TLS report not sent: there are no results any more");
            return None;
        }
        let report = Report::of(day, domain, &counted, self.sender.reporting());
        match report.gzip() {
            Ok(file) => Some((report, file)),
            Err(error) => {
                error!(%domain, %day, %error, "TLS report not sent: it cannot be written");
                None
            }
        }
    }
}

/// Where `domain` wants its reports.
pub(super) async fn endpoints(dns: &Dns, domain: &str) -> Result<Vec<Endpoint>, Failure> {
    let name = DnsName::new(domain).ok();
    let Some(name) = name.and_then(|domain| domain.below("_smtp._tls")) else {
        return Ok(Vec::new());
    };
    let found = dns.look_up(&name, Kind::Txt).await?;
    let texts = found.answer.data().iter().filter_map(|data| match data {
        Data::Text(text) => Some(&**text),
        Data::Address(_) | Data::Exchanger { .. } | Data::Tlsa { .. } | Data::Other => None,
    });
    Ok(published::endpoints(texts))
}
