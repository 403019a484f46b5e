//! What goes through the admin door, as JSON; both sides share it.
//!
//! `POST /v1/queue/list` with a [`ListQuestion`] → [`Listing`]; `GET /v1/queue/messages/ID` → [`MessageShown`];
//! `GET /v1/queue/stats` → [`StatsShown`]; `POST /v1/queue/orders` with an [`Order`] → [`Done`];
//! `POST /v1/queue/pauses` with a [`PauseOrder`] → [`PauseDone`]; `POST /v1/spool/transfer` with a [`TransferOrder`], and
//! `GET` and `DELETE` (which cancels it) of the same → [`Progress`](crate::handover::Progress). Errors are [`Refused`] with a status of 400 and more.

use std::net::{IpAddr, SocketAddr};

use relay_proto::queue::{Filter, JobState, Pause};
use relay_proto::queued::Egress;
use serde::{Deserialize, Serialize};

/// Which jobs are meant: all conditions that are there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// One message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Address or prefix of the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Domain of the sender; `<>` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Domain of the recipients; with a dot in front, all below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Name of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// `pool`, `customer` or `socks5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// `scheduled`, `waiting`, `ready`, `in-flight` or `held`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Older than so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_seconds: Option<u64>,
    /// Younger than so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than_seconds: Option<u64>,
}

/// Asks for a page of jobs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListQuestion {
    /// Which.
    pub wanted: Wanted,
    /// Where to go on: [`Listing::next`] of the page before.
    pub after: u32,
    /// So many at most; at most 10000.
    pub limit: usize,
}

/// A page of jobs, in no particular order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    /// They.
    pub jobs: Vec<JobShown>,
    /// There may be more: where to go on.
    pub next: Option<u32>,
}

/// One message's recipients of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShown {
    /// The message.
    pub id: String,
    /// When it arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// Octets of its content.
    pub octets: u64,
    /// The customer; absent if the relay itself has sent it.
    pub customer: Option<IpAddr>,
    /// Domain of the sender; empty for `<>`.
    pub sender: String,
    /// Domain of the recipients.
    pub domain: String,
    /// How many recipients are not done.
    pub recipients: usize,
    /// Where it shall leave from.
    pub egress: String,
    /// Where it is.
    pub state: String,
    /// When it is, or was, due.
    pub due_ms: u64,
    /// The site that it goes to, if that is known.
    pub site: Option<String>,
    /// Why it was last deferred, if that is remembered.
    pub reason: Option<String>,
}

/// A message with its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageShown {
    /// Its name.
    pub id: String,
    /// The sender, `<>` for none.
    pub from: String,
    /// What the customer called itself.
    pub ehlo: Option<String>,
    /// Where the customer's connection was going.
    pub original_dst: Option<String>,
    /// The flag that diverted it.
    pub flag_id: Option<u32>,
    /// Who submitted it. An older relay does not say.
    #[serde(default)]
    pub user: Option<String>,
    /// Until when it is tried, in milliseconds since 1970.
    pub until_ms: u64,
    /// Its recipients that are not done, by domain.
    pub jobs: Vec<Addressed>,
}

/// A job with the addresses of its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// What is known of it.
    #[serde(flatten)]
    pub job: JobShown,
    /// Its recipients.
    pub to: Vec<String>,
}

/// What shall be done to jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Try them now.
    Flush,
    /// Do not try them until they are released.
    Hold,
    /// Try them again, as of now.
    Release,
    /// End them without telling anybody.
    Delete,
    /// Look up their routes anew, and try them now.
    Requeue,
}

/// Asks for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub verb: Verb,
    /// To which.
    pub wanted: Wanted,
    /// All are meant: needed where no condition is given.
    #[serde(default)]
    pub all: bool,
    /// Only count.
    #[serde(default)]
    pub dry_run: bool,
    /// Why; needed for [`Verb::Delete`], and logged.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What came of an [`Order`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Jobs that were meant.
    pub matched: u64,
    /// Those of them that it was done to, or would be; the others were like that already.
    pub changed: u64,
    /// Those of them that were being attempted: it is done to them when they come back.
    pub in_flight: u64,
    /// Those of them that could not be removed from the spool; the log says why.
    pub failed: u64,
}

/// Pauses something, or lets it go on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PauseOrder {
    /// It is to go on.
    pub resume: bool,
    /// Everything.
    pub everything: bool,
    /// A recipient domain.
    pub domain: Option<String>,
    /// A site.
    pub site: Option<String>,
}

/// What came of a [`PauseOrder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseDone {
    /// It was not so before.
    pub changed: bool,
}

/// The queue in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsShown {
    /// Jobs that will be due.
    pub scheduled: usize,
    /// Jobs that wait for a route, or are paused.
    pub waiting: usize,
    /// Jobs that wait for a connection.
    pub ready: usize,
    /// Jobs that are being attempted.
    pub in_flight: usize,
    /// Jobs that a person holds.
    pub held: usize,
    /// Connections.
    pub connections: u32,
    /// Sites that are taken for dead.
    pub dead_sites: usize,
    /// Age of the oldest message.
    pub oldest_age_seconds: u64,
    /// Recipients since the start of the relay: delivered.
    pub delivered: u64,
    /// Refused for good.
    pub failed: u64,
    /// Given up.
    pub expired: u64,
    /// Deferrals.
    pub deferred: u64,
    /// What is paused: `everything`, `domain example.org`, `site mx.example.org`.
    pub paused: Vec<String>,
}

/// Hands all that is queued over to another relay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferOrder {
    /// Its name in the configuration, or how a person has named it.
    pub to: String,
    /// Where it takes mail, if it is not named as in the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Only ask whether it would take mail.
    pub dry_run: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For people.
    pub error: String,
}

impl Wanted {
    /// As the scheduler takes it; ages count from `now_ms` back.
    pub fn filter(&self, now_ms: u64) -> Result<Filter, Refused> {
        let ago = |seconds: u64| now_ms.saturating_sub(seconds.saturating_mul(1000));
        let sender = self.sender.as_deref().map(|sender| match sender {
            "<>" => String::new(),
            domain => domain.to_lowercase(),
        });
        Ok(Filter {
            id: parsed(self.id.as_deref(), |text| {
                text.parse().map_err(|wrong| format!("{wrong}"))
            })?,
            customer: parsed(self.customer.as_deref(), |text| {
                text.parse().map_err(|wrong| format!("{wrong}"))
            })?,
            sender,
            domain: self.domain.as_deref().map(str::to_lowercase),
            site: self.site.clone(),
            egress: parsed(self.egress.as_deref(), |text| {
                egress(text).ok_or_else(|| "must be pool, customer or socks5".into())
            })?,
            state: parsed(self.state.as_deref(), |text| {
                let known = JobState::ALL.map(JobState::name).join(", ");
                JobState::from_name(text).ok_or_else(|| format!("must be one of: {known}"))
            })?,
            arrived_before_ms: self.older_than_seconds.map(ago),
            arrived_after_ms: self.younger_than_seconds.map(ago),
        })
    }
}

impl PauseOrder {
    /// What it is about: one thing.
    pub fn pause(&self) -> Result<Pause, Refused> {
        let pauses = [
            self.everything.then_some(Pause::Everything),
            self.domain
                .as_ref()
                .map(|domain| Pause::Domain(domain.to_lowercase())),
            self.site.clone().map(Pause::Site),
        ];
        let mut pauses = pauses.into_iter().flatten();
        match (pauses.next(), pauses.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Refused {
                error: "say one of: a domain, a site, everything".into(),
            }),
        }
    }
}

fn parsed<T>(
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let parsed = parse(text).map_err(|problem| Refused {
        error: format!("{text}: {problem}"),
    })?;
    Ok(Some(parsed))
}

fn egress(name: &str) -> Option<Egress> {
    [Egress::Pool, Egress::Customer, Egress::Socks5]
        .into_iter()
        .find(|egress| egress_name(*egress) == name)
}

/// The policy's word for an egress.
pub(super) fn egress_name(egress: Egress) -> &'static str {
    match egress {
        Egress::Pool => "pool",
        Egress::Customer => "customer",
        Egress::Socks5 => "socks5",
    }
}

/// As [`StatsShown::paused`] says it.
pub(super) fn pause_name(pause: &Pause) -> String {
    match pause {
        Pause::Everything => "everything".into(),
        Pause::Domain(domain) => format!("domain {domain}"),
        Pause::Site(site) => format!("site {site}"),
    }
}
