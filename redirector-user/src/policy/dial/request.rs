//! What a person or a program asks for, and how it is read into a [`Proposal`].
//!
//! # Diagnostics
//!
//! [`Refusal`] says whose rule the request broke: its form (`Usage`) or a guard (`Guard`). Messages say
//! what is allowed.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use redirector_common::abi::Via;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Action, Proposal, Refusal,
    term::{EVER, ForEver},
};
use crate::policy::{
    limit::Limit,
    rules::{ACTOR_PREFIX, Cause},
    text::Text,
};

mod redirect;

/// What `POST /v1/flags` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// Address or prefix. One IPv6 address stands for its /64 unless `exact`.
    #[schema(example = "192.0.2.10")]
    pub target: String,
    /// Why; part of what a refused sender reads.
    #[serde(default)]
    #[schema(example = "spam run, complaint 4711")]
    pub reason: String,
    /// Who; a person or a program.
    #[serde(default)]
    #[schema(example = "alice")]
    pub actor: String,
    /// Name of the action; default `redirect`.
    #[schema(example = "drop")]
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
    /// Limits of a redirect at the relay, by a name of the relay's configuration; default those of everybody.
    pub limits: Option<String>,
    /// Life of the flag, as `24h` or `7d`, or `ever`; default `7d`.
    #[serde(rename = "for")]
    #[schema(example = "24h")]
    pub life: Option<String>,
    /// Time from one review to the next of a flag that is to stand for ever, as `90d`.
    pub review: Option<String>,
    /// Why a customer is to be flagged although it is exempt.
    pub despite_exemption: Option<String>,
    /// Reference into another system.
    pub ticket: Option<String>,
    /// A single IPv6 address means itself.
    #[serde(default)]
    pub exact: bool,
    /// Connections older than the flag are cut at once instead of after ten minutes.
    #[serde(default)]
    pub cut: bool,
    /// Of a redirect: known to abuse, so the relay never splices its TLS by what it learns.
    #[serde(default)]
    pub confirmed: bool,
    /// Rate of a limit, as `30/min`.
    pub rate: Option<String>,
    /// Burst of a limit; default 10.
    pub burst: Option<u16>,
    /// Whether the customer is written to, where `[notices]` says how; default true.
    pub notify: Option<bool>,
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
        let life = match request.life.as_deref().unwrap_or(DEFAULT_LIFE) {
            EVER => LONGEST_LIFE,
            life => life,
        };
        let life = read_life(life)?;
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
            reason: read_reason(&request.reason)?.into(),
            actor: line("actor", &request.actor, 100)?.into(),
            ticket: request
                .ticket
                .as_deref()
                .map(|ticket| line("ticket", ticket, 100))
                .transpose()?
                .map(Text::from),
            quiet: request.notify == Some(false),
            grace_s: if request.cut { 0 } else { GRACE_S },
            created_at: now.into(),
            expires_at: Self::ends(request, now)?.into(),
            cause: None,
            origin: None,
            for_ever: read_for_ever(request)?.map(Box::new),
            despite_exemption: request
                .despite_exemption
                .as_deref()
                .map(|why| line("despite_exemption", why, REASON_OCTETS))
                .transpose()?
                .map(Text::from),
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

/// That a flag is to stand for ever, which comes with a time from one review to the next and not without.
fn read_for_ever(request: &FlagRequest) -> Result<Option<ForEver>, Refusal> {
    let ever = request.life.as_deref() == Some(EVER);
    match (ever, request.review.as_deref()) {
        (false, None) => Ok(None),
        (true, Some(review)) => ForEver::asked(review).map(Some),
        (true, None) => Err(Refusal::Usage(format!(
            "--for {EVER} needs --review, the time after which somebody is to look at the flag again, as --review 90d"
        ))),
        (false, Some(review)) => Err(Refusal::Usage(format!(
            "--review {review}: only a flag that stands for ever is reviewed (--for {EVER}); this one ends by itself"
        ))),
    }
}

/// A length of time as people write it.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let span: Span = text.trim().parse().ok()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

pub(super) fn read_life(text: &str) -> Result<SignedDuration, Refusal> {
    let life = duration(text).filter(|life| life.is_positive());
    let life = life.ok_or_else(|| {
        Refusal::Usage(format!("--for {text}: not a duration, as 90m, 24h or 7d"))
    })?;
    if duration(LONGEST_LIFE).is_some_and(|longest| life > longest) {
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
        "redirect" => Action::Redirect(Box::new(redirect::read(request, pools)?)),
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
        ("limits", "redirect", request.limits.is_some()),
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

fn read_reason(reason: &str) -> Result<String, Refusal> {
    if reason.trim().is_empty() {
        let message =
            "a flag needs a reason: it is what the customer reads and what the trail keeps";
        return Err(Refusal::Guard(String::from(message)));
    }
    line("reason", reason, REASON_OCTETS)
}

/// One line of text. It will stand in SMTP replies and log lines, where a line end would forge another.
pub(crate) fn line(what: &str, text: &str, most_octets: usize) -> Result<String, Refusal> {
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
