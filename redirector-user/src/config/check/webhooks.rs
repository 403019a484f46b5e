//! `[[webhook]]`: who is told events.

use std::{collections::BTreeSet, net::IpAddr};

use hyper::Uri;

use super::{absolute, duration, pools};
use crate::{
    config::{Webhook, WebhookUrl, Wrong, raw::RawWebhook},
    secret::SecretFile,
    webhook::Kinds,
};

pub(super) fn webhooks(raw: Vec<RawWebhook>) -> Result<Vec<Webhook>, Wrong> {
    if raw.len() > WEBHOOKS_MAX {
        let problem = format!("too many; at most {WEBHOOKS_MAX}");
        return Err(Wrong::new("webhook", raw.len(), problem));
    }
    let mut names = BTreeSet::new();
    let webhooks = raw.into_iter().enumerate().map(|(index, raw)| {
        let key = |field: &str| format!("webhook[{index}].{field}");
        let name = pools::name(key("name"), &raw.name, &mut names)?;
        if raw.events.is_empty() {
            let problem = "it would be told nothing; give kinds of events, as [\"flag_*\"], or [\"*\"] for all";
            return Err(Wrong::new(key("events"), "[]", problem));
        }
        let events = Kinds::read(&raw.events)
            .map_err(|error| Wrong::new(key("events"), format!("{:?}", raw.events), error.to_string()))?;
        let ca_file = raw.ca_file.map(|file| absolute(&key("ca_file"), file));
        Ok(Webhook {
            name,
            url: url(key("url"), &raw.url, raw.insecure)?,
            events,
            secret_file: secret_file(&key("secret_file"), &raw.secret_file)?,
            ca_file: ca_file.transpose()?,
            timeout: duration(&key("timeout"), &raw.timeout, TIMEOUTS)?,
        })
    });
    webhooks.collect()
}

pub(super) fn secret_file(key: &str, text: &str) -> Result<SecretFile, Wrong> {
    SecretFile::parse(text).ok_or_else(|| {
        let problem = "neither an absolute path nor the name of a credential that systemd hands over (LoadCredential=)";
        Wrong::new(key, format!("{text:?}"), problem)
    })
}

fn url(key: String, text: &str, insecure: bool) -> Result<WebhookUrl, Wrong> {
    let malformed = || {
        let problem =
            "not where a webhook listens; allowed is https://HOST/PATH, without a user in it";
        Wrong::new(&key, format!("{text:?}"), problem)
    };
    let uri: Uri = text.parse().map_err(|_malformed| malformed())?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return Err(malformed()),
    };
    let authority = uri.authority().ok_or_else(malformed)?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(malformed());
    }
    let host = authority.host().trim_matches(['[', ']']);
    if !tls && !insecure && !is_loopback(host) {
        let problem = "whoever is on the way reads it, who is told what about customers; allowed is https://, http:// to \
                       a loopback address, and anything with insecure = true";
        return Err(Wrong::new(key, format!("{text:?}"), problem));
    }
    Ok(WebhookUrl {
        tls,
        authority: authority.as_str().to_owned(),
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        path: uri
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned(),
    })
}

/// Whether what is sent there stays on this host.
pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_name) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Each has a task, and labels of figures.
const WEBHOOKS_MAX: usize = 32;
/// Whoever tests one waits for it.
const TIMEOUTS: (&str, &str) = ("1s", "25s");
