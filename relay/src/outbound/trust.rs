//! The authorities that vouch for names: those of this system, or of a file of the operator's.
//!
//! The system's, and not a list compiled into the program: its administrators add and remove some, and a relay
//! that runs for a year must not believe what was believed when it was built.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// Authorities. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Those in `file`, or those of the system. Without any, whatever demands one is unsatisfied; so it
    /// is said here.
    pub(crate) fn load(file: Option<&Path>) -> Self {
        let probed = || {
            // Honours SSL_CERT_FILE as other programs do.
            let found = openssl_probe::probe();
            found.cert_file.unwrap_or_else(|| PathBuf::from(USUAL))
        };
        let file = file.map_or_else(probed, Path::to_owned);
        let mut store = RootCertStore::empty();
        match certificates(&file) {
            Ok(certificates) => {
                // Some that systems keep are too old for the library; they are no loss.
                let (_taken, _ignored) = store.add_parsable_certificates(certificates);
            }
            Err(error) => warn!(file = %file.display(), %error, "authorities cannot be read"),
        }
        if store.is_empty() {
            warn!(file = %file.display(), "no authorities: nobody's name can be verified, be it for MTA-STS or for [acme]");
        }
        Self(Arc::new(store))
    }

    /// For a client whose server must show a certificate for its name.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default TLS versions")
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth();
        Arc::new(config)
    }

    /// For the library.
    pub(crate) fn store(&self) -> &Arc<RootCertStore> {
        &self.0
    }
}

fn certificates(
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}

const USUAL: &str = "/etc/ssl/certs/ca-certificates.crt";
