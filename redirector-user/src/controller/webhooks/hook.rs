//! One webhook: its endpoint, how far it is, and when that is kept.

use std::sync::{Arc, PoisonError};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Mutex, Notify},
    time::Instant,
};

use super::KEPT_EVERY;
use crate::{
    config::{Config, Webhook},
    feed::Item,
    hex,
    store::{Store, StoreError},
    webhook::{Endpoint, Progress, WebhookError},
};

/// One webhook that is turned.
#[derive(Debug)]
pub(in crate::controller) struct Hook {
    pub(super) endpoint: Endpoint,
    progress: std::sync::Mutex<Progress>,
    /// Held while progress is being kept, so that an older one never overwrites a newer; when that last was.
    pub(super) keeping: Mutex<Instant>,
    /// Wakes its task.
    pub(super) nudge: Notify,
}

impl Hook {
    /// Looks at what is configured.
    pub(in crate::controller) fn load_all(config: &Config) -> Result<Vec<Endpoint>, WebhookError> {
        config.webhooks.iter().map(Endpoint::load).collect()
    }

    /// Takes over from the store.
    pub(in crate::controller) async fn take_over(
        endpoints: Vec<Endpoint>,
        store: &Store,
    ) -> Result<Vec<Arc<Self>>, StoreError> {
        let names = endpoints.iter().map(|it| it.webhook().name.as_str());
        store.forget_webhooks(&names.collect::<Vec<_>>()).await?;
        let mut hooks = Vec::new();
        for endpoint in endpoints {
            let mut progress = store.begin_webhook(&endpoint.webhook().name).await?;
            progress.configured(&digest(endpoint.webhook()));
            hooks.push(Arc::new(Self {
                endpoint,
                progress: std::sync::Mutex::new(progress),
                keeping: Mutex::new(Instant::now()),
                nudge: Notify::new(),
            }));
        }
        Ok(hooks)
    }

    pub(super) fn name(&self) -> &str {
        &self.endpoint.webhook().name
    }

    /// A copy of how far it is.
    pub(super) fn progress(&self) -> Progress {
        self.change(|progress| progress.clone())
    }

    /// Changes with the configuration.
    pub(super) fn digest(&self) -> String {
        digest(self.endpoint.webhook())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        // A panic while it was held has left a whole progress behind.
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn keep(&self, store: &Store, told: Option<Item>) -> Result<(), StoreError> {
        let mut kept_at = self.keeping.lock().await;
        store
            .save_webhook(self.name(), &self.progress(), told)
            .await?;
        *kept_at = Instant::now();
        Ok(())
    }

    /// Whether that was long ago.
    pub(super) async fn is_due(&self) -> bool {
        self.keeping.lock().await.elapsed() >= KEPT_EVERY
    }
}

/// Another configuration has another one.
fn digest(webhook: &Webhook) -> String {
    let Webhook {
        name,
        url,
        events,
        secret_file,
        ca_file,
        timeout,
    } = webhook;
    let (origin, path) = (url.origin(), &url.path);
    let text = format!("{name}\n{origin}{path}\n{events}\n{secret_file}\n{ca_file:?}\n{timeout:?}");
    hex::encode(&Sha256::digest(text))
}
