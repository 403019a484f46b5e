//! One `[[webhook]]`.

use std::{path::PathBuf, time::Duration};

use crate::{secret::SecretFile, webhook::Kinds};

/// An endpoint that is told events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name, in lists and figures.
    pub name: String,
    /// Where it listens.
    pub url: WebhookUrl,
    /// What it wants to hear of.
    pub events: Kinds,
    /// What events are signed with: a secret on each line.
    pub secret_file: SecretFile,
    /// Authorities that vouch for it; `None` = those of this system.
    pub ca_file: Option<PathBuf>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    /// Whether by HTTPS.
    pub tls: bool,
    /// As it stands in the URL.
    pub authority: String,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query; with some services it is a secret itself.
    pub path: String,
}

impl WebhookUrl {
    /// Where it leads, without what might be secret of it.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}
