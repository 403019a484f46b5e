//! What the TLS of a leg must show before a message goes over it, and whether it does.
//!
//! Routing says what is required ([`Requirement`]), from DANE, MTA-STS and the operator's routes. The handshake
//! takes any certificate whose key the peer holds; what it showed is judged afterwards, by
//! [`Upstream::satisfies`](super::Upstream::satisfies), because one connection may serve domains that demand different
//! things of it.
//!
//! # Diagnostics
//! Returned: [`Unsatisfied`], whose text becomes part of a reply of class 4: nothing that is learnt from DNS or
//! from a stranger's server ends a message for good, but one of the queue that demands REQUIRETLS.

use std::sync::Arc;

use crate::dns::DnsName;

mod judge;

pub(crate) use judge::judge;

/// What is required, and on whose behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// What must be shown.
    pub demand: Demand,
    /// Whose policy that is; for reports.
    pub subject: Option<Arc<Subject>>,
    /// A failure is only reported: the sender wants its message to arrive all the same (RFC 8689 section 4.2.2).
    pub waived: bool,
}

impl Requirement {
    /// What SNI says. Nothing where nothing is demanded: some old servers refuse names that they do not know.
    pub(crate) fn server_name(&self) -> Option<&DnsName> {
        match &self.demand {
            Demand::Opportunistic | Demand::Encrypted => None,
            Demand::Dane(dane) => Some(&dane.base),
            Demand::Certified { name, .. } => Some(name),
        }
    }

    /// Whether a failure is a reason to send nothing.
    pub(crate) fn is_binding(&self) -> bool {
        let binding = match &self.demand {
            Demand::Opportunistic => false,
            Demand::Encrypted | Demand::Dane(_) => true,
            Demand::Certified { testing, .. } => !testing,
        };
        binding && !self.waived
    }

    /// Whether clear text is a result, although nothing is demanded: a domain without a policy may want to hear of that, too
    /// (RFC 8460 section 4.4).
    pub(super) fn counts_clear_text(&self) -> bool {
        let subject = self.subject.as_ref();
        subject.is_some_and(|subject| subject.policy == Policy::NoneFound)
    }

    /// The same for a message whose sender waives what its recipients' domains demand. What the operator demands of a
    /// route of its own stays.
    pub(crate) fn waived(&self) -> Self {
        Self {
            waived: self.subject.is_some(),
            ..self.clone()
        }
    }
}

/// On nobody's behalf who would want to hear of it.
impl From<Demand> for Requirement {
    fn from(demand: Demand) -> Self {
        Self {
            demand,
            subject: None,
            waived: false,
        }
    }
}

/// What must be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: TLS if it is offered, with whomever (RFC 7435).
    #[default]
    Opportunistic,
    /// TLS, with whomever: a route says so, or the TLSA records are all of kinds that nobody can use (RFC 7672
    /// section 2.2).
    Encrypted,
    /// A certificate that the TLSA records name (RFC 7672).
    Dane(Arc<Dane>),
    /// A certificate for this name from an authority that this system trusts.
    Certified {
        /// The server's name.
        name: DnsName,
        /// A failure is only reported: MTA-STS in mode `testing` (RFC 8461 section 5).
        testing: bool,
    },
}

/// TLSA records of a server, at least one of them usable.
#[derive(Debug, PartialEq, Eq)]
pub struct Dane {
    /// Where the records stand, without the port; what SNI says (RFC 7672 section 8.1).
    pub base: DnsName,
    /// Names of which a certificate below a trust anchor must have one (RFC 7672 section 3.2.2).
    pub names: Vec<DnsName>,
    /// The usable ones.
    pub records: Vec<Tlsa>,
}

/// One usable TLSA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// What it names.
    pub usage: Usage,
    /// Which part of a certificate.
    pub selector: Selector,
    /// How it says so.
    pub matching: Matching,
    /// The part, or its digest.
    pub data: Box<[u8]>,
}

/// The usages that SMTP knows (RFC 7672 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// DANE-TA(2): an authority of the server's own.
    TrustAnchor,
    /// DANE-EE(3): the server itself.
    EndEntity,
}

/// Part of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// Cert(0).
    Certificate,
    /// SPKI(1).
    PublicKey,
}

/// How a part is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Matching {
    /// Full(0).
    Full,
    /// SHA2-256(1).
    Sha256,
    /// SHA2-512(2).
    Sha512,
}

/// Whose policy a requirement is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The recipients' domain: who wants to hear of it.
    pub mail_of: DnsName,
    /// The policy's domain (RFC 8460 section 4.4): of the recipients, as where there is no policy, or for DANE the
    /// server's TLSA base domain.
    pub domain: DnsName,
    /// The kind of policy.
    pub policy: Policy,
    /// The server.
    pub host: Option<DnsName>,
    /// The policy as it was published: lines of MTA-STS, or TLSA records.
    pub text: Vec<String>,
}

/// A kind of policy, as RFC 8460 section 4.4 names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// `tlsa`.
    Tlsa,
    /// `sts`.
    Sts,
    /// `no-policy-found`: TLS is expected all the same, with whomever.
    NoneFound,
}

/// Why a leg does not show what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsatisfied {
    /// It is in clear text, because the server offers no TLS.
    #[error("it offers no STARTTLS, and TLS is demanded of it")]
    ClearText,
    /// No TLSA record names what the server showed.
    #[error("its certificate is none of those in its TLSA records")]
    Dane,
    /// An authority that we trust says nothing of it.
    #[error("its certificate is of no authority that is trusted here")]
    Untrusted,
    /// The certificate is another name's.
    #[error("its certificate is for another name")]
    OtherName,
    /// The certificate is not valid now.
    #[error("its certificate has expired, or is not valid yet")]
    Expired,
}

impl Unsatisfied {
    /// Its name in reports (RFC 8460 section 4.3).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClearText => "starttls-not-supported",
            Self::Dane => "validation-failure",
            Self::Untrusted => "certificate-not-trusted",
            Self::OtherName => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
        }
    }
}
