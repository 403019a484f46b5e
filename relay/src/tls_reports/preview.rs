//! What would be sent, without sending it.

use std::io;

use jiff::civil::Date;

use super::Sender;
use super::report::Report;
use super::telling::endpoints;
use crate::config::Config;
use crate::dns::{Dns, Failure};
use crate::outbound::results;

/// One domain's report.
#[derive(Debug)]
pub struct Preview {
    /// Whose mail it is about.
    pub domain: String,
    /// Where it would go, as URIs; empty if the domain wants none.
    pub to: Result<Vec<String>, Unknown>,
    /// It itself.
    pub report: Report,
}

/// Why it is not known where a report would go.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unknown(Failure);

/// The reports about `day`, or the one to `domain`; those of which nothing was counted are none. `None` if the configuration
/// wants none to be sent. Reads what the relay writes each minute, and asks the DNS.
pub async fn preview(
    config: &Config,
    day: Date,
    domain: Option<&str>,
) -> io::Result<Option<Vec<Preview>>> {
    let Some(sender) = Sender::of(config) else {
        return Ok(None);
    };
    let mut days = results::list(&results::path(&config.state_dir))?;
    let day_results = days.remove(&day).unwrap_or_default();
    let mut domains: Vec<&str> = day_results.policies.iter().map(|it| it.mail_of()).collect();
    domains.sort_unstable();
    domains.dedup();
    domains.retain(|known| domain.is_none_or(|domain| known.eq_ignore_ascii_case(domain)));
    let dns = Dns::new(&config.dns);
    let mut previews = Vec::new();
    for domain in domains {
        let counted: Vec<_> = day_results.of(domain).cloned().collect();
        let to = endpoints(&dns, domain).await.map_err(Unknown);
        previews.push(Preview {
            domain: domain.to_owned(),
            to: to.map(|to| to.iter().map(ToString::to_string).collect()),
            report: Report::of(day, domain, &counted, sender.reporting()),
        });
    }
    Ok(Some(previews))
}
