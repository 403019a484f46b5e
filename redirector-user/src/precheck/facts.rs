//! What was heard about a question, before anybody judges it.

use std::{collections::BTreeMap, net::IpAddr};

use mail_auth::SpfResult;

use super::Fqdn;
pub use crate::{
    dns::{Answer, Silence},
    dnsbl::{Listed, OfItself as ListFacts},
};

/// Everything about one question.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// About each address, in order.
    pub hosts: Vec<HostFacts>,
    /// About the domain.
    pub domain: DomainFacts,
    /// About each list that is asked.
    pub lists: Vec<ListFacts>,
}

/// About one address.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// Which.
    pub address: IpAddr,
    /// Its names (PTR), without the dot at the end.
    pub names: Answer<String>,
    /// The addresses of its family that each of those names has.
    pub forward: BTreeMap<String, Answer<IpAddr>>,
    /// What its mail server says with EHLO, and the addresses of its family that this has; `None` = no name to say.
    pub ehlo: Option<(String, Answer<IpAddr>)>,
    /// What SPF says of mail from it in the domain's name.
    pub spf: SpfResult,
    /// Its port 25.
    pub knock: Knock,
    /// What each list says of it, by the list's place in [`Facts::lists`].
    pub listed: Vec<Listed>,
}

/// About the domain. Texts are those of TXT records, all strings of each in one.
#[derive(Clone, Debug)]
pub struct DomainFacts {
    /// Of each domain that its SPF record leads to, itself first: all texts.
    pub spf: BTreeMap<String, Answer<String>>,
    /// Of each selector.
    pub dkim: Vec<(String, Answer<String>)>,
    /// At `_dmarc` below it.
    pub dmarc: Answer<String>,
    /// At `_dmarc` below the organisational domain above it, if it is another.
    pub dmarc_above: Option<(Fqdn, Answer<String>)>,
    /// Its exchangers, the best first; `.` = it takes no mail (RFC 7505).
    pub exchangers: Answer<String>,
    /// The addresses of each exchanger, or, where there is none, of the domain (RFC 5321 section 5.1).
    pub addresses: BTreeMap<String, Answer<IpAddr>>,
}

impl Default for DomainFacts {
    fn default() -> Self {
        Self {
            spf: BTreeMap::new(),
            dkim: Vec::new(),
            dmarc: Ok(Vec::new()),
            dmarc_above: None,
            exchangers: Ok(Vec::new()),
            addresses: BTreeMap::new(),
        }
    }
}

/// What port 25 of an address does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Nobody listens: the connection was refused.
    Refused,
    /// Nothing comes back, or the network says that nobody is there.
    Silent(String),
    /// Somebody speaks.
    Spoke(Vec<Exchange>),
}

/// One command and its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The command; empty = nothing was said, and the reply is the greeting.
    pub command: String,
    /// The reply's last line, or why there is none.
    pub reply: Result<String, String>,
}
