//! What a server must show for a domain: the operator's word, then DANE, then MTA-STS.

use std::sync::Arc;

use super::candidates::{Candidate, Candidates};
use super::strict::{Terms, Unauthenticated};
use super::{Inner, RouteError, dane};
use crate::config::RouteTls;
use crate::dns::DnsName;
use crate::outbound::requirement::{Demand, Policy, Requirement, Subject};

impl Inner {
    /// What `candidate` must show. [`RouteError::NotNow`] if that cannot be found out, or if the domain says that this is
    /// none of its servers.
    pub(super) async fn terms(
        &self,
        candidates: &Candidates,
        candidate: &Candidate,
    ) -> Result<Terms, RouteError> {
        let Some(host) = &candidate.name else {
            return Ok(by_operator(candidate, None));
        };
        if candidate.fixed.is_some() {
            return Ok(by_operator(candidate, Some(host)));
        }
        let bound = self.by_dane(candidates, candidate, host).await?;
        if let Some(bound) = &bound
            && matches!(bound.demand, Demand::Dane(_))
        {
            // RFC 8461 section 2: MTA-STS must not override it.
            let named = self.authenticates(candidates, host).await;
            return Ok(Terms {
                usual: bound.clone(),
                strict: named.map(|()| bound.clone()),
            });
        }
        let by_sts = match &candidates.policy_domain {
            Some(domain) => self.by_sts(domain, host).await?,
            None => None,
        };
        let strict = match &by_sts {
            // What is only tested names the server all the same (RFC 8461 section 4.1).
            Some(sts) => Ok(Requirement {
                demand: Demand::Certified {
                    name: host.clone(),
                    testing: false,
                },
                ..sts.clone()
            }),
            None => self.certified_if_named(candidates, host).await,
        };
        let usual = match (bound, by_sts) {
            // Records that nobody can use demand TLS; a policy that is only tested demands nothing.
            (Some(bound), Some(sts)) if !sts.is_binding() => bound,
            (_, Some(sts)) => sts,
            (Some(bound), None) => bound,
            (None, None) => Requirement::default(),
        };
        Ok(Terms { usual, strict })
    }

    async fn by_dane(
        &self,
        candidates: &Candidates,
        candidate: &Candidate,
        host: &DnsName,
    ) -> Result<Option<Requirement>, RouteError> {
        let Some(found) = &candidate.found else {
            return Ok(None);
        };
        let domain = candidates.policy_domain.as_ref();
        let domain = domain.filter(|_| candidates.secure);
        let bound = dane::look_up(&self.dns, host, candidate.port, found, domain).await;
        match bound {
            Ok(bound) => Ok(bound.map(|bound| Requirement {
                demand: bound.demand,
                subject: Some(subject(bound.base, Policy::Tlsa, host)),
                waived: false,
            })),
            Err(unknown) => {
                let subject = subject(host.clone(), Policy::Tlsa, host);
                self.results.note(&subject, "dnssec-invalid");
                let text = format!(
                    "cannot look up whether {host} has TLSA records ({}): {}",
                    unknown.name, unknown.failure
                );
                Err(RouteError::not_now("4.7.5", text))
            }
        }
    }

    async fn by_sts(
        &self,
        domain: &DnsName,
        host: &DnsName,
    ) -> Result<Option<Requirement>, RouteError> {
        let Some(sts) = &self.sts else {
            return Ok(None);
        };
        let Some(policy) = sts.policy(domain).await else {
            return Ok(None);
        };
        let subject = subject(domain.clone(), Policy::Sts, host);
        let testing = policy.testing();
        if !policy.names(host) {
            self.results.note(&subject, "validation-failure");
            if testing {
                return Ok(None);
            }
            let text = format!("{host} is none of the servers in the MTA-STS policy of {domain}");
            return Err(RouteError::not_now("4.7.5", text));
        }
        Ok(Some(Requirement {
            demand: Demand::Certified {
                name: host.clone(),
                testing,
            },
            subject: Some(subject),
            waived: false,
        }))
    }
}

fn by_operator(candidate: &Candidate, host: Option<&DnsName>) -> Terms {
    let (demand, strict) = match (candidate.fixed.map(|it| it.tls), host) {
        (Some(RouteTls::Verify), Some(name)) => {
            let demand = Demand::Certified {
                name: name.clone(),
                testing: false,
            };
            (demand.clone(), Ok(Requirement::from(demand)))
        }
        // The configuration has names wherever it says `verify`.
        (Some(RouteTls::Encrypt | RouteTls::Verify), _) => {
            (Demand::Encrypted, Err(Unauthenticated::Unverified))
        }
        (Some(RouteTls::May), _) => (Demand::Opportunistic, Err(Unauthenticated::Unverified)),
        (None, _) => (Demand::Opportunistic, Err(Unauthenticated::Nameless)),
    };
    Terms {
        usual: Requirement::from(demand),
        strict,
    }
}

fn subject(domain: DnsName, policy: Policy, host: &DnsName) -> Arc<Subject> {
    Arc::new(Subject {
        domain,
        policy,
        host: Some(host.clone()),
    })
}
