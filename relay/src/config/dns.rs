//! `[dns]`: who is asked about domains.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::Invalid;
use super::check::duration;

/// Who is asked, and who is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsConfig {
    /// In the order to ask; `None` = those of /etc/resolv.conf, an empty list = nobody.
    pub servers: Option<Vec<SocketAddr>>,
    /// Those beyond loopback whose AD bit is believed.
    pub trusted: Vec<IpAddr>,
    /// How long one look-up may take.
    pub deadline: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: None,
            trusted: Vec::new(),
            deadline: Duration::from_secs(10),
        }
    }
}

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDns {
    servers: Option<Vec<String>>,
    #[serde(default)]
    trusted: Vec<String>,
    deadline: Option<String>,
}

impl TryFrom<RawDns> for DnsConfig {
    type Error = Invalid;

    fn try_from(raw: RawDns) -> Result<Self, Invalid> {
        let servers = raw.servers.map(|servers| {
            if servers.len() > SERVERS_MAX {
                let problem = format!("must name at most {SERVERS_MAX} resolvers");
                return Err(Invalid::new("dns.servers", servers.len(), problem));
            }
            servers.iter().map(|text| server(text)).collect()
        });
        let trusted = raw.trusted.iter().map(|text| {
            text.parse().map_err(|_parse| {
                Invalid::new("dns.trusted", text, "must be an address, as 192.0.2.53")
            })
        });
        let deadline = raw.deadline.map(|text| {
            let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
            duration("dns.deadline", &text, min, max)
        });
        Ok(Self {
            servers: servers.transpose()?,
            trusted: trusted.collect::<Result<_, _>>()?,
            deadline: deadline
                .transpose()?
                .unwrap_or_else(|| Self::default().deadline),
        })
    }
}

fn server(text: &str) -> Result<SocketAddr, Invalid> {
    let parsed = text.parse().map(|address| SocketAddr::new(address, 53));
    let parsed = parsed.or_else(|_no_address| text.parse());
    match parsed {
        Ok(server) if server.port() != 0 && !server.ip().is_unspecified() => Ok(server),
        Ok(_) | Err(_) => {
            let problem = "must be ADDRESS or ADDRESS:PORT of a resolver, as 127.0.0.1 or [::1]:53";
            Err(Invalid::new("dns.servers", text, problem))
        }
    }
}

const SERVERS_MAX: usize = 8;
