//! `outgate-relay tls`: what came of destinations' TLS, where a policy applied or where domains are told, and what they
//! are told of it.
//!
//! It reads the file that the relay writes each minute, so it works whether the relay runs or not.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Subcommand;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use relay::config::Config;
use relay::outbound::results::{self, Counted, Day};
use relay::tls_reports::{self, Preview, Report};
use serde::Serialize;

use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// List results by day, policy and server; those of the last minute may be missing
    Ls {
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Print the reports about a day that domains are sent the day after, and where to. Sends nothing
    #[command(
        after_help = "Examples:\n  outgate-relay tls report\n  outgate-relay tls report --day 2026-11-21 --domain example.org -j"
    )]
    Report {
        /// A day (UTC) as 2026-11-21 [default: yesterday]
        #[arg(long, value_name = "DAY")]
        day: Option<Date>,
        /// Only what this domain is told
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        /// One array of JSON instead of a line before each report
        #[arg(short, long)]
        json: bool,
    },
}

/// Runs it; whether there was anything to show.
pub(super) fn run(command: &TlsCommand, config: &Config) -> anyhow::Result<bool> {
    match command {
        TlsCommand::Ls { json } => ls(*json, config),
        TlsCommand::Report { day, domain, json } => report(*day, domain.as_deref(), *json, config),
    }
}

fn report(
    day: Option<Date>,
    domain: Option<&str>,
    json: bool,
    config: &Config,
) -> anyhow::Result<bool> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let day = match day {
        Some(day) => day,
        None => today.yesterday()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let previews = runtime.block_on(tls_reports::preview(config, day, domain));
    let previews = previews.with_context(|| config.state_dir.display().to_string())?;
    let previews = previews.context("the configuration has no table [tls_reports]")?;
    if json {
        let told: Vec<Told<'_>> = previews.iter().map(Told::from).collect();
        say(&serde_json::to_string(&told)?)?;
    } else {
        for Preview { domain, to, report } in &previews {
            let to = match to {
                Ok(to) if to.is_empty() => "wants no reports".into(),
                Ok(to) => format!("to {}", to.join(" ")),
                Err(error) => format!("where to is not known: {error}"),
            };
            say(&format!("# {domain}: {to}"))?;
            say(&serde_json::to_string_pretty(report)?)?;
        }
        if previews.is_empty() {
            say(&format!("nothing was counted on {day}"))?;
        }
    }
    Ok(!previews.is_empty())
}

/// As a program reads it.
#[derive(Serialize)]
struct Told<'a> {
    domain: &'a str,
    to: &'a [String],
    error: Option<String>,
    report: &'a Report,
}

impl<'a> From<&'a Preview> for Told<'a> {
    fn from(preview: &'a Preview) -> Self {
        let (to, error) = match &preview.to {
            Ok(to) => (to.as_slice(), None),
            Err(error) => (&[][..], Some(error.to_string())),
        };
        Self {
            domain: &preview.domain,
            to,
            error,
            report: &preview.report,
        }
    }
}

fn ls(json: bool, config: &Config) -> anyhow::Result<bool> {
    let file = results::path(&config.state_dir);
    let days = results::list(&file).with_context(|| file.display().to_string())?;
    say(&if json {
        serde_json::to_string(&days)?
    } else {
        table(&days)
    })?;
    Ok(!days.is_empty())
}

fn table(days: &BTreeMap<Date, Day>) -> String {
    let head = ["DAY", "DOMAIN", "POLICY", "SERVER", "GOOD", "FAILED"].map(str::to_owned);
    let mut rows = vec![head];
    for (day, results) in days {
        rows.extend(results.policies.iter().map(|counted| row(*day, counted)));
        if results.uncounted > 0 {
            let [domain, policy, server, good] = ["-"; 4].map(str::to_owned);
            let failed = format!("{} more, not counted by domain", results.uncounted);
            rows.push([day.to_string(), domain, policy, server, good, failed]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let lines = rows
        .iter()
        .map(|[day, domain, policy, server, good, failed]| {
            let [w0, w1, w2, w3, w4] = widths;
            format!("{day:w0$}  {domain:w1$}  {policy:w2$}  {server:w3$}  {good:>w4$}  {failed}")
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(day: Date, counted: &Counted) -> [String; 6] {
    let failures: Vec<String> = counted
        .failures
        .iter()
        .map(|(result, count)| format!("{result}={count}"))
        .collect();
    let failed = if failures.is_empty() {
        "-".into()
    } else {
        failures.join(" ")
    };
    [
        day.to_string(),
        counted.mail_of().to_owned(),
        counted.policy.clone(),
        counted.mx_host.clone().unwrap_or_else(|| "-".into()),
        counted.successes.to_string(),
        failed,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_policy_and_server() {
        let counted = |domain: &str, policy: &str, mx_host: Option<&str>| Counted {
            mail_of: domain.into(),
            text: Vec::new(),
            details: Vec::new(),
            domain: domain.into(),
            policy: policy.into(),
            mx_host: mx_host.map(str::to_owned),
            successes: 12,
            failures: BTreeMap::new(),
        };
        let mut failing = counted("b.example", "sts", None);
        failing.failures.insert("certificate-expired".into(), 3);
        failing.failures.insert("sts-policy-invalid".into(), 1);
        let date = Date::constant(2026, 1, 2);
        let mut days = BTreeMap::from([(date, Day::default())]);
        let day = days.get_mut(&date).unwrap();
        day.policies = vec![counted("a.example", "tlsa", Some("mx.a.example")), failing];
        day.uncounted = 7;
        let shown = table(&days);
        assert_eq!(
            shown,
            "DAY         DOMAIN     POLICY  SERVER        GOOD  FAILED\n\
             2026-01-02  a.example  tlsa    mx.a.example    12  -\n\
             2026-01-02  b.example  sts     -               12  certificate-expired=3 sts-policy-invalid=1\n\
             2026-01-02  -          -       -                -  7 more, not counted by domain"
        );
    }
}
