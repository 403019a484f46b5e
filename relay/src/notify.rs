//! Notifications to senders: from what became of a queued message's recipients to a message of our own for the
//! spool.
//!
//! [`Notifier::at_the_end`] is called with the recipients of a message that are done, [`Notifier::of_delay`] with those
//! that have waited for long; both are given the head of the content, which [`head`] reads, and which is needed only where
//! [`Notifier::would`] says so. What comes out is a [`Queued`] with a null reverse-path and its content, signed; the
//! caller commits it together with the end of what it is about.
//!
//! A sender for whom nobody vouches is never written to, and neither is one whose domain, or whose customer, had its
//! share of notifications in this hour: what became of the recipients is an event then.
//!
//! # Diagnostics
//! Logged: `info` for each notification, and for each that was not made, with why and the recipients' domains and
//! status codes; `error` for a key that does not sign, which costs the signature and not the notification.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use relay_proto::address::{ForwardPath, Mailbox};
use relay_proto::dsn::{self, Head, Notice, Reporter, Untold};
use relay_proto::envelope::{BodyType, Mail, Recipient, TlsTag};
use relay_proto::queued::{Attempt, Cause, Egress, Outcome, QueueId, Queued, Source, UnixMillis};
use tracing::{error, info};

use crate::allowance::Allowance;
use crate::config::{Config, Identity, Notifications};
use crate::dkim::Signer;
use crate::listen::limits::counted_as;
use crate::message::Message;
use crate::metrics::{Counter, Metrics};
use crate::origin::CustomerAddr;

/// Makes notifications; shared by all that deliver.
#[derive(Debug)]
pub struct Notifier {
    current: RwLock<Arc<Current>>,
    hasher: RandomState,
    metrics: Arc<Metrics>,
}

/// What the configuration says.
#[derive(Debug)]
struct Current {
    identity: Identity,
    settings: Notifications,
    signer: Arc<Signer>,
    /// By a hash of the domain, which a stranger chooses: an entry has one size.
    domains: Arc<Allowance<u64>>,
    customers: Arc<Allowance<IpAddr>>,
}

/// Reads as much of a message as a notification may quote.
pub async fn head(message: &Message) -> io::Result<Head> {
    let (mut head, mut reader) = (Head::new(), message.reader());
    while let Some(block) = reader.next().await? {
        if !head.push(&block) {
            break;
        }
    }
    Ok(head)
}

impl Notifier {
    /// Notifications as `config` wants them, without a signature.
    #[must_use]
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let settings = config.notifications.clone();
        let current = Current {
            identity: config.identity.clone(),
            signer: Arc::default(),
            domains: Arc::new(Allowance::new(settings.per_domain_per_hour)),
            customers: Arc::new(Allowance::new(settings.per_customer_per_hour)),
            settings,
        };
        Self {
            current: RwLock::new(Arc::new(current)),
            hasher: RandomState::new(),
            metrics,
        }
    }

    /// From now on notifications are as `config` wants them, signed by `signer`. Shares that were used stay used, unless
    /// there are others now.
    pub fn reconfigure(&self, config: &Config, signer: Arc<Signer>) {
        let (old, new) = (self.current(), config.notifications.clone());
        let domains = if new.per_domain_per_hour == old.settings.per_domain_per_hour {
            Arc::clone(&old.domains)
        } else {
            Arc::new(Allowance::new(new.per_domain_per_hour))
        };
        let customers = if new.per_customer_per_hour == old.settings.per_customer_per_hour {
            Arc::clone(&old.customers)
        } else {
            Arc::new(Allowance::new(new.per_customer_per_hour))
        };
        let fresh = Arc::new(Current {
            identity: config.identity.clone(),
            settings: new,
            signer,
            domains,
            customers,
        });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// What signs notifications now.
    pub(crate) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.current().signer)
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is anything to tell or, for want of somebody who vouches, to log: only then the others need to be
    /// called, and the head of the message to be read.
    #[must_use]
    pub fn would(&self, queued: &Queued, attempts: &[Attempt]) -> bool {
        match Notice::of_the_end(queued, attempts) {
            Ok(_) | Err(Untold::NotVouched) => true,
            Err(Untold::NothingToTell | Untold::NullReversePath) => false,
        }
    }

    /// A notification of the end of these recipients, to be queued as `id`; [`Outcome::Deferred`] among them means
    /// that their time is up. `None` if nobody is to be told, which is logged if somebody would have liked to know.
    pub fn at_the_end(
        &self,
        id: QueueId,
        queued: &Queued,
        attempts: &[Attempt],
        head: &Head,
        now: UnixMillis,
    ) -> Option<(Queued, Message)> {
        let notice = Notice::of_the_end(queued, attempts);
        self.make(id, queued, attempts, notice, head, now)
    }

    /// A warning that these recipients do not have the message yet; the relay tries until `until`. The caller has asked
    /// [`Notifier::warning_is_due`].
    pub fn of_delay(
        &self,
        id: QueueId,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
        head: &Head,
        now: UnixMillis,
    ) -> Option<(Queued, Message)> {
        let notice = Notice::of_delay(queued, attempts, until);
        self.make(id, queued, attempts, notice, head, now)
    }

    /// Whether an attempt at `age` that was deferred is the one that the sender is warned of, if the configuration wants
    /// warnings. `previous` is the age at the attempt before it by the schedule (zero for the first).
    #[must_use]
    pub fn warning_is_due(&self, previous: Duration, age: Duration) -> bool {
        let after = self.current().settings.delay_after;
        after.is_some_and(|after| dsn::delay_is_due(after, previous, age))
    }

    fn make(
        &self,
        id: QueueId,
        queued: &Queued,
        attempts: &[Attempt],
        notice: Result<Notice<'_>, Untold>,
        head: &Head,
        now: UnixMillis,
    ) -> Option<(Queued, Message)> {
        let notice = match notice {
            Ok(notice) => notice,
            Err(Untold::NothingToTell | Untold::NullReversePath) => return None,
            Err(Untold::NotVouched) => {
                self.untold(
                    queued,
                    attempts,
                    Counter::NotVouched,
                    "nobody vouches for it",
                );
                return None;
            }
        };
        let current = self.current();
        if !self.has_share(&current, notice.sender(), &queued.source) {
            let why = "its domain or its customer had its share in this hour";
            self.untold(queued, attempts, Counter::NotificationsLimited, why);
            return None;
        }
        let reporter = Reporter {
            hostname: &current.identity.hostname,
            operator: &current.identity.operator,
            help_url: &current.identity.help_url,
            from: &current.settings.from,
        };
        let composed = notice.compose(&id.to_string(), &reporter, head, now, date);
        let content = signed(&current.signer, composed.octets);
        self.metrics.count(Counter::Notified);
        info!(
            queue.id = %queued.id,
            notification.id = %id,
            recipients = outcomes(queued, attempts),
            "notification to the sender"
        );
        let mut mail = Mail::new("<>".parse().expect("the null reverse-path is one"));
        mail.smtputf8 = composed.smtputf8;
        // RFC 8689 section 5: what it quotes of the message is protected in the same manner.
        if queued.mail.tls == TlsTag::Required {
            mail.tls = TlsTag::Required;
        }
        mail.body = composed.smtputf8.then_some(BodyType::EightBitMime);
        let to = ForwardPath::Mailbox(notice.sender().clone());
        let notification = Queued {
            id,
            arrived: now,
            source: Source::Relay,
            egress: Egress::Pool,
            mail,
            recipients: vec![Recipient::new(to)],
            trace: String::new(),
            may_notify: false,
            held: None,
        };
        Some((notification, Message::from(Bytes::from(content))))
    }

    fn has_share(&self, current: &Current, sender: &Mailbox, source: &Source) -> bool {
        let now = Instant::now();
        let domain = sender.domain().to_string().to_ascii_lowercase();
        let of_customer = match source {
            Source::Customer { address, .. } => {
                let customer = counted_as(CustomerAddr::new(*address));
                current.customers.take(customer, now)
            }
            Source::Relay => true,
        };
        of_customer && current.domains.take(self.hasher.hash_one(domain), now)
    }

    fn untold(&self, queued: &Queued, attempts: &[Attempt], counter: Counter, why: &'static str) {
        self.metrics.count(counter);
        info!(
            queue.id = %queued.id,
            why,
            recipients = outcomes(queued, attempts),
            "sender is not told"
        );
    }
}

/// `content` with its signatures on top.
fn signed(signer: &Signer, content: Vec<u8>) -> Vec<u8> {
    match signer.sign(&content) {
        Ok(mut fields) => {
            fields.extend_from_slice(&content);
            fields
        }
        Err(error) => {
            error!(%error, "a notification leaves without its DKIM signature");
            content
        }
    }
}

/// Domains and status codes, for the log: `example.org 5.1.1, example.com 451`.
fn outcomes(queued: &Queued, attempts: &[Attempt]) -> String {
    let of = |attempt: &Attempt| {
        let recipient = queued.recipients.get(attempt.recipient)?;
        let domain = recipient.forward_path.mailbox();
        let domain = domain.map_or_else(|| "postmaster".into(), |it| it.domain().to_string());
        let reply = match &attempt.outcome {
            Outcome::Delivered { reply, .. }
            | Outcome::Deferred(Cause::Reply(reply))
            | Outcome::Failed(Cause::Reply(reply)) => reply,
            Outcome::Deferred(Cause::Local { status, .. })
            | Outcome::Failed(Cause::Local { status, .. }) => {
                return Some(format!("{domain} {status}"));
            }
        };
        let enhanced = reply.enhanced().map(str::to_owned);
        let status = enhanced.unwrap_or_else(|| reply.code().to_string());
        Some(format!("{domain} {status}"))
    };
    let mut said: Vec<String> = attempts.iter().filter_map(of).take(LOGGED_MAX).collect();
    if let Some(more) = attempts.len().checked_sub(LOGGED_MAX + 1) {
        said.push(format!("and {} more", more + 1));
    }
    said.join(", ")
}

/// A moment as RFC 5322 section 3.3 has it.
pub(crate) fn date(moment: UnixMillis) -> String {
    let moment = i64::try_from(moment.0).ok();
    let moment = moment.and_then(|moment| Timestamp::from_millisecond(moment).ok());
    let moment = moment
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(TimeZone::UTC);
    rfc2822::to_string(&moment).unwrap_or_default()
}

/// Recipients in one event.
const LOGGED_MAX: usize = 20;

#[cfg(test)]
mod tests;
