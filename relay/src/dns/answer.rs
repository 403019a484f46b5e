//! What the DNS said to a question.

use std::net::IpAddr;

use super::DnsName;

/// An answer, positive or negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The name exists, though perhaps without such records.
    pub(super) exists: bool,
    pub(super) secure: bool,
    pub(super) aliased: bool,
    pub(super) canonical: Option<DnsName>,
    pub(super) data: Vec<Data>,
    /// Length of the message that it came in.
    pub(super) octets: usize,
}

/// One record, without what is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// MX.
    Exchanger {
        /// Smaller is better.
        preference: u16,
        /// `None` = not the name of a host.
        host: Option<DnsName>,
        /// The root: there is none (RFC 7505).
        null: bool,
    },
    /// TXT, all its strings in one.
    Text(Box<[u8]>),
    /// TLSA.
    Tlsa {
        /// As in the record.
        usage: u8,
        /// As in the record.
        selector: u8,
        /// As in the record.
        matching: u8,
        /// As in the record.
        data: Box<[u8]>,
    },
    /// A record of which only its being there matters.
    Other,
}

impl Answer {
    /// Whether the name exists.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    /// The resolver has validated all of it, the aliases and what is not there included, and is trusted to have.
    pub(crate) fn secure(&self) -> bool {
        self.secure
    }

    /// The name is an alias of [`Self::canonical`].
    pub(crate) fn aliased(&self) -> bool {
        self.aliased
    }

    /// The name behind all aliases, if it is one that a host could have.
    pub(crate) fn canonical(&self) -> Option<&DnsName> {
        self.canonical.as_ref()
    }

    /// The records, as many as are kept; none in a negative answer.
    pub(crate) fn data(&self) -> &[Data] {
        &self.data
    }

    /// The addresses among them.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(|data| match data {
            Data::Address(address) => Some(*address),
            Data::Exchanger { .. } | Data::Text(_) | Data::Tlsa { .. } | Data::Other => None,
        })
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        4 * self.octets + 256
    }
}
