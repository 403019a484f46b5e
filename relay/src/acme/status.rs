//! What is to be told of the certificate, whether the relay runs or not.

use std::io;

use jiff::Timestamp;
use serde::Serialize;

use super::kept::{self, Kept};
use crate::config::{AcmeConfig, Config};

/// How it stands; nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The authority's directory.
    pub directory: String,
    /// The names that are to be certified.
    pub domains: Vec<String>,
    /// The account's URL, if there is one.
    pub account: Option<String>,
    /// What there is.
    pub certificate: Option<CertificateStatus>,
    /// Why there is no newer one.
    pub failure: Option<FailureStatus>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// Of which authority.
    pub directory: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// When it is to be renewed; absent if it is not the one that is wanted.
    pub renewal_due: Option<Timestamp>,
}

/// Attempts that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureStatus {
    /// So many in a row.
    pub count: u32,
    /// The last one.
    pub at: Timestamp,
    /// Why.
    pub error: String,
    /// The next one.
    pub next: Timestamp,
}

/// How it stands with `terms`, which are those of `config`.
pub fn status(config: &Config, terms: &AcmeConfig) -> io::Result<Status> {
    let kept = Kept::load(&kept::path(&config.state_dir))?;
    let account = kept.account(terms).and_then(|account| {
        let url = account.credentials.get("id")?.as_str()?;
        Some(url.to_owned())
    });
    let facts = kept
        .certificate
        .as_ref()
        .and_then(|it| Some((it, it.shown().ok()?.facts()?)));
    let certificate = facts.map(|(certificate, facts)| CertificateStatus {
        directory: certificate.directory.clone(),
        names: facts.names,
        not_before: facts.not_before,
        not_after: facts.not_after,
        renewal_due: kept.due_of_certificate(terms),
    });
    let failure = kept.failure.as_ref().filter(|it| it.is_about(terms));
    Ok(Status {
        directory: terms.directory.to_string(),
        domains: kept::domains(terms),
        account,
        certificate,
        failure: failure.map(|failure| FailureStatus {
            count: failure.count,
            at: failure.at,
            error: failure.error.clone(),
            next: failure.next,
        }),
    })
}
