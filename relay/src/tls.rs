//! What the relay shows in TLS handshakes, and what it accepts.
//!
//! Towards customers it presents one certificate: the operator's, or a self-signed one that says who
//! runs it. It never presents one for a name that is not its own. Towards the MX it is
//! opportunistic (RFC 7435): any certificate is taken, because the name behind the customer's
//! chosen address is not known here, and encryption to an unknown peer is better than clear text.
//!
//! # Diagnostics
//! Returned: [`TlsError`], which names the configuration's key and file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};

use crate::config::{Config, Identity, Invalid, TlsFiles};

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
    Unusable(#[from] rustls::Error),
}

/// The server's side.
#[derive(Debug)]
pub struct ServerTls {
    files: Option<TlsFiles>,
    current: Arc<ServerConfig>,
}

impl ServerTls {
    /// What `config` asks for.
    pub fn new(config: &Config) -> Result<Self, TlsError> {
        let current = match &config.tls {
            Some(files) => from_files(files)?,
            None => self_signed(&config.identity)?,
        };
        Ok(Self {
            files: config.tls.clone(),
            current: Arc::new(current),
        })
    }

    /// What `config` asks for now, the files read again. A self-signed certificate stays what it is.
    pub fn again(self: &Arc<Self>, config: &Config) -> Result<Arc<Self>, TlsError> {
        match (&self.files, &config.tls) {
            (None, None) => Ok(Arc::clone(self)),
            _ => Self::new(config).map(Arc::new),
        }
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current)
    }
}

fn from_files(files: &TlsFiles) -> Result<ServerConfig, Invalid> {
    let wrong = |key: &str, path: &Path, problem: &dyn std::fmt::Display| {
        Invalid::new(key, path.display(), problem)
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong("tls.certificate", &files.certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(
            "tls.certificate",
            &files.certificate,
            &"no certificate in this file",
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("tls.key", &files.key, &error))?;
    server_config(chain, key).map_err(|error| wrong("tls.key", &files.key, &error))
}

fn self_signed(identity: &Identity) -> Result<ServerConfig, TlsError> {
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
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(rustls_general)?;
    Ok(server_config(vec![certificate.der().clone()], key)?)
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
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

fn rustls_general(problem: &str) -> rustls::Error {
    rustls::Error::General(problem.to_owned())
}
