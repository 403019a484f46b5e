//! What somebody wants to know, and what then is to happen.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fqdn;
use crate::policy::dial::{FlagRequest, Refusal, read_target};

/// What `POST /v1/precheck` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrecheckRequest {
    /// Who asks for port 25: an address, or a prefix. An approval of one IPv6 address opens its /64 unless `exact`.
    #[schema(example = "192.0.2.10")]
    pub target: String,
    /// The addresses in it that send; without, all of it, at most 256.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// In whose name it will send.
    #[schema(example = "customer.example")]
    pub domain: String,
    /// The name that its mail server says with EHLO; default the first name of each address.
    pub ehlo: Option<String>,
    /// Selectors of its DKIM keys.
    #[serde(default)]
    pub selectors: Vec<String>,
    /// A single IPv6 address means itself.
    #[serde(default)]
    pub exact: bool,
    /// Who asks, or opens; for the trail.
    #[serde(default)]
    pub actor: String,
    /// What is to happen if nothing speaks against it; default nothing.
    pub approve: Option<ApproveRequest>,
}

/// That the port is to be opened, within a limit, until somebody looks at it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// Why; as a flag's.
    pub reason: String,
    /// New connections of each address (IPv6: each /64), as `30/min`.
    pub limit: String,
    /// New connections at once after a pause; default 10.
    pub burst: Option<u16>,
    /// After how long somebody is to look at it again, as `30d`.
    pub review: String,
    /// Why it is opened although a check has failed, or could not be told; for the trail.
    #[serde(rename = "override")]
    pub overriding: Option<String>,
    /// Reference into another system.
    pub ticket: Option<String>,
}

/// A request that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub prefix: IpNetwork,
    /// What is looked at, in order, each once; never empty.
    pub addresses: Vec<IpAddr>,
    /// Whether these are all of `prefix`.
    pub whole: bool,
    /// In whose name.
    pub domain: Fqdn,
    /// What its mail server says; as it was given, a name or not.
    pub ehlo: Option<String>,
    /// Of its keys.
    pub selectors: Vec<String>,
}

impl Question {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`].
    pub fn read(request: &PrecheckRequest) -> Result<Self, Refusal> {
        let usage = Refusal::Usage;
        let prefix = read_target(&request.target, true)?;
        let domain = Fqdn::new(request.domain.trim())
            .map_err(|error| usage(format!("domain {:?}: {error}", request.domain)))?;
        let (addresses, whole) = match request.addresses.as_slice() {
            [] => (all_of(prefix)?, true),
            addresses => (named(prefix, addresses)?, false),
        };
        let selectors = request.selectors.iter().map(|text| selector(text));
        let ehlo = request
            .ehlo
            .as_deref()
            .map(|name| crate::policy::dial::line("ehlo", name, 255));
        Ok(Self {
            prefix,
            addresses,
            whole,
            domain,
            ehlo: ehlo.transpose()?,
            selectors: selectors.collect::<Result<_, _>>()?,
        })
    }
}

impl PrecheckRequest {
    /// The flag that an approval is: new connections up to a limit, in force at once, and for ever only once a second
    /// person has agreed, from when on it has a review instead of an end. Until then it ends as flags do, and what
    /// stands for the range around it holds again.
    #[must_use]
    pub fn flag(&self, approve: &ApproveRequest) -> FlagRequest {
        FlagRequest {
            target: self.target.clone(),
            exact: self.exact,
            action: Some(String::from("limit")),
            reason: approve.reason.clone(),
            actor: self.actor.clone(),
            rate: Some(approve.limit.clone()),
            burst: approve.burst,
            life: Some(String::from("ever")),
            review: Some(approve.review.clone()),
            ticket: approve.ticket.clone(),
            // Whoever has asked for it hears of it; nothing is being restricted.
            notify: Some(false),
            ..FlagRequest::default()
        }
    }
}

fn all_of(prefix: IpNetwork) -> Result<Vec<IpAddr>, Refusal> {
    let bits = if prefix.is_ipv4() { 32 } else { 128 };
    if u32::from(bits - prefix.prefix()) > ADDRESSES_MAX.ilog2() {
        return Err(Refusal::Usage(format!(
            "{prefix} has more than {ADDRESSES_MAX} addresses; name those that send (--address ADDRESS, for each), or a \
             smaller prefix"
        )));
    }
    Ok(prefix.iter().collect())
}

fn named(prefix: IpNetwork, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(Refusal::Usage(format!(
            "addresses: {}; at most {ADDRESSES_MAX} at once",
            addresses.len()
        )));
    }
    // A single IPv6 address stands for its host, which has a /64 (RFC 8981).
    let around = match prefix.ip() {
        IpAddr::V6(one) if prefix.prefix() == 128 => {
            let subnet = Ipv6Addr::from(u128::from(one) & !u128::from(u64::MAX));
            IpNetwork::new(subnet.into(), 64).unwrap_or(prefix)
        }
        IpAddr::V4(_) | IpAddr::V6(_) => prefix,
    };
    match addresses.iter().find(|address| !around.contains(**address)) {
        Some(stray) => Err(Refusal::Usage(format!(
            "address {stray}: is not in {prefix}, who asks"
        ))),
        None => {
            let mut addresses = addresses.to_vec();
            addresses.sort_unstable();
            addresses.dedup();
            Ok(addresses)
        }
    }
}

/// RFC 6376 section 3.1: labels.
fn selector(text: &str) -> Result<String, Refusal> {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fits);
    let text = text.trim();
    if text.len() > 128 || !text.split('.').all(label) {
        return Err(Refusal::Usage(format!(
            "selector {text:?}: not one; it is what s= says in a DKIM-Signature, as mail2026"
        )));
    }
    Ok(text.to_ascii_lowercase())
}

/// So many are looked at together: a /24.
pub const ADDRESSES_MAX: usize = 256;
