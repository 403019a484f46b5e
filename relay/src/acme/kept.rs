//! What outlives the relay: the account, the certificate with its key, and why there is no newer one.
//!
//! One file, replaced as a whole and readable by the relay alone (mode 0600): a certificate is never there without its key.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{self, Place, Window};
use crate::config::AcmeConfig;
use crate::tls::{Facts, Shown, Unusable};

/// All of it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) account: Option<Account>,
    pub(super) certificate: Option<Certificate>,
    pub(super) failure: Option<Failure>,
}

/// An account with an authority.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// The authority's directory.
    pub(super) directory: String,
    pub(super) contact: Vec<String>,
    /// Its URL and its key, as the library writes them.
    pub(super) credentials: Value,
}

/// A certificate that an authority has given.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// The authority's directory.
    pub(super) directory: String,
    /// PEM, the relay's own first.
    pub(super) chain: String,
    /// PEM, PKCS#8.
    pub(super) key: String,
    /// When the authority would like it to be renewed, if it has said so.
    pub(super) window: Option<Window>,
}

/// Attempts in a row that came to nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// What was asked for.
    pub(super) directory: String,
    pub(super) domains: Vec<String>,
    pub(super) count: u32,
    /// The last of them.
    pub(super) at: Timestamp,
    pub(super) error: String,
    /// No other one before.
    pub(super) next: Timestamp,
    /// The authority has said so.
    pub(super) demanded: bool,
}

/// The file in the state directory.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("acme.json")
}

impl Kept {
    /// What the file holds; nothing, if there is none.
    pub(super) fn load(file: &Path) -> io::Result<Self> {
        match std::fs::read(file) {
            Ok(octets) => Ok(serde_json::from_slice(&octets)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// What the file is to hold.
    pub(super) fn text(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// When an authority is to be asked for a certificate; at once, if there is none that answers `terms`.
    pub(super) fn due(&self, terms: &AcmeConfig) -> Timestamp {
        match (&self.failure, self.due_of_certificate(terms)) {
            (Some(failure), _) if failure.is_about(terms) => failure.next,
            (_, Some(due)) => due,
            (_, None) => Timestamp::UNIX_EPOCH,
        }
    }

    /// When the certificate is to be renewed; `None` = there is none that answers `terms`.
    pub(super) fn due_of_certificate(&self, terms: &AcmeConfig) -> Option<Timestamp> {
        let certificate = self.certificate.as_ref()?;
        let shown = certificate.shown().ok()?;
        let facts = shown.facts()?;
        let answers = certificate.directory == terms.directory.to_string() && is_for(&facts, terms);
        answers.then(|| plan::due(&facts, certificate.window, Place::of(&shown.leaf)))
    }

    /// The account with the authority of `terms`.
    pub(super) fn account(&self, terms: &AcmeConfig) -> Option<&Account> {
        let directory = terms.directory.to_string();
        self.account.as_ref().filter(|it| it.directory == directory)
    }
}

impl Certificate {
    pub(super) fn shown(&self) -> Result<Shown, Unusable> {
        Shown::from_pem(&self.chain, &self.key)
    }
}

impl Failure {
    /// Whether the same was asked for; what the operator has changed deserves a new attempt.
    pub(super) fn is_about(&self, terms: &AcmeConfig) -> bool {
        self.directory == terms.directory.to_string() && self.domains == domains(terms)
    }
}

/// As texts.
pub(super) fn domains(terms: &AcmeConfig) -> Vec<String> {
    terms.domains.iter().map(ToString::to_string).collect()
}

/// Whether a certificate is for the names of `terms` and no others.
pub(super) fn is_for(facts: &Facts, terms: &AcmeConfig) -> bool {
    let mut domains = domains(terms);
    domains.sort_unstable();
    facts.names == domains
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::dns::DnsName;

    fn terms(directory: &str, domains: &[&str]) -> AcmeConfig {
        AcmeConfig {
            directory: directory.parse().unwrap(),
            contact: Vec::new(),
            domains: domains.iter().map(|it| DnsName::new(it).unwrap()).collect(),
            listen: vec!["[::]:80".parse().unwrap()],
            authorities: None,
            external_account: None,
        }
    }

    fn kept() -> Kept {
        let mut params = CertificateParams::new(["b.example".into(), "a.example".into()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = Certificate {
            directory: DIRECTORY.into(),
            chain: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
            window: None,
        };
        Kept {
            certificate: Some(certificate),
            ..Kept::default()
        }
    }

    const DIRECTORY: &str = "https://acme.example/directory";

    #[test]
    fn a_certificate_serves_until_it_is_due_or_something_else_is_asked_for() {
        let kept = kept();
        let same = terms(DIRECTORY, &["a.example", "b.example"]);
        let due = kept.due(&same);
        let two_thirds: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        assert!(due >= two_thirds, "{due}");
        for other in [
            terms(
                "https://other.example/directory",
                &["a.example", "b.example"],
            ),
            terms(DIRECTORY, &["a.example"]),
            terms(DIRECTORY, &["a.example", "b.example", "c.example"]),
        ] {
            assert_eq!(kept.due(&other), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(Kept::default().due(&same), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn after_a_failure_the_same_is_asked_for_later_and_something_else_at_once() {
        let mut kept = kept();
        let failed = terms(DIRECTORY, &["new.example"]);
        let next: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
        kept.failure = Some(Failure {
            directory: DIRECTORY.into(),
            domains: domains(&failed),
            count: 1,
            at: "2026-01-31T23:45:00Z".parse().unwrap(),
            error: "x".into(),
            next,
            demanded: false,
        });
        assert_eq!(kept.due(&failed), next);
        let other = terms(DIRECTORY, &["newer.example"]);
        assert_eq!(kept.due(&other), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = path(directory.path());
        assert!(Kept::load(&file).unwrap().certificate.is_none());
        crate::durable::replace(&file, &kept().text().unwrap()).unwrap();
        let certificate = Kept::load(&file).unwrap().certificate.unwrap();
        assert!(certificate.shown().is_ok());
        std::fs::write(&file, "{\"account\":").unwrap();
        assert!(Kept::load(&file).is_err());
    }
}
