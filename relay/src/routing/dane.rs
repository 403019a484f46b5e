//! DANE for SMTP (RFC 7672): which TLSA records bind a server.
//!
//! Records count only if the resolver has validated them and the server's addresses. Who cannot tell whether there
//! are any (SERVFAIL, forged, silent) has not said that there are none: then nothing is sent to that server now.
//! An MX record that anybody could have forged does not end it: whom it names is held to its own records all the same,
//! as other senders do.

use data_encoding::HEXLOWER;

use super::addresses::Addresses;
use super::policy::within_bounds;
use crate::dns::{Data, Dns, DnsName, Failure, Kind};
use crate::outbound::requirement::{Dane, Demand, Matching, Selector, Tlsa, Usage};

/// What binds a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// [`Demand::Dane`], or [`Demand::Encrypted`] if no record is of a kind that can be used.
    pub(super) demand: Demand,
    /// Where the records stand.
    pub(super) base: DnsName,
    /// They themselves, as people write them, within bounds.
    pub(super) text: Vec<String>,
}

/// Why that is not known.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) name: DnsName,
    pub(super) failure: Failure,
}

/// Looks for records of `host`. `domain` is whose mail goes there, if its MX records are secure.
pub(super) async fn look_up(
    dns: &Dns,
    host: &DnsName,
    port: u16,
    found: &Addresses,
    domain: Option<&DnsName>,
) -> Result<Option<Bound>, Unknown> {
    // RFC 7672 section 2.2.2: the name behind the aliases first, if all of the way there is secure; else only the name
    // itself, if it is the alias's target that is not.
    let bases = match &found.alias_of {
        Some(target) if found.secure => vec![target, host],
        Some(_) if is_secure_alias(dns, host).await? => vec![host],
        None if found.secure => vec![host],
        Some(_) | None => Vec::new(),
    };
    for base in bases {
        let Some(name) = base.below(&format!("_{port}._tcp")) else {
            continue;
        };
        let answer = look_up_or_unknown(dns, &name, Kind::Tlsa).await?;
        if !answer.secure() || answer.data().is_empty() {
            continue;
        }
        let records: Vec<Tlsa> = answer.data().iter().filter_map(usable).collect();
        let demand = if records.is_empty() {
            Demand::Encrypted
        } else {
            let mut names = vec![base.clone()];
            names.extend(domain.into_iter().cloned());
            names.extend((base != host).then(|| host.clone()));
            Demand::Dane(std::sync::Arc::new(Dane {
                base: base.clone(),
                names,
                records,
            }))
        };
        return Ok(Some(Bound {
            demand,
            base: base.clone(),
            text: within_bounds(answer.data().iter().filter_map(shown)),
        }));
    }
    Ok(None)
}

async fn is_secure_alias(dns: &Dns, host: &DnsName) -> Result<bool, Unknown> {
    let answer = look_up_or_unknown(dns, host, Kind::Cname).await?;
    Ok(answer.secure() && !answer.data().is_empty())
}

async fn look_up_or_unknown(
    dns: &Dns,
    name: &DnsName,
    kind: Kind,
) -> Result<std::sync::Arc<crate::dns::Answer>, Unknown> {
    match dns.look_up(name, kind).await {
        Ok(found) => Ok(found.answer),
        Err(failure) => Err(Unknown {
            name: name.clone(),
            failure,
        }),
    }
}

/// As RFC 6698 section 2.2 presents it.
fn shown(data: &Data) -> Option<String> {
    match data {
        Data::Tlsa {
            usage,
            selector,
            matching,
            data,
        } => {
            let data = HEXLOWER.encode(data);
            Some(format!("{usage} {selector} {matching} {data}"))
        }
        Data::Address(_) | Data::Exchanger { .. } | Data::Text(_) | Data::Other => None,
    }
}

/// The record, if it is one of those that SMTP uses (RFC 7672 section 3.1) and could match anything.
fn usable(data: &Data) -> Option<Tlsa> {
    let Data::Tlsa {
        usage,
        selector,
        matching,
        data,
    } = data
    else {
        return None;
    };
    let usage = match usage {
        2 => Usage::TrustAnchor,
        3 => Usage::EndEntity,
        _ => return None,
    };
    let selector = match selector {
        0 => Selector::Certificate,
        1 => Selector::PublicKey,
        _ => return None,
    };
    let (matching, octets) = match matching {
        0 => (Matching::Full, 1..=usize::MAX),
        1 => (Matching::Sha256, 32..=32),
        2 => (Matching::Sha512, 64..=64),
        _ => return None,
    };
    octets.contains(&data.len()).then(|| Tlsa {
        usage,
        selector,
        matching,
        data: data.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_smtp_does_not_know_is_not_usable() {
        let record = |usage, selector, matching, octets: usize| {
            usable(&Data::Tlsa {
                usage,
                selector,
                matching,
                data: vec![7; octets].into(),
            })
            .is_some()
        };
        for usage in [2, 3] {
            for selector in [0, 1] {
                assert!(record(usage, selector, 0, 500));
                assert!(record(usage, selector, 1, 32));
                assert!(record(usage, selector, 2, 64));
                assert!(!record(usage, selector, 0, 0));
                assert!(!record(usage, selector, 1, 31));
                assert!(!record(usage, selector, 2, 32));
                assert!(!record(usage, selector, 3, 32));
            }
            assert!(!record(usage, 2, 1, 32));
        }
        for usage in [0, 1, 4, 255] {
            assert!(!record(usage, 1, 1, 32), "{usage}");
        }
    }
}
