//! Who is a peer: TLS 1.3 on both sides, each with a certificate whose fingerprint the other has in its configuration.
//!
//! A fingerprint is the whole of it: no authority, name or date is asked, because the operator has carried it from one
//! relay to the other. Whoever shows another certificate is not spoken to.
//!
//! # Diagnostics
//! Returned: [`Invalid`] about `peers.certificate` and `peers.key`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{Fingerprint, Invalid, PeersConfig};

/// The relays that this one knows, and what it shows to them.
#[derive(Clone)]
pub struct Peers {
    /// As they are configured.
    pub(crate) config: Arc<PeersConfig>,
    /// That of our own certificate, which the other needs to know.
    pub(super) own: Fingerprint,
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
}

impl Peers {
    /// Reads certificate and key.
    pub fn open(config: &PeersConfig) -> Result<Self, Invalid> {
        let wrong = |key: &str, path: &Path, problem: &dyn fmt::Display| {
            Invalid::new(key, path.display(), problem)
        };
        let (certificate, key) = (&config.certificate, &config.key);
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong("peers.certificate", certificate, &error))?;
        let Some(first) = chain.first() else {
            let problem = "no certificate in this file";
            return Err(wrong("peers.certificate", certificate, &problem));
        };
        let own = Fingerprint::of(first);
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("peers.key", key, &error))?;
        let (server, client) =
            configs(config, chain, private).map_err(|error| wrong("peers.key", key, &error))?;
        Ok(Self {
            config: Arc::new(config.clone()),
            own,
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// The relay that shows this certificate.
    pub(super) fn name_of(&self, certificates: Option<&[CertificateDer<'_>]>) -> Option<&str> {
        let shown = Fingerprint::of(certificates?.first()?);
        let mut relays = self.config.relays.iter();
        let relay = relays.find(|relay| relay.fingerprints.contains(&shown))?;
        Some(&relay.name)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers")
            .field("config", &self.config)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

fn configs(
    config: &PeersConfig,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(ServerConfig, ClientConfig), rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let known = Arc::new(Known {
        fingerprints: config
            .relays
            .iter()
            .flat_map(|relay| relay.fingerprints.clone())
            .collect(),
        provider: Arc::clone(&provider),
    });
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(&known) as Arc<dyn ClientCertVerifier>)
        .with_single_cert(chain.clone(), key.clone_key())?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(known)
        .with_client_auth_cert(chain, key)?;
    // Whoever means another protocol hears so in the handshake.
    server.alpn_protocols = vec![PROTOCOL.to_vec()];
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    // What was once taken for a peer is asked for its certificate all the same.
    server.send_tls13_tickets = 0;
    Ok((server, client))
}

/// Takes certificates that are known, and no others.
#[derive(Debug)]
struct Known {
    fingerprints: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl Known {
    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.fingerprints.contains(&Fingerprint::of(certificate)) {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Known {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

const PROTOCOL: &[u8] = b"outgate-spool";
