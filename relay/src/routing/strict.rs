//! What a server must show for mail that demands REQUIRETLS (RFC 8689 section 4.2.1).
//!
//! Its name must be one that nobody could have forged: by DNSSEC, by an MTA-STS policy, by the operator's own route, or
//! because it is the recipient's domain itself. Its certificate must then be for that name, by DANE or by an authority.

use super::Inner;
use super::candidates::Candidates;
use crate::dns::DnsName;
use crate::outbound::requirement::{Demand, Requirement};

/// What one server must show for a domain.
#[derive(Debug, Clone)]
pub struct Terms {
    /// For mail that demands nothing by itself.
    pub usual: Requirement,
    /// For mail that demands REQUIRETLS.
    pub strict: Result<Requirement, Unauthenticated>,
}

/// Why a server cannot show what REQUIRETLS needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unauthenticated {
    /// Names are what certificates are for.
    #[error("only its address is known, not its name")]
    Nameless,
    /// Anybody could have named it.
    #[error("its name is authenticated neither by DNSSEC nor by MTA-STS")]
    Forgeable,
    /// The operator sends there whatever it shows.
    #[error("the operator's route to it does not verify its certificate")]
    Unverified,
    /// The DNS knows others.
    #[error("the DNS does not name it as a server of the recipient's domain")]
    Stranger,
    /// Nobody could be asked.
    #[error("whether its name is authenticated cannot be found out now")]
    Unknown,
}

impl Unauthenticated {
    /// Whether it will be the same tomorrow, as far as anybody can tell.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Nameless | Self::Forgeable | Self::Unverified => true,
            // Other resolvers may be told of other servers.
            Self::Stranger | Self::Unknown => false,
        }
    }
}

impl Terms {
    /// Nothing is demanded, and nothing known that could be.
    pub(super) fn none(why: Unauthenticated) -> Self {
        Self {
            usual: Requirement::default(),
            strict: Err(why),
        }
    }
}

impl Inner {
    /// What `host` must show if no policy names it.
    pub(super) async fn certified_if_named(
        &self,
        candidates: &Candidates,
        host: &DnsName,
    ) -> Result<Requirement, Unauthenticated> {
        self.authenticates(candidates, host).await?;
        Ok(Requirement::from(Demand::Certified {
            name: host.clone(),
            testing: false,
        }))
    }

    /// Whether nobody could have named `host` but its domain; of MTA-STS the caller knows.
    pub(super) async fn authenticates(
        &self,
        candidates: &Candidates,
        host: &DnsName,
    ) -> Result<(), Unauthenticated> {
        let domain = candidates.policy_domain.as_ref();
        // A forged answer that there is no MX record leads to the domain itself, whose certificate nobody else has.
        if candidates.secure || domain == Some(host) {
            return Ok(());
        }
        let may_be_announced = match (&self.sts, domain) {
            (Some(sts), Some(domain)) => sts.may_be_announced(domain).await,
            (None, _) | (_, None) => false,
        };
        Err(if self.dns.validates() && !may_be_announced {
            Unauthenticated::Forgeable
        } else {
            Unauthenticated::Unknown
        })
    }
}
