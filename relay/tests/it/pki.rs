//! An authority of the test's own, and servers that it certifies.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// The authority.
pub(crate) struct Pki(CertifiedIssuer<'static, KeyPair>);

/// A server's side of TLS, and what TLSA records would say of it.
pub(crate) struct Certified {
    pub(crate) acceptor: TlsAcceptor,
    /// SHA-256 of its public key, in hexadecimal digits: usage 3, selector 1, matching 1.
    pub(crate) key_digest: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// SHA-256 of the authority's certificate: usage 2, selector 0, matching 1.
    pub(crate) fn digest(&self) -> String {
        hex(self.0.der())
    }

    /// Writes the authority's certificate to a file.
    pub(crate) fn write(&self, file: &Path) {
        std::fs::write(file, self.0.pem()).unwrap();
    }

    /// Writes the certificate and the key of a server with these names or addresses, for a program of others.
    pub(crate) fn write_server(&self, names: &[&str], certificate: &Path, key: &Path) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let of_server = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        // Of the authority's own name, OpenSSL would take it for self-signed.
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "a server");
        let leaf = params.signed_by(&of_server, &self.0).unwrap();
        std::fs::write(certificate, leaf.pem()).unwrap();
        std::fs::write(key, of_server.serialize_pem()).unwrap();
    }

    /// A server with these names, whose chain ends with the authority.
    pub(crate) fn certify(&self, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let spki = webpki::EndEntityCert::try_from(leaf.der()).unwrap();
        let key_digest = hex(&spki.subject_public_key_info());
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone(), self.0.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Certified {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            key_digest,
        }
    }
}

fn hex(octets: &[u8]) -> String {
    let digest = Sha256::digest(octets);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}
