//! Questions to the DNS, as the controller asks them: by the operator's resolvers, each with a time-out.
//!
//! An [`Asker`] is made for one question, until a deadline ([`Asker::until`]), or for questions that never end
//! ([`Asker::forgetful`]). What the DNS says that there is not is an empty [`Answer`]; whatever else went wrong is a
//! [`Silence`], never "there is none".
//!
//! # Diagnostics
//! [`NoResolver`].

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use mail_auth::{
    MessageAuthenticator,
    hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
        net::{DnsError, NetError},
        proto::{
            op::ResponseCode,
            rr::{Name, RData, RecordType},
        },
        system_conf::read_system_conf,
    },
};
use tokio::time::{Instant, timeout_at};

/// What the DNS has; empty = it says that there is none.
pub type Answer<T> = Result<Vec<T>, Silence>;

/// That nobody could tell, and why: a time-out, SERVFAIL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: no answer ({why})")]
pub struct Silence {
    /// What was asked for, as `TXT customer.example`.
    pub what: String,
    /// As the resolver says it.
    pub why: String,
}

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "resolvers of this host: {0}; name one in outgated.toml ([precheck] or [listings] resolvers)"
)]
pub struct NoResolver(String);

/// A resolver, and until when it may be asked.
pub(crate) struct Asker {
    authenticator: MessageAuthenticator,
    deadline: Option<Instant>,
}

impl Asker {
    /// Asks these, or those of this host, until then; what it has heard it remembers.
    pub(crate) fn until(servers: &[SocketAddr], deadline: Instant) -> Result<Self, NoResolver> {
        Self::new(servers, Some(deadline), |_| {})
    }

    /// Asks without an end, up to so many questions at a time, and remembers nothing: each answer is the resolver's of now.
    pub(crate) fn forgetful(servers: &[SocketAddr], at_once: usize) -> Result<Self, NoResolver> {
        Self::new(servers, None, |options| {
            options.cache_size = 0;
            options.max_active_requests = at_once;
        })
    }

    fn new(
        servers: &[SocketAddr],
        deadline: Option<Instant>,
        also: impl FnOnce(&mut ResolverOpts),
    ) -> Result<Self, NoResolver> {
        let unusable = |error: NetError| NoResolver(error.to_string());
        let (config, mut options) = match servers {
            [] => read_system_conf().map_err(unusable)?,
            servers => (to_ask(servers), ResolverOpts::default()),
        };
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = LOOK_UP;
        options.attempts = 2;
        also(&mut options);
        Ok(Self {
            authenticator: MessageAuthenticator::new(config, options).map_err(unusable)?,
            deadline,
        })
    }

    /// The resolver, for what evaluates records by itself.
    pub(crate) const fn authenticator(&self) -> &MessageAuthenticator {
        &self.authenticator
    }

    /// When an answer that is asked for now comes too late.
    pub(crate) fn patience(&self, at_most: Duration) -> Instant {
        let patience = Instant::now() + at_most;
        self.deadline
            .map_or(patience, |deadline| deadline.min(patience))
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
        let patience = self.patience(LOOK_UP * 3);
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

    pub(crate) async fn names(&self, address: IpAddr) -> Answer<String> {
        let found = self.look_up(&arpa(address), RecordType::PTR).await?;
        let names = found.into_iter().filter_map(|data| match data {
            RData::PTR(name) => Some(plain(&name.0)),
            _ => None,
        });
        Ok(names.collect())
    }

    /// Those of the family of `like`.
    pub(crate) async fn addresses(&self, name: &str, like: IpAddr) -> Answer<IpAddr> {
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

    pub(crate) async fn codes(&self, name: &str) -> Answer<Ipv4Addr> {
        let found = self.look_up(name, RecordType::A).await?;
        let codes = found.into_iter().filter_map(|data| match data {
            RData::A(code) => Some(code.0),
            _ => None,
        });
        Ok(codes.collect())
    }

    pub(crate) async fn texts(&self, name: &str) -> Answer<String> {
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

    pub(crate) async fn exchangers(&self, domain: &str) -> Answer<String> {
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
pub(crate) fn printable(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in octets {
        match octet {
            b' '..=b'~' => text.push(char::from(*octet)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text
}

/// The name of an address in a zone that goes by reversed octets or nibbles (RFC 5782 sections 2.1 and 2.4).
#[must_use]
pub(crate) fn reversed(address: IpAddr, zone: &str) -> String {
    let mut name = String::new();
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{octet}."));
            }
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
        }
    }
    name + zone
}

/// The name under which an address has its name.
#[must_use]
pub(crate) fn arpa(address: IpAddr) -> String {
    let zone = match address {
        IpAddr::V4(_) => "in-addr.arpa",
        IpAddr::V6(_) => "ip6.arpa",
    };
    reversed(address, zone)
}

/// One try of one look-up; there are two.
pub(crate) const LOOK_UP: Duration = Duration::from_secs(2);
/// Of one answer; TCP would carry thousands.
const RECORDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_write_stays_text() {
        assert_eq!(printable(b"a\x1b[31m\n\xff~"), "a\\027[31m\\010\\255~");
    }
}
