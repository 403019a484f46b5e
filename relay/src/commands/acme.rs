//! `outgate-relay acme`: how it stands with the certificate that the relay gets for itself.
//!
//! It reads the file that the relay writes, so it works whether the relay runs or not.

use anyhow::Context;
use clap::Subcommand;
use relay::acme::{CertificateStatus, FailureStatus, Status, status};
use relay::config::Config;

use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum AcmeCommand {
    /// Show the certificate, when it is to be renewed, and why it could not be
    Status {
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
}

/// Runs it; whether there is a certificate.
pub(super) fn run(command: &AcmeCommand, config: &Config) -> anyhow::Result<bool> {
    let AcmeCommand::Status { json } = command;
    let terms = config.acme.as_ref();
    let terms = terms.context("the configuration has no table [acme]")?;
    let status = status(config, terms).context(
        "what the relay keeps of its certificate; whoever asks must be the relay's user, or root",
    )?;
    say(&if *json {
        serde_json::to_string(&status)?
    } else {
        table(&status)
    })?;
    Ok(status.certificate.is_some())
}

fn table(status: &Status) -> String {
    let line = |name: &str, value: &str| format!("{name:13} {value}");
    let mut lines = vec![
        line("authority", &status.directory),
        line("names", &status.domains.join(", ")),
        line("account", status.account.as_deref().unwrap_or("none yet")),
    ];
    match &status.certificate {
        Some(CertificateStatus {
            directory,
            names,
            not_before,
            not_after,
            renewal_due,
        }) => {
            if *directory != status.directory {
                lines.push(line("certificate", &format!("of {directory}")));
            }
            lines.push(line("certified", &names.join(", ")));
            lines.push(line("valid from", &not_before.to_string()));
            lines.push(line("valid until", &not_after.to_string()));
            let due = renewal_due.map_or_else(|| "now".into(), |due| due.to_string());
            lines.push(line("renewal due", &due));
        }
        None => lines.push(line("certificate", "none yet; a self-signed one is shown")),
    }
    if let Some(FailureStatus {
        count,
        at,
        error,
        next,
    }) = &status.failure
    {
        lines.push(line(
            "failed",
            &format!("{count} in a row, last {at}: {error}"),
        ));
        lines.push(line("next attempt", &next.to_string()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_and_why_there_is_no_newer_one() {
        let at = |text: &str| text.parse().unwrap();
        let mut status = Status {
            directory: "https://acme.example/directory".into(),
            domains: vec!["a.example".into(), "b.example".into()],
            account: None,
            certificate: None,
            failure: None,
        };
        assert_eq!(
            table(&status),
            "authority     https://acme.example/directory\n\
             names         a.example, b.example\n\
             account       none yet\n\
             certificate   none yet; a self-signed one is shown"
        );
        status.account = Some("https://acme.example/a/1".into());
        status.certificate = Some(CertificateStatus {
            directory: "https://staging.example/directory".into(),
            names: vec!["a.example".into()],
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2026-04-01T00:00:00Z"),
            renewal_due: None,
        });
        status.failure = Some(FailureStatus {
            count: 2,
            at: at("2026-03-02T00:00:00Z"),
            error: "b.example: connection: refused".into(),
            next: at("2026-03-02T00:30:00Z"),
        });
        assert_eq!(
            table(&status),
            "authority     https://acme.example/directory\n\
             names         a.example, b.example\n\
             account       https://acme.example/a/1\n\
             certificate   of https://staging.example/directory\n\
             certified     a.example\n\
             valid from    2026-01-01T00:00:00Z\n\
             valid until   2026-04-01T00:00:00Z\n\
             renewal due   now\n\
             failed        2 in a row, last 2026-03-02T00:00:00Z: b.example: connection: refused\n\
             next attempt  2026-03-02T00:30:00Z"
        );
    }
}
