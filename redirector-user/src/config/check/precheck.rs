//! `[precheck]`: who is asked about customers that want port 25.

use std::net::{IpAddr, SocketAddr};

use super::Wrong;
use crate::{
    config::{Precheck, raw::RawPrecheck},
    precheck::Fqdn,
};

pub(super) fn precheck(raw: &RawPrecheck) -> Result<Precheck, Wrong> {
    let resolvers = raw.resolvers.iter().enumerate();
    let resolvers =
        resolvers.map(|(index, text)| resolver(&format!("precheck.resolvers[{index}]"), text));
    let lists = raw.lists.iter().enumerate().map(|(index, text)| {
        let wrong = |_no_name| {
            let problem =
                "not the name of a list in the DNS; allowed is a full name, as zen.example";
            Wrong::new(
                format!("precheck.lists[{index}]"),
                format!("{text:?}"),
                problem,
            )
        };
        Fqdn::new(text).map_err(wrong)
    });
    if raw.lists.len() > LISTS_MAX {
        let problem = format!("too many; at most {LISTS_MAX}");
        return Err(Wrong::new("precheck.lists", raw.lists.len(), problem));
    }
    Ok(Precheck {
        resolvers: resolvers.collect::<Result<_, _>>()?,
        lists: lists.collect::<Result<_, _>>()?,
        stranger: stranger(raw.stranger.as_deref().unwrap_or(STRANGER))?,
    })
}

pub(super) fn resolver(key: &str, text: &str) -> Result<SocketAddr, Wrong> {
    let alone = text
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, PORT));
    alone
        .or_else(|_no_address| text.parse())
        .map_err(|_neither| {
            let problem =
                "not a resolver; allowed is ADDRESS or ADDRESS:PORT, as 127.0.0.1 or [::1]:5353";
            Wrong::new(key, format!("{text:?}"), problem)
        })
}

/// It stands in an SMTP command.
fn stranger(text: &str) -> Result<String, Wrong> {
    let local = |local: &str| {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b".-_+".contains(&octet);
        (1..=64).contains(&local.len()) && local.bytes().all(fits)
    };
    match text.rsplit_once('@') {
        Some((name, domain)) if local(name) && Fqdn::new(domain).is_ok() => Ok(text.to_owned()),
        Some(_) | None => {
            let problem = "not a mailbox; allowed is one that no customer takes mail for, as nobody@example.com";
            Err(Wrong::new(
                "precheck.stranger",
                format!("{text:?}"),
                problem,
            ))
        }
    }
}

const PORT: u16 = 53;
/// Each costs a look-up for every address.
const LISTS_MAX: usize = 16;
/// A name that exists and that nobody has mail at (RFC 2606 section 3).
const STRANGER: &str = "nobody@example.com";
