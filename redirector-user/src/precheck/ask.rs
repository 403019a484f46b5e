//! Asks the DNS, and has port 25 knocked at: the one place where a question meets the world.
//!
//! Each question gets a resolver of its own, whose memory is empty: who has just mended a record is told so. Every look-up
//! has a time-out, all together have a deadline, and what is not known by then is not known.
//!
//! # Diagnostics
//! [`NoResolver`]. Everything else is part of the facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use mail_auth::{
    MessageAuthenticator, Parameters, SpfResult,
    hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
        net::{DnsError, NetError},
        proto::{
            op::ResponseCode,
            rr::{Name, RData, RecordType},
        },
        system_conf::read_system_conf,
    },
    spf::verify::SpfParameters,
};
use tokio::time::{Instant, timeout_at};

use super::{
    Fqdn, Question,
    facts::{Answer, DomainFacts, Facts, HostFacts, ListFacts, Listed, Silence},
    knock,
    neighbour::addresses_of,
    question::{ALWAYS_LISTED, NEVER_LISTED, arpa, reversed},
    spf,
};
use crate::config::Precheck;

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("resolvers of this host: {0}; name one in outgated.toml ([precheck] resolvers)")]
pub struct NoResolver(String);

/// All that a question needs, within a minute.
///
/// # Errors
///
/// [`NoResolver`].
pub async fn facts(question: &Question, config: &Precheck) -> Result<Facts, NoResolver> {
    let asker = Asker::new(&config.resolvers)?;
    let addresses = question.addresses.iter().copied();
    let each = addresses.map(|address| host(&asker, question, config, address));
    // Gathered first: a closure over borrowed items is not general enough for a task of its own.
    let each: Vec<_> = each.collect();
    let hosts = stream::iter(each).buffered(HOSTS_AT_ONCE).collect();
    let lists = join_all(config.lists.iter().map(|zone| list(&asker, zone)));
    let (hosts, domain, lists) = tokio::join!(hosts, domain(&asker, question), lists);
    Ok(Facts {
        hosts,
        domain,
        lists,
    })
}

async fn host(asker: &Asker, question: &Question, config: &Precheck, address: IpAddr) -> HostFacts {
    let listed = join_all(config.lists.iter().map(|zone| listed(asker, zone, address)));
    let knock = knock::knock(address, question, &config.stranger, asker.deadline);
    let names_and_spf = async {
        let names = asker.names(address).await;
        let few = names.iter().flatten().take(NAMES_MAX);
        let forward = few.map(async |name| (name.clone(), asker.addresses(name, address).await));
        let forward: BTreeMap<_, _> = join_all(forward).await.into_iter().collect();
        let said = question.ehlo.clone();
        let said = said.or_else(|| names.iter().flatten().next().cloned());
        let ehlo = match said {
            None => None,
            Some(name) => Some(match forward.get(&name) {
                known @ Some(_) => (name, addresses_of(known)),
                None => {
                    let addresses = match Fqdn::new(&name) {
                        Ok(_full) => asker.addresses(&name, address).await,
                        Err(_no_name) => Ok(Vec::new()),
                    };
                    (name, addresses)
                }
            }),
        };
        let helo = ehlo.as_ref().map_or("unknown", |(name, _)| name.as_str());
        let spf = asker.spf(question, address, helo).await;
        (names, forward, ehlo, spf)
    };
    let ((names, forward, ehlo, spf), knock, listed) = tokio::join!(names_and_spf, knock, listed);
    HostFacts {
        address,
        names,
        forward,
        ehlo,
        spf,
        knock,
        listed,
    }
}

async fn listed(asker: &Asker, zone: &Fqdn, address: IpAddr) -> Listed {
    let name = reversed(address, zone.as_str());
    let codes = asker.codes(&name).await;
    let words = match codes.as_deref() {
        Ok([_, ..]) => asker.texts(&name).await,
        Ok([]) | Err(_) => Ok(Vec::new()),
    };
    Listed { name, codes, words }
}

async fn list(asker: &Asker, zone: &Fqdn) -> ListFacts {
    let [always, never] = [ALWAYS_LISTED, NEVER_LISTED].map(|known| reversed(known, zone.as_str()));
    ListFacts {
        zone: zone.clone(),
        always: asker.codes(&always).await,
        never: asker.codes(&never).await,
    }
}

async fn domain(asker: &Asker, question: &Question) -> DomainFacts {
    let domain = question.domain.as_str();
    let keys = question.selectors.iter().map(async |selector| {
        let name = format!("{selector}._domainkey.{domain}");
        (selector.clone(), asker.texts(&name).await)
    });
    let above = question.domain.organisational();
    let above = above.filter(|above| *above != question.domain);
    let dmarc_above = async {
        let above = above?;
        let texts = asker.texts(&format!("_dmarc.{above}")).await;
        Some((above, texts))
    };
    let own_dmarc = format!("_dmarc.{domain}");
    let (dkim, dmarc, dmarc_above, (exchangers, addresses), spf) = tokio::join!(
        join_all(keys),
        asker.texts(&own_dmarc),
        dmarc_above,
        way_back(asker, domain),
        spf_tree(asker, domain),
    );
    DomainFacts {
        spf,
        dkim,
        dmarc,
        dmarc_above,
        exchangers,
        addresses,
    }
}

async fn way_back(
    asker: &Asker,
    domain: &str,
) -> (Answer<String>, BTreeMap<String, Answer<IpAddr>>) {
    let exchangers = asker.exchangers(domain).await;
    let hosts = match exchangers.as_deref() {
        Err(_) => Vec::new(),
        Ok([]) => vec![domain.to_owned()],
        Ok(some) => some
            .iter()
            .filter(|name| *name != ".")
            .take(NAMES_MAX)
            .cloned()
            .collect(),
    };
    let both = hosts.into_iter().map(async |host| {
        let four = asker
            .addresses(&host, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
            .await;
        let six = asker
            .addresses(&host, IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED))
            .await;
        let all = match (four, six) {
            (Ok(four), Ok(six)) => Ok([four, six].concat()),
            // One way is enough to arrive.
            (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
            (Err(silence), _) | (_, Err(silence)) => Err(silence),
        };
        (host, all)
    });
    (exchangers, join_all(both).await.into_iter().collect())
}

/// The texts of the domain, and of every domain that its SPF record leads to.
async fn spf_tree(asker: &Asker, domain: &str) -> BTreeMap<String, Answer<String>> {
    let mut tree = BTreeMap::new();
    let mut next = BTreeSet::from([domain.to_owned()]);
    while let Some(name) = next.pop_first() {
        let texts = asker.texts(&name).await;
        let needed = spf::needed(texts.as_deref().unwrap_or_default());
        tree.insert(name, texts);
        // Far beyond what a record may ask for.
        if tree.len() < SPF_RECORDS_MAX {
            next.extend(needed.into_iter().filter(|name| !tree.contains_key(name)));
        }
    }
    tree
}

/// A resolver, and until when it may be asked.
struct Asker {
    authenticator: MessageAuthenticator,
    deadline: Instant,
}

impl Asker {
    fn new(servers: &[SocketAddr]) -> Result<Self, NoResolver> {
        let unusable = |error: NetError| NoResolver(error.to_string());
        let (config, mut options) = match servers {
            [] => read_system_conf().map_err(unusable)?,
            servers => (to_ask(servers), ResolverOpts::default()),
        };
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = LOOK_UP;
        options.attempts = 2;
        Ok(Self {
            authenticator: MessageAuthenticator::new(config, options).map_err(unusable)?,
            deadline: Instant::now() + ALL,
        })
    }

    async fn look_up(&self, name: &str, kind: RecordType) -> Answer<RData> {
        let silence = |why: String| Silence {
            what: format!("{kind} {name}"),
            why,
        };
        // With the dot at its end, so that no domain of resolv.conf is tried behind it.
        let full = Name::from_ascii(format!("{name}."));
        let full = full.map_err(|error| silence(error.to_string()))?;
        let looked = self.authenticator.resolver().lookup(full, kind);
        let patience = self.deadline.min(Instant::now() + LOOK_UP * 3);
        let Ok(looked) = timeout_at(patience, looked).await else {
            return Err(silence(String::from("no answer in time")));
        };
        match looked {
            Ok(found) => {
                let records = found.answers().iter().map(|record| &record.data);
                let records = records.filter(|data| data.record_type() == kind);
                Ok(records.take(RECORDS_MAX).cloned().collect())
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => Ok(Vec::new()),
                code => Err(silence(code.to_string())),
            },
            Err(error) => Err(silence(error.to_string())),
        }
    }

    async fn names(&self, address: IpAddr) -> Answer<String> {
        let found = self.look_up(&arpa(address), RecordType::PTR).await?;
        let names = found.into_iter().filter_map(|data| match data {
            RData::PTR(name) => Some(plain(&name.0)),
            _ => None,
        });
        Ok(names.collect())
    }

    /// Those of the family of `like`.
    async fn addresses(&self, name: &str, like: IpAddr) -> Answer<IpAddr> {
        let kind = match like {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::AAAA,
        };
        let found = self.look_up(name, kind).await?;
        let addresses = found.into_iter().filter_map(|data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        Ok(addresses.collect())
    }

    async fn codes(&self, name: &str) -> Answer<Ipv4Addr> {
        let found = self.look_up(name, RecordType::A).await?;
        let codes = found.into_iter().filter_map(|data| match data {
            RData::A(code) => Some(code.0),
            _ => None,
        });
        Ok(codes.collect())
    }

    async fn texts(&self, name: &str) -> Answer<String> {
        let found = self.look_up(name, RecordType::TXT).await?;
        let texts = found.into_iter().filter_map(|data| match data {
            RData::TXT(text) => Some(printable(&text.txt_data.concat())),
            _ => None,
        });
        let mut texts: Vec<String> = texts.collect();
        // The DNS knows no order; the same question is answered alike.
        texts.sort();
        Ok(texts)
    }

    async fn exchangers(&self, domain: &str) -> Answer<String> {
        let found = self.look_up(domain, RecordType::MX).await?;
        let mut exchangers: Vec<_> = found
            .into_iter()
            .filter_map(|data| match data {
                RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
                _ => None,
            })
            .collect();
        exchangers.sort();
        Ok(exchangers.into_iter().map(|(_, name)| name).collect())
    }

    async fn spf(&self, question: &Question, address: IpAddr, helo: &str) -> SpfResult {
        let sender = format!("postmaster@{}", question.domain);
        let asked = SpfParameters::verify_mail_from(address, helo, "outgate.invalid", &sender);
        let output = self.authenticator.check_host(Parameters::new(asked));
        let patience = self.deadline.min(Instant::now() + LOOK_UP * 10);
        match timeout_at(patience, output).await {
            Ok(output) => output.result(),
            Err(_elapsed) => SpfResult::TempError,
        }
    }
}

fn to_ask(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |server: &SocketAddr| {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
        NameServerConfig::new(server.ip(), true, connections.into())
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

/// A name in lower case, without the dot at its end unless it is nothing else.
fn plain(name: &Name) -> String {
    let text = printable(name.to_ascii().to_ascii_lowercase().as_bytes());
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(name) => name.to_owned(),
    }
}

/// What strangers wrote, so that it does nothing to the terminal that it is shown on (RFC 1035 section 5.1).
pub(super) fn printable(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        match octet {
            b' '..=b'~' => text.push(char::from(*octet)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text
}

/// One try of one look-up; there are two.
const LOOK_UP: Duration = Duration::from_secs(2);
/// Everything: below what a request to the API may take.
const ALL: Duration = Duration::from_secs(55);
/// Each may have a dozen look-ups open, and one connection.
const HOSTS_AT_ONCE: usize = 64;
/// Of one answer; TCP would carry thousands.
const RECORDS_MAX: usize = 64;
/// Names of one address, exchangers of one domain.
const NAMES_MAX: usize = 8;
const SPF_RECORDS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_stays_text() {
        assert_eq!(printable(b"a\x1b[31m\n\xff~"), "a\\027[31m\\010\\255~");
    }
}
