//! The relay gets its own certificate, and renews it (ACME, RFC 8555, by http-01).
//!
//! [`Acme::open`] reads what only the start may read, [`bind`] opens the listeners of the challenge, [`Acme::keep`] runs
//! beside the sessions for as long as the relay does. A new certificate is on disk before it is shown, and shown from the
//! next handshake on; until there is one, the old one stays, whatever happens. Sessions notice nothing.
//!
//! Account, key and certificate are in one file of the state directory. So are failures: a relay that is started over and
//! over asks no more often than one that runs.
//!
//! # Diagnostics
//! Returned: [`Invalid`] about the configuration, an address that cannot be bound. Logged: a certificate that was
//! obtained (`info`), or not (`warn`; `error` from the third time on, or when none is left).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use instant_acme::ExternalAccountKey;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::Relay;
use crate::config::{AcmeConfig, Config, Invalid};
use crate::listen::inherited::Inherited;
use crate::listen::{self, BindError, Reach};
use crate::tls::Shown;

mod answers;
mod https;
mod keeper;
mod kept;
mod order;
mod plan;
mod status;

use answers::Answers;
use keeper::Keeper;
use kept::Kept;
pub use status::{CertificateStatus, FailureStatus, Status, status};

/// Who gets certificates.
pub struct Acme {
    terms: AcmeConfig,
    external: Option<ExternalAccountKey>,
    file: PathBuf,
}

impl Acme {
    /// As `config` has it; `None` = certificates come from elsewhere.
    pub fn open(config: &Config) -> Result<Option<Self>, Invalid> {
        let Some(terms) = &config.acme else {
            return Ok(None);
        };
        let external = terms.external_account.as_ref();
        let external = external
            .map(|it| {
                Ok(ExternalAccountKey::new(
                    it.kid.clone(),
                    &hmac_key(&it.hmac_file)?,
                ))
            })
            .transpose()?;
        Ok(Some(Self {
            terms: terms.clone(),
            external,
            file: kept::path(&config.state_dir),
        }))
    }

    /// Keeps a certificate in force, for ever. At `again` it does not wait any longer after a failure, unless the
    /// authority itself has said so.
    pub async fn keep(
        self,
        relay: Arc<Relay>,
        listeners: Vec<std::net::TcpListener>,
        again: Arc<Notify>,
    ) {
        let answers = Answers::default();
        for listener in listeners {
            tokio::spawn(answers.clone().serve(listener));
        }
        let mut keeper = Keeper::open(self, relay, answers).await;
        loop {
            keeper.consult().await;
            let Ok(wait) = Duration::try_from(keeper.due().duration_since(Timestamp::now())) else {
                keeper.attempt().await;
                continue;
            };
            tokio::select! {
                // The clock may be set, and authorities change their minds.
                () = sleep(wait.min(LONGEST_SLEEP)) => {}
                () = again.notified() => keeper.forget_pause(),
            }
        }
    }
}

/// Opens the listeners where the authority comes, or takes them from the service manager.
pub fn bind(
    addresses: &[SocketAddr],
    inherited: &mut Inherited,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    let open = |&address| {
        let listener = listen::open(address, Reach::Own, inherited);
        listener.map_err(|source| BindError { address, source })
    };
    addresses.iter().map(open).collect()
}

/// The certificate that is kept, if there is one that can be shown.
pub(crate) fn certificate(state_dir: &Path) -> Option<Shown> {
    let kept = Kept::load(&kept::path(state_dir)).ok()?;
    kept.certificate?.shown().ok()
}

fn hmac_key(file: &Path) -> Result<Vec<u8>, Invalid> {
    let invalid = |problem: &dyn std::fmt::Display| {
        Invalid::new("acme.external_account.hmac_file", file.display(), problem)
    };
    let text = std::fs::read_to_string(file).map_err(|error| invalid(&error))?;
    let line = text.lines().next().unwrap_or_default().trim();
    let key = BASE64URL_NOPAD.decode(line.trim_end_matches('=').as_bytes());
    match key {
        Ok(key) if !key.is_empty() => Ok(key),
        Ok(_) | Err(_) => Err(invalid(
            &"must have the key in its first line, in base64url as the authority gave it to you",
        )),
    }
}

const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_from_elsewhere_is_what_its_first_line_says() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hmac");
        assert!(
            hmac_key(&file)
                .unwrap_err()
                .to_string()
                .contains("No such file")
        );
        for (text, expected) in [
            ("_-8\n", Some([0xff, 0xef])),
            ("_-8=\r\nmore\n", Some([0xff, 0xef])),
            ("", None),
            ("\n_-8\n", None),
            ("no key", None),
        ] {
            std::fs::write(&file, text).unwrap();
            match expected {
                Some(key) => assert_eq!(hmac_key(&file).unwrap(), key, "{text:?}"),
                None => {
                    let error = hmac_key(&file).unwrap_err().to_string();
                    assert!(
                        error.contains("must have the key in its first line"),
                        "{error}"
                    );
                }
            }
        }
    }
}
