//! What the relay shows in TLS handshakes, and what it accepts.
//!
//! Towards customers it presents one certificate: the operator's, one that [`crate::acme`] has got, or a self-signed one
//! that says who runs it. It never presents one for a name that is not its own. Towards the MX it is
//! opportunistic (RFC 7435): any certificate is taken, because the name behind the customer's
//! chosen address is not known here, and encryption to an unknown peer is better than clear text.
//!
//! # Diagnostics
//! Returned: [`TlsError`], which names the configuration's key and file. A certificate of an authority that is kept and
//! cannot be read is as if there were none; [`crate::acme`] says so, and gets another.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use tracing::info;

use crate::acme;
use crate::config::{Config, Identity, Invalid, TlsFiles};

mod shown;

pub(crate) use shown::{Facts, Shown, Unusable};

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the configuration names cannot be used.
    #[error(transparent)]
    File(#[from] Invalid),
    /// No certificate could be made.
    #[error("self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The TLS library refuses what was made.
    #[error("self-signed certificate: {0}")]
    Unusable(String),
}

/// The server's side.
#[derive(Debug)]
pub struct ServerTls {
    source: Source,
    shown: RwLock<Arc<Shown>>,
    /// When the authority could last not be had to renew it, in seconds since 1970; 0 = the last time it could.
    failed_at: AtomicU64,
}

/// Where a certificate comes from.
#[derive(Debug)]
enum Source {
    Files(TlsFiles),
    /// From an authority that is asked for it; until then, one that nobody vouches for.
    Acme,
    SelfSigned,
}

impl ServerTls {
    /// What `config` asks for.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let (source, shown) = match &config.tls {
            Some(files) => (Source::Files(files.clone()), from_files(files)?),
            None if config.acme.is_some() => {
                let kept = acme::certificate(&config.state_dir);
                let shown = kept.map_or_else(|| self_signed(&config.identity), Ok)?;
                (Source::Acme, shown)
            }
            None => (Source::SelfSigned, self_signed(&config.identity)?),
        };
        Ok(Self {
            source,
            shown: RwLock::new(Arc::new(shown)),
            failed_at: AtomicU64::new(0),
        })
    }

    /// What `config` asks for now, the files read again. A self-signed certificate stays what it is, and who gets
    /// certificates from an authority goes on doing so until the next start.
    pub fn again(self: &Arc<Self>, config: &Config) -> Result<Arc<Self>, TlsError> {
        match (&self.source, &config.tls) {
            (Source::Acme, _) | (Source::SelfSigned, None) => Ok(Arc::clone(self)),
            (Source::Files(_), None) if config.acme.is_some() => Ok(Arc::clone(self)),
            (Source::Files(_) | Source::SelfSigned, _) => Self::new(config).map(Arc::new),
        }
    }

    /// Shows another certificate from the next handshake on.
    pub(crate) fn show(&self, shown: Shown) {
        let mut current = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(shown);
        self.failed_at.store(0, Ordering::Relaxed);
    }

    /// There is no new one.
    pub(crate) fn not_renewed(&self, at: Timestamp) {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        self.failed_at.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shown().config)
    }

    /// The two of it that are counted in seconds since 1970: when the certificate ends, and when it could last not be
    /// renewed.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let ends = self
            .shown()
            .facts()
            .map_or(0, |facts| facts.not_after.as_second());
        let failed = self.failed_at.load(Ordering::Relaxed);
        (u64::try_from(ends).unwrap_or(0), failed)
    }

    /// Says which it is.
    pub fn announce(&self) {
        let facts = self.shown().facts();
        let not_after = facts.as_ref().map(|facts| facts.not_after.to_string());
        let names = facts.map(|facts| facts.names.join(", "));
        match &self.source {
            Source::Files(files) => {
                info!(names, not_after, file = %files.certificate.display(), "certificate from a file");
            }
            Source::Acme => info!(
                names,
                not_after, "certificate, until its authority gives another"
            ),
            Source::SelfSigned => {
                info!(
                    names,
                    "self-signed certificate: there is neither [tls] nor [acme]"
                );
            }
        }
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn from_files(files: &TlsFiles) -> Result<Shown, Invalid> {
    let wrong = |key: &str, path: &Path, problem: &dyn std::fmt::Display| {
        Invalid::new(key, path.display(), problem)
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("tls.certificate", &files.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("tls.key", &files.key, &error))?;
    Shown::new(chain, key).map_err(|error| match error {
        Unusable::Empty => {
            let problem = "no certificate in this file";
            wrong("tls.certificate", &files.certificate, &problem)
        }
        Unusable::Pem(_) | Unusable::Refused(_) => wrong("tls.key", &files.key, &error),
    })
}

fn self_signed(identity: &Identity) -> Result<Shown, TlsError> {
    let mut params = CertificateParams::new([identity.hostname.clone()])?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, identity.operator.clone());
    // A common name holds 64 octets (RFC 5280, ub-common-name); a longer hostname stands in the
    // alternative name alone.
    if identity.hostname.len() <= 64 {
        subject.push(DnType::CommonName, identity.hostname.clone());
    }
    params.distinguished_name = subject;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let shown = Shown::new(vec![certificate.der().clone()], key.into());
    shown.map_err(|error| TlsError::Unusable(error.to_string()))
}

/// The client's side: TLS with whoever answers.
pub(crate) fn opportunistic() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate {
        provider: Arc::clone(&provider),
    });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Whether a handshake with a server failed because it speaks no version or no suite that we do: it is older than
/// what rustls has. What else may be behind these alerts, we cannot speak with it either.
pub(crate) fn is_too_old(error: &io::Error) -> bool {
    let Some(error) = rustls_error(error) else {
        return false;
    };
    match error {
        rustls::Error::PeerIncompatible(_) => true,
        rustls::Error::AlertReceived(alert) => [
            AlertDescription::ProtocolVersion,
            AlertDescription::HandshakeFailure,
            AlertDescription::InsufficientSecurity,
        ]
        .contains(alert),
        _ => false,
    }
}

/// The fatal alert by which a client says that it does not take our certificate, if the error is one
/// (RFC 8446 section 6.2, RFC 7672 section 2).
pub(crate) fn certificate_alert(error: &io::Error) -> Option<AlertDescription> {
    let rustls::Error::AlertReceived(alert) = rustls_error(error)? else {
        return None;
    };
    [
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
        AlertDescription::BadCertificateStatusResponse,
    ]
    .contains(alert)
    .then_some(*alert)
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Takes any certificate, but insists that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
