//! What the queue must know of a message: enough to say when and where to, and what people filter by.

use core::net::{IpAddr, SocketAddr};

use crate::address::{Domain, ForwardPath};
use crate::queued::{Egress, QueueId, Queued, Source, UnixMillis};

/// A message that is in the spool and has recipients that are not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name.
    pub id: QueueId,
    /// When it was taken.
    pub arrived: UnixMillis,
    /// Octets of its content.
    pub octets: u64,
    /// The customer; `None` = the relay itself.
    pub customer: Option<IpAddr>,
    /// Where the customer's connection was going.
    pub original_dst: Option<SocketAddr>,
    /// What recipients' domains demand of TLS counts for nothing.
    pub policies_waived: bool,
    /// Where it shall leave from.
    pub egress: Egress,
    /// Domain of the reverse-path, in lower case; empty for `<>`.
    pub sender: String,
    /// Its recipients that are not done, by domain in lower case: one job each.
    pub domains: Vec<(String, Vec<u32>)>,
}

impl Arrival {
    /// What is to be known of `queued`, whose content has so many octets. `pending` are its recipients that are not
    /// done; `None` = all of them.
    #[must_use]
    pub fn of(queued: &Queued, octets: u64, pending: Option<&[usize]>) -> Self {
        let (customer, original_dst) = match &queued.source {
            Source::Customer {
                address,
                original_dst,
                ..
            } => (Some(*address), *original_dst),
            Source::Relay => (None, None),
        };
        let sender = queued.mail.reverse_path.mailbox();
        let mut domains: Vec<(String, Vec<u32>)> = Vec::new();
        for (index, recipient) in (0_u32..).zip(&queued.recipients) {
            let is_pending = pending.is_none_or(|pending| pending.contains(&(index as usize)));
            if !is_pending {
                continue;
            }
            let domain = match &recipient.forward_path {
                // Nobody's domain: it is for whoever was being spoken to.
                ForwardPath::Postmaster => String::new(),
                ForwardPath::Mailbox(mailbox) => domain_text(mailbox.domain()),
            };
            match domains.iter_mut().find(|(known, _)| *known == domain) {
                Some((_, indices)) => indices.push(index),
                None => domains.push((domain, vec![index])),
            }
        }
        Self {
            id: queued.id,
            arrived: queued.arrived,
            octets,
            customer,
            original_dst,
            policies_waived: queued.is_tls_report(),
            egress: queued.egress,
            sender: sender.map_or_else(String::new, |mailbox| domain_text(mailbox.domain())),
            domains,
        }
    }
}

/// A domain as the queue compares it: `example.org`, `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
#[must_use]
pub fn domain_text(domain: &Domain) -> String {
    match domain {
        Domain::Name(name) => name.as_str().to_lowercase(),
        Domain::Ipv4(address) => format!("[{address}]"),
        Domain::Ipv6(address) => format!("[IPv6:{address}]"),
    }
}
