//! The TLS of whoever connects: rustls with the authorities of a file, or of this system.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject as _},
    },
};

/// Why nobody could be believed.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// There is none in it.
    #[error("{}: no authority in it", .0.display())]
    Empty(PathBuf),
    /// The library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a client goes by: whoever it connects to shows a certificate from an authority of `ca`, or, without, of this
/// system.
///
/// # Errors
///
/// [`RootsError`].
pub fn client_config(ca: Option<&Path>) -> Result<ClientConfig, RootsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(ca)?)
        .with_no_client_auth();
    Ok(config)
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let probed = || {
        // Honours SSL_CERT_FILE as other programs do.
        let found = openssl_probe::probe();
        found.cert_file.unwrap_or_else(|| PathBuf::from(USUAL))
    };
    let file = ca.map_or_else(probed, Path::to_owned);
    let read =
        CertificateDer::pem_file_iter(&file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|source| RootsError::Unreadable {
        file: file.clone(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    // Some that systems keep are too old for the library; they are no loss.
    let (_taken, _ignored) = roots.add_parsable_certificates(read);
    if roots.is_empty() {
        return Err(RootsError::Empty(file));
    }
    Ok(roots)
}

const USUAL: &str = "/etc/ssl/certs/ca-certificates.crt";
