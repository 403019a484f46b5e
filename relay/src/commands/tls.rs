//! `outgate-relay tls`: what came of destinations' TLS, where a policy applied.
//!
//! It reads the file that the relay writes each minute, so it works whether the relay runs or not.

use std::collections::BTreeMap;

use anyhow::Context;
use clap::Subcommand;
use jiff::civil::Date;
use relay::config::Config;
use relay::outbound::results::{self, Counted, Day};

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
}

/// Runs it; whether there was anything to show.
pub(super) fn run(command: &TlsCommand, config: &Config) -> anyhow::Result<bool> {
    let TlsCommand::Ls { json } = command;
    let file = results::path(&config.state_dir);
    let days = results::list(&file).with_context(|| file.display().to_string())?;
    say(&if *json {
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
        counted.domain.clone(),
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
            domain: domain.into(),
            policy: policy.into(),
            mx_host: mx_host.map(str::to_owned),
            successes: 12,
            failures: BTreeMap::new(),
        };
        let mut failing = counted("b.example", "sts", None);
        failing.failures.insert("certificate-expired".into(), 3);
        failing.failures.insert("sts-policy-invalid".into(), 1);
        let day = Day {
            policies: vec![
                counted("mx.a.example", "tlsa", Some("mx.a.example")),
                failing,
            ],
            uncounted: 7,
        };
        let shown = table(&BTreeMap::from([(Date::constant(2026, 1, 2), day)]));
        assert_eq!(
            shown,
            "DAY         DOMAIN        POLICY  SERVER        GOOD  FAILED\n\
             2026-01-02  mx.a.example  tlsa    mx.a.example    12  -\n\
             2026-01-02  b.example     sts     -               12  certificate-expired=3 sts-policy-invalid=1\n\
             2026-01-02  -             -       -                -  7 more, not counted by domain"
        );
    }
}
