//! Asks the DNS, and has port 25 knocked at: the one place where a question meets the world.
//!
//! Each question gets a resolver of its own, whose memory is empty: who has just mended a record is told so. Every look-up
//! has a time-out, all together have a deadline, and what is not known by then is not known.
//!
//! # Diagnostics
//! [`NoResolver`]. Everything else is part of the facts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream};
use mail_auth::{Parameters, SpfResult, spf::verify::SpfParameters};
use tokio::time::{Instant, timeout_at};

use super::{
    Fqdn, Question,
    facts::{DomainFacts, Facts, HostFacts},
    knock,
    neighbour::addresses_of,
    spf,
};
use crate::{
    config::Precheck,
    dns::{Answer, Asker, LOOK_UP, NoResolver},
    dnsbl::{self, Family},
};

/// All that a question needs, within a minute.
///
/// # Errors
///
/// [`NoResolver`].
pub async fn facts(question: &Question, config: &Precheck) -> Result<Facts, NoResolver> {
    let deadline = Instant::now() + ALL;
    let asker = Asker::until(&config.resolvers, deadline)?;
    let addresses = question.addresses.iter().copied();
    let each = addresses.map(|address| host(&asker, question, config, address));
    // Gathered first: a closure over borrowed items is not general enough for a task of its own.
    let each: Vec<_> = each.collect();
    let hosts = stream::iter(each).buffered(HOSTS_AT_ONCE).collect();
    let lists = join_all(
        config
            .lists
            .iter()
            .map(|zone| dnsbl::ask_of_itself(&asker, zone, Family::V4)),
    );
    let (hosts, domain, lists) = tokio::join!(hosts, domain(&asker, question), lists);
    Ok(Facts {
        hosts,
        domain,
        lists,
    })
}

async fn host(asker: &Asker, question: &Question, config: &Precheck, address: IpAddr) -> HostFacts {
    let listed = join_all(
        config
            .lists
            .iter()
            .map(|zone| dnsbl::ask(asker, zone, address)),
    );
    let knock = knock::knock(address, question, &config.stranger, asker.patience(ALL));
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
        let spf = sender_policy(asker, question, address, helo).await;
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

async fn sender_policy(
    asker: &Asker,
    question: &Question,
    address: IpAddr,
    helo: &str,
) -> SpfResult {
    let sender = format!("postmaster@{}", question.domain);
    let asked = SpfParameters::verify_mail_from(address, helo, "outgate.invalid", &sender);
    let output = asker.authenticator().check_host(Parameters::new(asked));
    let patience = asker.patience(LOOK_UP * 10);
    match timeout_at(patience, output).await {
        Ok(output) => output.result(),
        Err(_elapsed) => SpfResult::TempError,
    }
}

/// Everything: below what a request to the API may take.
const ALL: Duration = Duration::from_secs(55);
/// Each may have a dozen look-ups open, and one connection.
const HOSTS_AT_ONCE: usize = 64;
/// Names of one address, exchangers of one domain.
const NAMES_MAX: usize = 8;
const SPF_RECORDS_MAX: usize = 40;
