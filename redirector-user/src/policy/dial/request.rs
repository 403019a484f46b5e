//! What a person or a program asks for, and how it is read into a [`Proposal`].
//!
//! # Diagnostics
//!
//! [`Refusal`] says whose rule the request broke: its form (`Usage`) or a guard (`Guard`). Messages say
//! what is allowed.

use std::net::IpAddr;

use contract::{Delivery, Egress, Tier, Treatment};
use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use redirector_common::abi::Via;
use serde::{Deserialize, Serialize};

use super::{Action, Proposal, Redirect, Refusal};
use crate::policy::{
    limit::Limit,
    rules::{ACTOR_PREFIX, Cause},
};

/// What `POST /v1/flags` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// Address or prefix. One IPv6 address stands for its /64 unless `exact`.
    pub target: String,
    /// Why; part of what a refused sender reads.
    #[serde(default)]
    pub reason: String,
    /// Who; a person or a program.
    #[serde(default)]
    pub actor: String,
    /// Name of the action; default `redirect`.
    pub action: Option<String>,
    /// Pool of a redirect; default the first of the configuration.
    pub pool: Option<String>,
    /// Treatment of a redirect; default `filter`.
    pub treatment: Option<String>,
    /// Egress of a redirect, `pool`, `customer`, `pool+customer` or `socks5`; default `pool`.
    pub egress: Option<String>,
    /// Delivery of a redirect, `cutthrough`, `cutthrough+spool` or `queue`; default `cutthrough`.
    pub delivery: Option<String>,
    /// What of the mail of a redirect may be looked at, `none`, `metadata`, `headers` or `body`; default what the relay's
    /// own configuration says.
    pub tier: Option<String>,
    /// Life of the flag, as `24h` or `7d`; default [`DEFAULT_LIFE`].
    #[serde(rename = "for")]
    pub life: Option<String>,
    /// Reference into another system.
    pub ticket: Option<String>,
    /// A single IPv6 address means itself.
    #[serde(default)]
    pub exact: bool,
    /// Connections older than the flag are cut at once instead of after [`GRACE_S`].
    #[serde(default)]
    pub cut: bool,
    /// Of a redirect: known to abuse, so the relay never splices its TLS by what it learns.
    #[serde(default)]
    pub confirmed: bool,
    /// Rate of a limit, as `30/min`.
    pub rate: Option<String>,
    /// Burst of a limit; default [`super::limit::DEFAULT_BURST`].
    pub burst: Option<u16>,
}

/// A configured pool, as far as a flag depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTerms {
    /// Name.
    pub name: String,
    /// How frames get to its relays.
    pub via: Via,
    /// Its relays are a third party's, which know of no treatment.
    pub third_party: bool,
}

impl Proposal {
    /// Reads a request; `pools` are the configured ones in order.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`] for what cannot be read, [`Refusal::Guard`] for a missing reason and a life
    /// beyond [`LONGEST_LIFE`].
    pub fn read(
        request: &FlagRequest,
        pools: &[PoolTerms],
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if request.actor.trim().starts_with(ACTOR_PREFIX) {
            return Err(Refusal::Usage(format!(
                "actor {:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are",
                request.actor
            )));
        }
        Self::read_any(request, pools, now)
    }

    /// Reads what a rule asks for.
    ///
    /// # Errors
    ///
    /// As [`Proposal::read`]; of a rule that was read itself, none.
    pub fn caused(
        request: &FlagRequest,
        pools: &[PoolTerms],
        now: Timestamp,
        cause: Cause,
    ) -> Result<Self, Refusal> {
        let proposal = Self::read_any(request, pools, now)?;
        Ok(Self {
            cause: Some(Box::new(cause)),
            ..proposal
        })
    }

    /// When a flag that is made now would end by itself.
    ///
    /// # Errors
    ///
    /// [`Refusal`] about its life.
    pub fn ends(request: &FlagRequest, now: Timestamp) -> Result<Timestamp, Refusal> {
        let life = read_life(request.life.as_deref().unwrap_or(DEFAULT_LIFE))?;
        now.checked_add(life)
            .map_err(|error| Refusal::Usage(format!("--for: {error}; at most {LONGEST_LIFE}")))
    }

    fn read_any(
        request: &FlagRequest,
        pools: &[PoolTerms],
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            prefix: read_target(&request.target, request.exact)?,
            action: read_action(request, pools)?,
            reason: read_reason(&request.reason)?,
            actor: line("actor", &request.actor, 100)?,
            ticket: request
                .ticket
                .as_deref()
                .map(|ticket| line("ticket", ticket, 100))
                .transpose()?,
            grace_s: if request.cut { 0 } else { GRACE_S },
            created_at: now,
            expires_at: Self::ends(request, now)?,
            cause: None,
        })
    }
}

/// Reads an address or prefix. One IPv6 address stands for its /64 unless `exact`: a host holds at least
/// a /64 and may send from any address of it (RFC 8981).
///
/// # Errors
///
/// [`Refusal::Usage`], also for host bits (with the prefix that was probably meant).
pub fn read_target(text: &str, exact: bool) -> Result<IpNetwork, Refusal> {
    let text = text.trim();
    let single = text.parse::<IpAddr>().ok();
    let prefix = match single {
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            return Err(Refusal::Usage(format!(
                "{text} is an IPv4 address in IPv6 clothing; give it as IPv4"
            )));
        }
        Some(IpAddr::V6(v6)) if !exact => {
            let subnet = u128::from(v6) & !u128::from(u64::MAX);
            IpNetwork::new(IpAddr::V6(subnet.into()), 64)
        }
        Some(address) => return Ok(IpNetwork::from(address)),
        None => text.parse(),
    };
    let prefix = prefix.map_err(|_malformed| {
        Refusal::Usage(format!(
            "{text:?} is neither an address nor a prefix, as 192.0.2.10 or 2001:db8:a::/64"
        ))
    })?;
    if prefix.ip() != prefix.network() {
        let meant = format!("{}/{}", prefix.network(), prefix.prefix());
        return Err(Refusal::Usage(format!(
            "{text} has host bits set; the prefix is {meant}"
        )));
    }
    Ok(prefix)
}

fn read_life(text: &str) -> Result<SignedDuration, Refusal> {
    let read = |text: &str| {
        let span: Span = text.parse().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
    };
    let life = read(text).filter(|life| life.is_positive());
    let life = life.ok_or_else(|| {
        Refusal::Usage(format!("--for {text}: not a duration, as 90m, 24h or 7d"))
    })?;
    if read(LONGEST_LIFE).is_some_and(|longest| life > longest) {
        return Err(Refusal::Guard(format!(
            "--for {text}: a flag lives at most {LONGEST_LIFE}; flag again before it ends"
        )));
    }
    Ok(life)
}

/// Reads the action with all that belongs to it.
///
/// # Errors
///
/// [`Refusal::Usage`].
pub(crate) fn read_action(request: &FlagRequest, pools: &[PoolTerms]) -> Result<Action, Refusal> {
    let action = match request.action.as_deref().unwrap_or("redirect") {
        "pass" => Action::Pass,
        "observe" => Action::Observe,
        "limit" => Action::Limit(Limit::read(request.rate.as_deref(), request.burst)?),
        "refuse" => Action::Refuse,
        "reset" => Action::Reset,
        "drop" => Action::Drop,
        "redirect" => Action::Redirect(read_redirect(request, pools)?),
        other => {
            let allowed = "allowed are pass, observe, limit, redirect, refuse, reset and drop";
            return Err(Refusal::Usage(format!(
                "action {other}: unknown; {allowed}"
            )));
        }
    };
    let given = [
        ("pool", "redirect", request.pool.is_some()),
        ("treatment", "redirect", request.treatment.is_some()),
        ("egress", "redirect", request.egress.is_some()),
        ("delivery", "redirect", request.delivery.is_some()),
        ("tier", "redirect", request.tier.is_some()),
        ("confirmed", "redirect", request.confirmed),
        ("rate", "limit", request.rate.is_some()),
        ("burst", "limit", request.burst.is_some()),
    ];
    let stray = given
        .iter()
        .find(|(_, owner, given)| *given && *owner != action.name());
    match stray {
        Some((name, owner, _)) => Err(Refusal::Usage(format!(
            "{name} belongs to action {owner}, not {}",
            action.name()
        ))),
        None => Ok(action),
    }
}

fn read_redirect(request: &FlagRequest, pools: &[PoolTerms]) -> Result<Redirect, Refusal> {
    let pool = match &request.pool {
        Some(asked) => pools
            .iter()
            .find(|pool| pool.name == *asked)
            .ok_or_else(|| {
                let known = names(pools, |_| true);
                Refusal::Usage(format!("pool {asked}: unknown; configured are: {known}"))
            })?,
        None => pools.first().ok_or_else(|| {
            Refusal::Usage(String::from(
                "no pool is configured, so nothing can be redirected; add a [[pool]]",
            ))
        })?,
    };
    let treatment = match request.treatment.as_deref() {
        None => Treatment::default(),
        Some(name) => Treatment::from_name(name).ok_or_else(|| {
            let allowed = Treatment::ALL.map(Treatment::name).join(", ");
            Refusal::Usage(format!("treatment {name}: unknown; allowed are {allowed}"))
        })?,
    };
    if pool.third_party && treatment != Treatment::default() {
        return Err(Refusal::Usage(format!(
            "treatment {}: pool {} is a third party's, which does what it does; leave the treatment out",
            treatment.name(),
            pool.name
        )));
    }
    if request.confirmed && pool.third_party {
        return Err(Refusal::Usage(format!(
            "confirmed: pool {} is a third party's, which does what it does; leave it out",
            pool.name
        )));
    }
    if request.confirmed && treatment == Treatment::Opaque {
        return Err(Refusal::Usage(String::from(
            "confirmed: treatment opaque splices every TLS session; leave out one of the two",
        )));
    }
    let egress = egress(request, pool, pools)?;
    Ok(Redirect {
        pool: pool.name.clone(),
        treatment,
        egress,
        delivery: read_delivery(request, pool, treatment)?,
        tier: read_tier(request, pool)?,
        confirmed: request.confirmed,
    })
}

fn egress(request: &FlagRequest, pool: &PoolTerms, pools: &[PoolTerms]) -> Result<Egress, Refusal> {
    let Some(word) = request.egress.as_deref() else {
        return Ok(Egress::default());
    };
    match Egress::from_name(word) {
        Some(known) if known.lends_address() && pool.via != Via::Steer => {
            Err(no_such_egress(known, pool, pools))
        }
        Some(Egress::Socks5) if pool.third_party => Err(Refusal::Usage(format!(
            "egress socks5: pool {} is a third party's, which does what it does; leave the egress out",
            pool.name
        ))),
        Some(known) => Ok(known),
        None => Err(Refusal::Usage(format!(
            "egress {word}: unknown; allowed are {}",
            Egress::ALL.map(Egress::name).join(", ")
        ))),
    }
}

/// A relay's queue is for mail that may leave: a walled customer has none, and a third party's relay knows of no
/// queue of ours.
fn read_delivery(
    request: &FlagRequest,
    pool: &PoolTerms,
    treatment: Treatment,
) -> Result<Delivery, Refusal> {
    let delivery = match request.delivery.as_deref() {
        None => return Ok(Delivery::default()),
        Some(name) => Delivery::from_name(name).ok_or_else(|| {
            let allowed = Delivery::ALL.map(Delivery::name).join(", ");
            Refusal::Usage(format!("delivery {name}: unknown; allowed are {allowed}"))
        })?,
    };
    if delivery == Delivery::default() {
        return Ok(delivery);
    }
    let name = delivery.name();
    if pool.third_party {
        return Err(Refusal::Usage(format!(
            "delivery {name}: pool {} is a third party's, which does what it does; leave the delivery out",
            pool.name
        )));
    }
    match treatment {
        Treatment::Filter | Treatment::Opaque => Ok(delivery),
        Treatment::Walled => Err(Refusal::Usage(format!(
            "delivery {name}: treatment walled delivers nothing that could be queued; leave out one of the two"
        ))),
    }
}

/// A third party's relay looks at what it wants.
fn read_tier(request: &FlagRequest, pool: &PoolTerms) -> Result<Option<Tier>, Refusal> {
    let Some(name) = request.tier.as_deref() else {
        return Ok(None);
    };
    let tier = Tier::from_name(name).ok_or_else(|| {
        let allowed = Tier::ALL.map(Tier::name).join(", ");
        Refusal::Usage(format!("tier {name}: unknown; allowed are {allowed}"))
    })?;
    if pool.third_party {
        return Err(Refusal::Usage(format!(
            "tier {name}: pool {} is a third party's, which looks at what it wants; leave the tier out",
            pool.name
        )));
    }
    Ok(Some(tier))
}

/// Answers to a customer's address find a relay only where the edge steers.
fn no_such_egress(egress: Egress, pool: &PoolTerms, pools: &[PoolTerms]) -> Refusal {
    let steered = names(pools, |pool| pool.via == Via::Steer);
    let instead = match steered.as_str() {
        "" => String::from("configure a pool that is, and name it with --pool"),
        steered => format!("name one that is with --pool: {steered}"),
    };
    Refusal::Usage(format!(
        "egress {}: needs a pool that is via = \"steer\", and {} is via = \"{}\"; {instead}",
        egress.name(),
        pool.name,
        pool.via.name()
    ))
}

fn names(pools: &[PoolTerms], which: impl Fn(&PoolTerms) -> bool) -> String {
    let chosen = pools.iter().filter(|pool| which(pool));
    let names: Vec<&str> = chosen.map(|pool| pool.name.as_str()).collect();
    names.join(", ")
}

fn read_reason(reason: &str) -> Result<String, Refusal> {
    if reason.trim().is_empty() {
        let message =
            "a flag needs a reason: it is what the customer reads and what the trail keeps";
        return Err(Refusal::Guard(String::from(message)));
    }
    line("reason", reason, REASON_OCTETS)
}

/// One line of text. It will stand in SMTP replies and log lines, where a line end would forge another.
fn line(what: &str, text: &str, most_octets: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() || text.len() > most_octets || text.chars().any(char::is_control) {
        let allowed = format!("allowed is one line of 1 to {most_octets} octets");
        return Err(Refusal::Usage(format!("{what} {text:?}: {allowed}")));
    }
    Ok(text.to_owned())
}

/// Longest reason.
pub const REASON_OCTETS: usize = 200;
/// How long connections older than a flag may pass on.
pub const GRACE_S: u32 = 600;
/// Life of a flag when nothing is said.
pub const DEFAULT_LIFE: &str = "7d";
/// Longest life of a flag.
pub const LONGEST_LIFE: &str = "90d";
