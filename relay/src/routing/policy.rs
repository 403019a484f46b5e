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
            None => BySts::Nothing,
        };
        let without_policy = match &by_sts {
            BySts::Nothing => self.without_policy(candidates, host),
            BySts::Unnamed | BySts::Named(_) => Requirement::default(),
        };
        let by_sts = by_sts.requirement();
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
            (None, None) => without_policy,
        };
        Ok(Terms { usual, strict })
    }

    /// Nothing is demanded, and what comes of it is counted where domains are told of it.
    fn without_policy(&self, candidates: &Candidates, host: &DnsName) -> Requirement {
        let domain = candidates.policy_domain.as_ref();
        let subject = domain.filter(|_| self.counts_without_policy).map(|domain| {
            Arc::new(Subject {
                mail_of: domain.clone(),
                domain: domain.clone(),
                policy: Policy::NoneFound,
                host: Some(host.clone()),
                text: Vec::new(),
            })
        });
        Requirement {
            subject,
            ..Requirement::default()
        }
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
        let mail_of = candidates.policy_domain.as_ref().unwrap_or(host);
        match bound {
            Ok(bound) => Ok(bound.map(|bound| Requirement {
                demand: bound.demand,
                subject: Some(Arc::new(Subject {
                    mail_of: mail_of.clone(),
                    domain: bound.base,
                    policy: Policy::Tlsa,
                    host: Some(host.clone()),
                    text: bound.text,
                })),
                waived: false,
            })),
            Err(unknown) => {
                let subject = Subject {
                    mail_of: mail_of.clone(),
                    domain: host.clone(),
                    policy: Policy::Tlsa,
                    host: Some(host.clone()),
                    text: Vec::new(),
                };
                self.results.note(&subject, "dnssec-invalid");
                let text = format!(
                    "cannot look up whether {host} has TLSA records ({}): {}",
                    unknown.name, unknown.failure
                );
                Err(RouteError::not_now("4.7.5", text))
            }
        }
    }

    async fn by_sts(&self, domain: &DnsName, host: &DnsName) -> Result<BySts, RouteError> {
        let Some(sts) = &self.sts else {
            return Ok(BySts::Nothing);
        };
        let Some(policy) = sts.policy(domain).await else {
            return Ok(BySts::Nothing);
        };
        let subject = Subject {
            mail_of: domain.clone(),
            domain: domain.clone(),
            policy: Policy::Sts,
            host: Some(host.clone()),
            text: policy.lines(),
        };
        let testing = policy.testing();
        if !policy.names(host) {
            self.results.note(&subject, "validation-failure");
            if testing {
                return Ok(BySts::Unnamed);
            }
            let text = format!("{host} is none of the servers in the MTA-STS policy of {domain}");
            return Err(RouteError::not_now("4.7.5", text));
        }
        Ok(BySts::Named(Requirement {
            demand: Demand::Certified {
                name: host.clone(),
                testing,
            },
            subject: Some(Arc::new(subject)),
            waived: false,
        }))
    }
}

/// What the MTA-STS policy of a domain says of a server.
enum BySts {
    /// There is none.
    Nothing,
    /// It is only tested, and does not name the server; that is counted.
    Unnamed,
    /// What the server must show.
    Named(Requirement),
}

impl BySts {
    fn requirement(self) -> Option<Requirement> {
        match self {
            Self::Nothing | Self::Unnamed => None,
            Self::Named(requirement) => Some(requirement),
        }
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

/// A policy's text for reports: as many of its lines, from the first on, as a policy in good faith has.
pub(super) fn within_bounds(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut octets = 0;
    let fits = |line: &String| {
        octets += line.len();
        octets <= TEXT_OCTETS_MAX
    };
    lines.take_while(fits).collect()
}

/// Strangers write it, and it is kept for days.
const TEXT_OCTETS_MAX: usize = 2048;
