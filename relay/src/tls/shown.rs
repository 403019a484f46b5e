//! A certificate that handshakes show, and what it says of itself.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// A chain with its key, ready for handshakes.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) config: Arc<ServerConfig>,
    /// The relay's own certificate.
    pub(crate) leaf: CertificateDer<'static>,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The names that it is for, in lower case, sorted.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Why a chain and a key cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// No PEM, or not what should be in it.
    #[error("{0}")]
    Pem(#[from] pem::Error),
    /// There is nothing.
    #[error("no certificate")]
    Empty,
    /// The key is of no kind that the TLS library knows, or another certificate's.
    #[error("{0}")]
    Refused(#[from] rustls::Error),
}

impl Shown {
    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Unusable> {
        let leaf = chain.first().cloned().ok_or(Unusable::Empty)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self {
            config: Arc::new(config),
            leaf,
        })
    }

    /// Of a chain, the relay's own certificate first, and its key.
    pub(crate) fn from_pem(chain: &str, key: &str) -> Result<Self, Unusable> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        Self::new(chain.collect::<Result<_, _>>()?, key)
    }

    /// What it says of itself.
    pub(crate) fn facts(&self) -> Option<Facts> {
        Facts::of(&self.leaf)
    }
}

impl Facts {
    /// `None` = it cannot be read, although the TLS library may be able to show it.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_rest, certificate) = parse_x509_certificate(certificate).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()?;
        let names = alternatives.iter().flat_map(|it| &it.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        let validity = certificate.validity();
        Some(Self {
            names,
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(names: &[&str]) -> (String, KeyPair) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key)
    }

    #[test]
    fn a_certificate_says_when_it_ends_and_for_which_names_it_is() {
        let (chain, key) = certificate(&["mx.example.net", "A.example.net"]);
        let shown = Shown::from_pem(&chain, &key.serialize_pem()).unwrap();
        let facts = shown.facts().unwrap();
        assert_eq!(facts.names, ["a.example.net", "mx.example.net"]);
        assert_eq!(facts.not_before.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(facts.not_after.to_string(), "2026-04-01T00:00:00Z");
    }

    #[test]
    fn what_does_not_belong_together_is_not_shown() {
        let (chain, key) = certificate(&["mx.example.net"]);
        let (_, other) = certificate(&["mx.example.net"]);
        let refused = |chain: &str, key: &str| Shown::from_pem(chain, key).unwrap_err();
        let pem = key.serialize_pem();
        assert!(matches!(
            refused(&chain, &other.serialize_pem()),
            Unusable::Refused(_)
        ));
        assert!(matches!(refused("", &pem), Unusable::Empty));
        assert!(matches!(refused(&chain, "no key"), Unusable::Pem(_)));
        assert!(matches!(refused(&pem, &pem), Unusable::Empty));
    }
}
