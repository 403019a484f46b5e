//! One order: from the names to a certificate (RFC 8555 section 7.4).
//!
//! # Diagnostics
//! Returned: [`Failed`], whose text is for the operator. What an authority says about a challenge is in it.

use std::time::{Duration, Instant};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;

use super::answers::Answers;
use super::https;
use super::kept::{Certificate, is_for};
use crate::config::AcmeConfig;
use crate::tls::{Shown, Unusable};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The authority says so, or cannot be asked.
    #[error("{}", told(.0))]
    Authority(#[from] instant_acme::Error),
    /// It could not be shown that a name is ours.
    #[error("{domain}: {why}")]
    NotProved {
        /// The name.
        domain: String,
        /// In the authority's words.
        why: String,
    },
    /// It takes other proofs only.
    #[error("{0}: the authority has no challenge http-01 for it, and the relay answers no other")]
    NoChallenge(String),
    /// The order came to nothing, and nobody says why.
    #[error("the order is {0:?}")]
    Order(OrderStatus),
    /// The request for the certificate cannot be made.
    #[error("the request for a certificate cannot be made: {0}")]
    Request(#[from] rcgen::Error),
    /// What came cannot be shown.
    #[error("the authority's certificate cannot be used: {0}")]
    Unusable(#[from] Unusable),
    /// What came is for other names, or over.
    #[error("the authority's certificate is for other names, or not for now")]
    Wrong,
    /// It would have to be renewed at once.
    #[error(
        "the authority's new certificate has hardly any time left to live; is the clock of this host right?"
    )]
    DueAtOnce,
    /// The account as it was kept.
    #[error("the account that was kept: {0}")]
    Account(#[from] serde_json::Error),
    /// All of it together took too long.
    #[error("not within {} minutes", super::keeper::ATTEMPT_DEADLINE.as_secs() / 60)]
    TimedOut,
}

impl Failed {
    /// Whether the authority gives this error (RFC 8555 section 6.7).
    pub(super) fn is(&self, kind: &str) -> bool {
        let Self::Authority(instant_acme::Error::Api(problem)) = self else {
            return false;
        };
        let said = problem.r#type.as_deref();
        said.and_then(|said| said.strip_prefix(ERRORS)) == Some(kind)
    }

    /// Whether nothing was judged, because the authority was not reached.
    pub(super) fn is_unheard(&self) -> bool {
        match self {
            Self::Authority(instant_acme::Error::Other(error)) => error.is::<https::Failed>(),
            _ => false,
        }
    }

    /// When the authority wants to be asked about this order again, if that is too late for it.
    pub(super) fn is_late_until(&self, now: Timestamp) -> Option<Timestamp> {
        let Self::Authority(instant_acme::Error::Timeout(Some(until))) = self else {
            return None;
        };
        now.saturating_add(until.saturating_duration_since(Instant::now()))
            .ok()
    }
}

/// Gets a certificate for the names of `terms`. `replaced` is the one that it is to take the place of, if the authority
/// wants to know (RFC 9773 section 5).
pub(super) async fn obtain(
    account: &Account,
    terms: &AcmeConfig,
    replaced: Option<&CertificateDer<'_>>,
    answers: &Answers,
) -> Result<(Certificate, Shown), Failed> {
    let identifiers = terms
        .domains
        .iter()
        .map(|it| Identifier::Dns(it.to_string()));
    let identifiers: Vec<Identifier> = identifiers.collect();
    let mut wanted = NewOrder::new(&identifiers);
    if let Some(replaced) = replaced.and_then(|it| it.try_into().ok()) {
        wanted = wanted.replaces(replaced);
    }
    let mut order = account.new_order(&wanted).await?;
    let proved = prove(&mut order, answers).await;
    answers.clear();
    proved?;
    let names = terms.domains.iter().map(ToString::to_string);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    // A key of its own for each certificate: one that leaked is worth nothing after the next renewal.
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    let certificate = Certificate {
        directory: terms.directory.to_string(),
        chain,
        key: key.serialize_pem(),
        window: None,
    };
    let shown = certificate.shown()?;
    let now = Timestamp::now();
    match shown.facts() {
        Some(facts) if is_for(&facts, terms) && now < facts.not_after => Ok((certificate, shown)),
        Some(_) | None => Err(Failed::Wrong),
    }
}

/// Shows that all names of the order are ours.
async fn prove(order: &mut Order, answers: &Answers) -> Result<(), Failed> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let domain = authorization.identifier().to_string();
        match authorization.status {
            // It was shown for another order, not long ago.
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other @ (AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated) => {
                let why = format!("the authorization is {other:?}");
                return Err(Failed::NotProved { domain, why });
            }
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or(Failed::NoChallenge(domain))?;
        answers.put(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await?;
    }
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(status) => Err(why_not(order).await.unwrap_or(Failed::Order(status))),
        Err(error) => Err(why_not(order).await.unwrap_or(Failed::Authority(error))),
    }
}

/// What the authority says about the first name that it does not believe us.
async fn why_not(order: &mut Order) -> Option<Failed> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        authorization.refresh().await.ok()?;
        let mut errors = authorization
            .challenges
            .iter()
            .filter_map(|it| it.error.as_ref());
        if let Some(problem) = errors.next() {
            return Some(Failed::NotProved {
                domain: authorization.identifier().to_string(),
                why: words(problem),
            });
        }
    }
    None
}

fn told(error: &instant_acme::Error) -> String {
    match error {
        instant_acme::Error::Api(problem) => words(problem),
        other => other.to_string(),
    }
}

/// What a problem says, in one line: what strangers write may hold anything.
fn words(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    let kind = kind.strip_prefix(ERRORS).unwrap_or(kind);
    let details = problem.subproblems.iter().map(|it| it.detail.as_deref());
    let details = std::iter::once(problem.detail.as_deref())
        .chain(details)
        .flatten();
    let details = details.collect::<Vec<_>>().join("; ");
    let line = format!("{kind}: {details}");
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect()
}

const ERRORS: &str = "urn:ietf:params:acme:error:";
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
const WORDS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Failed {
        let problem: Problem = serde_json::from_str(text).unwrap();
        Failed::Authority(problem.into())
    }

    #[test]
    fn an_authoritys_words_are_one_line() {
        let failed = problem(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too\nmany \u001b[2J",
                "subproblems": [{"detail": "for a.example"}]}"#,
        );
        assert!(failed.is("rateLimited") && !failed.is("badNonce"));
        assert_eq!(
            failed.to_string(),
            "rateLimited: too many  [2J; for a.example"
        );
        let long = format!(r#"{{"detail": "{}"}}"#, "é".repeat(2000));
        assert_eq!(problem(&long).to_string().chars().count(), WORDS_MAX);
    }

    #[test]
    fn who_was_not_reached_has_judged_nothing() {
        let unheard = https::Failed::NoAddress("acme.example".into());
        let unheard = instant_acme::Error::Other(Box::new(unheard));
        assert!(Failed::Authority(unheard).is_unheard());
        assert!(!problem("{}").is_unheard());
        assert!(!Failed::TimedOut.is_unheard());
    }
}
