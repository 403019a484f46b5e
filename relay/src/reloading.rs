//! SIGHUP: the configuration is read again.
//!
//! A configuration that is wrong anywhere changes nothing at all; of a right one all is in force for new sessions at
//! once, but for what cannot change under a running relay.
//!
//! # Diagnostics
//! Logged: what was read and what stays until the next start (`info`, `warn`), or why nothing changed (`error`).

use std::path::PathBuf;
use std::sync::Arc;

use relay::Relay;
use relay::classifier;
use relay::config::Config;
use relay::dkim::Signer;
use relay::listen::descriptors;
use relay::tls::ServerTls;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::start_error;

/// Puts another filter of the log in force.
pub(crate) type SetFilter = Box<dyn Fn(&str) -> anyhow::Result<()> + Send + Sync>;

/// What is needed to do it.
pub(crate) struct Reloading {
    pub(crate) file: PathBuf,
    pub(crate) current: watch::Sender<Arc<Relay>>,
    pub(crate) tls: Arc<ServerTls>,
    /// Told when there is a reason to ask for a certificate again.
    pub(crate) renew: Arc<Notify>,
    pub(crate) set_filter: SetFilter,
}

impl Reloading {
    /// Reads the configuration and the files that it names.
    pub(crate) fn reload(&mut self) {
        match self.try_reload() {
            Ok(stays) => {
                info!(file = %self.file.display(), "configuration read again");
                if !stays.is_empty() {
                    let keys = stays.join(", ");
                    warn!(
                        keys,
                        "changed in the file, and as before until the relay is started again"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(
                    error,
                    "configuration not read again; the old one stays in force"
                );
            }
        }
    }

    fn try_reload(&mut self) -> anyhow::Result<Vec<&'static str>> {
        let config = Config::read(&self.file)?;
        let tls = self.tls.again(&config);
        let tls = tls.map_err(|error| start_error(error, &self.file))?;
        let in_file = |invalid: relay::config::Invalid| invalid.in_file(&self.file);
        let signer = Signer::open(&config.dkim).map_err(in_file)?;
        classifier::check(&config).map_err(in_file)?;
        descriptors::provide(&config).map_err(in_file)?;
        // Nothing below fails for what stands in the file.
        (self.set_filter)(&config.log.filter)?;
        let running = Arc::clone(&self.current.borrow());
        let (relay, stays) = running.reconfigured(config, Arc::clone(&tls), Arc::new(signer));
        self.tls = tls;
        self.current.send_replace(relay);
        self.renew.notify_one();
        Ok(stays)
    }
}
