//! Whether anybody vouches for a message's reverse-path, so that it may be told of a failure.
//!
//! A reverse-path is what a client says. To write to it when delivery fails would make the relay send mail to
//! whomever a spammer names (backscatter), unless the domain itself says that the client may use it: by SPF (RFC 7208)
//! for the client's address, or by a valid DKIM signature (RFC 6376) of that domain or of one above it. One below it
//! may be somebody else's; and without a list of public suffixes nothing is concluded from a common ancestor.
//!
//! A doubt says no: a resolver that fails, a message that is too large to be hashed again, or one that carries more
//! signatures than honest mail does cost a notification, which the log has instead.
//!
//! # Diagnostics
//! Returned: [`VoucherError`] at the start. Logged at `debug`: what was found.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, SpfResult};
use relay_proto::address::{Domain, Mailbox, ReversePath};
use relay_proto::envelope::EhloName;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::message::Message;

mod alignment;
mod patience;

pub use alignment::{Leaving, Spoilt};
pub use patience::Patience;

/// Who vouches for a reverse-path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// Its domain's SPF record, for the client's address.
    Spf,
    /// A DKIM signature of its domain.
    Dkim,
}

/// Asks SPF and DKIM. Cheap to clone.
#[derive(Clone)]
pub struct Voucher {
    authenticator: Arc<MessageAuthenticator>,
    hostname: Arc<str>,
    deadline: Duration,
    /// Messages that are in memory to be hashed.
    hashing: Arc<Semaphore>,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("resolvers of this host: {0}")]
pub struct VoucherError(String);

impl Voucher {
    /// Asks `servers`, or without them those of /etc/resolv.conf. `hostname` is the relay's, for SPF's macros; the look-ups
    /// about one message have `deadline`, together.
    pub fn new(
        servers: Option<&[SocketAddr]>,
        hostname: &str,
        deadline: Duration,
    ) -> Result<Self, VoucherError> {
        let unusable = |error: &dyn std::fmt::Display| VoucherError(error.to_string());
        let (config, mut options) = match servers {
            Some(servers) => (config(servers), ResolverOpts::default()),
            None => read_system_conf().map_err(|error| unusable(&error))?,
        };
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = deadline / 2;
        let authenticator =
            MessageAuthenticator::new(config, options).map_err(|error| unusable(&error))?;
        Ok(Self {
            authenticator: Arc::new(authenticator),
            hostname: hostname.into(),
            deadline,
            hashing: Arc::new(Semaphore::new(HASHING_MAX)),
        })
    }

    /// Who vouches for `reverse_path` of `message` from `client`, as far as `patience` goes. A null reverse-path needs
    /// nobody, and has nobody.
    pub async fn vouches(
        &self,
        client: IpAddr,
        ehlo: Option<&EhloName>,
        reverse_path: &ReversePath,
        message: &Message,
        patience: &Patience,
    ) -> Option<Vouched> {
        let sender = reverse_path.mailbox()?;
        let Domain::Name(domain) = sender.domain() else {
            return None;
        };
        let until = patience.until(self.deadline);
        let both = async {
            if self.spf_passes(client, ehlo, sender).await {
                return Some(Vouched::Spf);
            }
            let signed = self.is_signed(domain.as_str(), message, until).await;
            signed.then_some(Vouched::Dkim)
        };
        let found = timeout_at(until, both).await.unwrap_or(None);
        debug!(customer.addr = %client, domain = domain.as_str(), ?found, "vouched");
        found
    }

    async fn spf_passes(&self, client: IpAddr, ehlo: Option<&EhloName>, sender: &Mailbox) -> bool {
        let helo = ehlo.map_or("unknown", EhloName::as_str);
        let sender = sender.to_string();
        let asked = SpfParameters::verify_mail_from(client, helo, &self.hostname, &sender);
        let output = self.authenticator.check_host(Parameters::new(asked)).await;
        output.result() == SpfResult::Pass
    }

    async fn is_signed(&self, domain: &str, message: &Message, until: Instant) -> bool {
        let head = alignment::head(message).await.unwrap_or_default();
        let is_hashed = (1..=SIGNATURES_MAX).contains(&signatures(&head));
        if !is_hashed || message.octets() > OCTETS_MAX {
            return false;
        }
        let Ok(_place) = self.hashing.acquire().await else {
            return false;
        };
        let Ok(content) = message.read_whole().await else {
            return false;
        };
        // Hashing a body takes as long as it is large.
        let (this, domain) = (self.clone(), domain.to_owned());
        let runtime = tokio::runtime::Handle::current();
        let verified = spawn_blocking(move || {
            let verified = timeout_at(until, this.verify(&domain, &content));
            runtime.block_on(verified).unwrap_or(false)
        });
        verified.await.unwrap_or(false)
    }

    async fn verify(&self, domain: &str, content: &[u8]) -> bool {
        let Some(mut message) = AuthenticatedMessage::parse(content) else {
            return false;
        };
        message.dkim_headers.retain(|header| {
            let signature = &header.header;
            // A part of the body says nothing about the rest.
            signature.l == 0 && answers_for(&signature.d, domain)
        });
        let outputs = self
            .authenticator
            .verify_dkim(Parameters::new(&message))
            .await;
        outputs
            .iter()
            .any(|output| *output.result() == DkimResult::Pass)
    }
}

impl std::fmt::Debug for Voucher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            authenticator: _,
            hostname,
            deadline,
            hashing: _,
        } = self;
        f.debug_struct("Voucher")
            .field("hostname", hostname)
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
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

/// Whether what `signer` signs is signed by `domain`: it is the domain, or one above it.
fn answers_for(signer: &str, domain: &str) -> bool {
    let (signer, domain) = (signer.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let below = domain.strip_suffix(&signer);
    signer.contains('.') && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// How many signatures the header of `content` has.
fn signatures(content: &[u8]) -> usize {
    let name = b"DKIM-Signature";
    let lines = content.split(|&octet| octet == b'\n');
    lines
        .take_while(|line| !line.trim_ascii().is_empty())
        .filter(|line| {
            let start = line.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        })
        .count()
}

/// Of a message that is read again for its signature.
const OCTETS_MAX: u64 = 10 << 20;
/// More than any honest way of mail adds; each costs a look-up, and perhaps a passage over the body.
const SIGNATURES_MAX: usize = 8;
/// Messages that are hashed at a time.
const HASHING_MAX: usize = 4;

#[cfg(test)]
mod tests;
