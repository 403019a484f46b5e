//! `[[authorised]]`: listeners whose customers the operator names itself, without an edge of ours.

use std::net::SocketAddr;
use std::sync::Arc;

use contract::{Delivery, Treatment};
use ipnetwork::IpNetwork;

use super::check::listeners;
use super::raw::RawAuthorised;
use super::{DnsConfig, Invalid, Routing, delivery, treatment};

/// One group of listeners.
#[derive(Debug, Clone)]
pub struct Authorised {
    /// At least one.
    pub listen: Vec<SocketAddr>,
    /// Who is served; never everybody.
    pub from: Vec<IpNetwork>,
    /// What tells where a connection was going.
    pub destination: Destination,
    /// What is done with the mail of those who have no flag.
    pub terms: Arc<Terms>,
}

/// What tells where a connection was going.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A PROXY header of version 2 in front of the session.
    ProxyV2 {
        /// Who may send one; never everybody, because it may name any customer.
        proxies: Vec<IpNetwork>,
    },
    /// The kernel, which has translated it on this host: SO_ORIGINAL_DST.
    SoOriginalDst,
    /// The accepted socket's own address: TPROXY, or an AnyIP route.
    LocalAddress,
    /// Nothing does: mail is given to the relay itself, and goes to its recipients' servers.
    Mx,
}

/// What is done with the mail of a listener's customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// As a flag would have it.
    pub treatment: Treatment,
    /// As a flag would have it.
    pub delivery: Delivery,
    /// Why, for refused customers to read.
    pub reason: Option<String>,
}

impl TryFrom<RawAuthorised> for Authorised {
    type Error = Invalid;

    fn try_from(raw: RawAuthorised) -> Result<Self, Invalid> {
        if raw.listen.is_empty() {
            let problem = "must name at least one ADDRESS:PORT";
            return Err(Invalid::new("authorised.listen", "[]", problem));
        }
        let from = ranges("authorised.from", &raw.from)?;
        if from.is_empty() {
            let problem = "must name the prefixes that are served here";
            return Err(Invalid::new("authorised.from", "[]", problem));
        }
        let proxies = ranges("authorised.proxies", &raw.proxies)?;
        let destination = destination(raw.destination.as_deref(), proxies)?;
        if let Some(reason) = &raw.reason
            && (reason.is_empty() || reason.len() > REASON_OCTETS_MAX)
        {
            let problem = format!("must be 1 to {REASON_OCTETS_MAX} octets long");
            return Err(Invalid::new("authorised.reason", reason, problem));
        }
        let treatment = treatment("authorised.treatment", &raw.treatment)?;
        let delivery = delivery("authorised.delivery", &raw.delivery)?;
        if treatment == Treatment::Walled && delivery != Delivery::default() {
            let problem = "treatment \"walled\" delivers nothing that could be queued";
            return Err(Invalid::new("authorised.delivery", &raw.delivery, problem));
        }
        if matches!(destination, Destination::Mx) {
            by_mx(treatment, delivery)?;
        }
        Ok(Self {
            listen: listeners("authorised.listen", &raw.listen)?,
            from,
            destination,
            terms: Arc::new(Terms {
                treatment,
                delivery,
                reason: raw.reason,
            }),
        })
    }
}

/// What the listeners need of the rest of the file.
pub(super) fn check(
    authorised: &[Authorised],
    has_spool: bool,
    dns: &DnsConfig,
    routing: &Routing,
) -> Result<(), Invalid> {
    let mut queued = authorised.iter().map(|listener| listener.terms.delivery);
    if let Some(delivery) = queued.find(|it| *it != Delivery::default())
        && !has_spool
    {
        let problem = "needs [spool], where such mail is kept";
        let delivery = delivery.name();
        return Err(Invalid::new("authorised.delivery", delivery, problem));
    }
    let asks_nobody = dns.servers.as_ref().is_some_and(Vec::is_empty);
    let mut by_mx = authorised.iter().filter(|listener| {
        matches!(listener.destination, Destination::Mx)
            && listener.terms.treatment != Treatment::Walled
    });
    if asks_nobody && routing.routes.is_empty() && by_mx.next().is_some() {
        let problem = "must name a resolver beside [[authorised]] with destination = \"mx\", unless a [[route]] says \
                       where that mail goes";
        return Err(Invalid::new("dns.servers", "[]", problem));
    }
    Ok(())
}

/// Without a destination there is nobody whose answer a customer could hear, and nobody to splice to.
fn by_mx(treatment: Treatment, delivery: Delivery) -> Result<(), Invalid> {
    match (treatment, delivery) {
        (Treatment::Walled, _) | (Treatment::Filter, Delivery::Queue) => Ok(()),
        (Treatment::Opaque, _) => {
            let problem = "must be \"filter\" or \"walled\" beside destination = \"mx\": there is no destination to \
                           join a customer's TLS with";
            let treatment = treatment.name();
            Err(Invalid::new("authorised.treatment", treatment, problem))
        }
        (Treatment::Filter, Delivery::Cutthrough | Delivery::CutthroughSpool) => {
            let problem = "must be \"queue\" beside destination = \"mx\": there is no destination whose answer the \
                           customer could hear";
            let delivery = delivery.name();
            Err(Invalid::new("authorised.delivery", delivery, problem))
        }
    }
}

fn destination(word: Option<&str>, proxies: Vec<IpNetwork>) -> Result<Destination, Invalid> {
    let of_proxies = |value: &str, problem| Err(Invalid::new("authorised.proxies", value, problem));
    match word {
        Some("proxy-v2") if proxies.is_empty() => {
            let problem = "must name the proxies: who may send a PROXY header may say that it is any customer";
            of_proxies("[]", problem)
        }
        Some("proxy-v2") => Ok(Destination::ProxyV2 { proxies }),
        Some("so-original-dst" | "local-address" | "mx") if !proxies.is_empty() => {
            of_proxies("[...]", "belongs to destination = \"proxy-v2\" alone")
        }
        Some("so-original-dst") => Ok(Destination::SoOriginalDst),
        Some("local-address") => Ok(Destination::LocalAddress),
        Some("mx") => Ok(Destination::Mx),
        other => {
            let problem = "must be \"proxy-v2\", \"so-original-dst\", \"local-address\", or \"mx\" where nothing tells \
                           and mail goes to its recipients' servers";
            let value = other.unwrap_or("absent");
            Err(Invalid::new("authorised.destination", value, problem))
        }
    }
}

/// Prefixes narrow enough to be somebody's.
fn ranges(key: &str, texts: &[String]) -> Result<Vec<IpNetwork>, Invalid> {
    let range = |text: &String| {
        let network: IpNetwork = text.parse().map_err(|_parse| {
            let problem = "must be a prefix, as 192.0.2.0/24 or 2001:db8:a::/48";
            Invalid::new(key, text, problem)
        })?;
        let shortest = match network {
            IpNetwork::V4(_) => SHORTEST_V4,
            IpNetwork::V6(_) => SHORTEST_V6,
        };
        if network.prefix() < shortest {
            let problem = format!(
                "is wider than /{shortest}: the relay would be open to others than your customers"
            );
            return Err(Invalid::new(key, text, problem));
        }
        Ok(network)
    };
    texts.iter().map(range).collect()
}

/// Nobody's network is wider; two halves of everything are as open as all of it.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;
/// As much of it as a refusal has room for.
const REASON_OCTETS_MAX: usize = 120;
