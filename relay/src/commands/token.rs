//! `outgate-relay token`: from a complaint to the customer.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use relay::config::Config;
use relay::token::{self, Attribution, Tokens};
use serde::Serialize;
use tracing::warn;

use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Say whose message it was, when, and what was done with it. Needs to read the keys in state_dir
    Resolve {
        /// The token, or a file with it: the message, a report about it, an answer that quotes it; - is standard input
        token: String,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
}

/// Runs it; whether there was a token that says something.
pub(super) fn run(command: &TokenCommand, config: &Config) -> anyhow::Result<bool> {
    let TokenCommand::Resolve { token, json } = command;
    let tokens = Tokens::read(&config.state_dir, config.token)
        .with_context(|| format!("keys in {}", config.state_dir.display()))?;
    let found = token::find(&octets(token)?);
    if found.is_empty() {
        bail!("{token}: no X-Outgate-Token is in it");
    }
    let mut resolved = Vec::new();
    for token in found {
        match tokens.resolve(&token) {
            Ok(attribution) => resolved.push(attribution),
            Err(error) => warn!(%error, token, "cannot be resolved"),
        }
    }
    if *json {
        let told: Vec<Told> = resolved.iter().map(Told::from).collect();
        say(&serde_json::to_string(&told)?)?;
    } else {
        for attribution in &resolved {
            say(&table(attribution))?;
        }
    }
    Ok(!resolved.is_empty())
}

fn octets(token: &str) -> anyhow::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let limited = |reader: &mut dyn Read, octets: &mut Vec<u8>| {
        reader.take(MAIL_OCTETS_MAX).read_to_end(octets).map(drop)
    };
    if token == "-" {
        limited(&mut std::io::stdin(), &mut octets).context("standard input")?;
    } else if Path::new(token).is_file() {
        let mut file = std::fs::File::open(token).with_context(|| token.to_owned())?;
        limited(&mut file, &mut octets).with_context(|| token.to_owned())?;
    } else {
        octets.extend_from_slice(token.as_bytes());
    }
    Ok(octets)
}

/// As a program reads it.
#[derive(Serialize)]
struct Told {
    customer: String,
    flag: Option<u32>,
    treatment: &'static str,
    egress: &'static str,
    at: String,
    id: String,
}

impl From<&Attribution> for Told {
    fn from(attribution: &Attribution) -> Self {
        Self {
            customer: attribution.customer.to_string(),
            flag: attribution.flag_id,
            treatment: attribution.treatment.name(),
            egress: attribution.egress.name(),
            at: attribution.at.to_string(),
            id: attribution.id.clone(),
        }
    }
}

fn table(attribution: &Attribution) -> String {
    let told = Told::from(attribution);
    let flag = told
        .flag
        .map_or_else(|| "none".into(), |flag| flag.to_string());
    [
        ("CUSTOMER", told.customer.as_str()),
        ("AT", &told.at),
        ("FLAG", &flag),
        ("TREATMENT", told.treatment),
        ("EGRESS", told.egress),
        ("ID", &told.id),
    ]
    .map(|(name, value)| format!("{name:9}  {value}"))
    .join("\n")
}

/// A complaint with its message.
const MAIL_OCTETS_MAX: u64 = 256 << 20;
