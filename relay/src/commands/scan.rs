//! `outgate-relay scan`: what the scanners say of messages in files, without a relay.
//!
//! With a configuration it asks the scanners of that, by the verdicts of that; without one the scanners that the program
//! has in itself. A message is scanned as it would have come: with CRLF at the ends of its lines, whatever the file has.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use relay::classifier::{self, Live};
use relay::config::{Config, MessageLimits, ScannerConfig, VerdictConfig};
use relay::message::Message;
use relay::scan::{Judged, Means, Pipeline, Submission};
use relay_proto::address::{ForwardPath, ReversePath};
use relay_proto::envelope::{EhloName, Mail, Recipient};
use relay_proto::verdict::Verdict;
use tracing::warn;

use super::say;
use told::Told;

mod told;

/// What is scanned, and how it is said to have come.
#[derive(Debug, Args)]
pub(crate) struct ScanArguments {
    /// Messages as they are on disk; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ask only this scanner, by its kind
    #[arg(long, value_name = "NAME")]
    scanner: Option<String>,
    /// Reverse-path [default: none, as of a notification]
    #[arg(long, value_name = "ADDRESS", value_parser = path::<ReversePath>)]
    from: Option<ReversePath>,
    /// Recipient; may be given several times
    #[arg(long, value_name = "ADDRESS", value_parser = path::<ForwardPath>)]
    to: Vec<ForwardPath>,
    /// The customer's address [default: 192.0.2.1, which is nobody's]
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// What the customer calls itself in EHLO
    #[arg(long, value_name = "NAME", value_parser = ehlo_name)]
    helo: Option<EhloName>,
    /// A line of JSON for each message instead of a table
    #[arg(short, long)]
    json: bool,
}

/// What became of the messages, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// Every one would be accepted.
    Accepted,
    /// At least one would be refused, deferred or held.
    Refused,
    /// At least one could not be read.
    Unreadable,
}

/// No scanner has the name that was asked for.
#[derive(Debug, thiserror::Error)]
#[error(
    "--scanner {asked}: there is none; there are: {there}. Others need --config FILE, in which they stand"
)]
pub(crate) struct NoSuchScanner {
    asked: String,
    there: String,
}

/// What may be asked, and how.
struct Scanners {
    pipeline: Pipeline,
    max_octets: u64,
}

/// Runs it. Without `config` only those scanners are asked that the program has in itself.
pub(crate) fn run(arguments: &ScanArguments, config: Option<&Config>) -> anyhow::Result<Scanned> {
    let scanners = Scanners::new(arguments.scanner.as_deref(), config)?;
    let envelope = arguments.envelope();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut scanned = Scanned::Accepted;
    let mut table = told::Table::default();
    for file in &arguments.files {
        let octets = match read(file, scanners.max_octets) {
            Ok(octets) => octets,
            Err(error) => {
                warn!(file = %file.display(), %error, "cannot be read; the others are scanned");
                scanned = Scanned::Unreadable;
                continue;
            }
        };
        let submission = Submission {
            content: Message::from(Bytes::from(as_sent(&octets))),
            ..envelope.clone()
        };
        let judged = runtime.block_on(scanners.judge(submission));
        let accepted = matches!(judged.judgement.verdict, Verdict::Accept { .. });
        if scanned == Scanned::Accepted && !accepted {
            scanned = Scanned::Refused;
        }
        let told = Told::new(file, &judged);
        if arguments.json {
            say(&serde_json::to_string(&told)?)?;
        } else {
            table.push(&told);
        }
    }
    if !arguments.json {
        say(&table.to_string())?;
    }
    Ok(scanned)
}

impl ScanArguments {
    /// A submission without content.
    fn envelope(&self) -> Submission {
        let recipients = self.to.iter().cloned().map(Recipient::new);
        Submission {
            id: "scan".into(),
            client: self.ip.unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
            user: None,
            ehlo: self.helo.clone(),
            mail: Mail::new(self.from.clone().unwrap_or(ReversePath::Null)),
            recipients: recipients.collect(),
            content: Message::from(Bytes::new()),
        }
    }
}

impl Scanners {
    fn new(only: Option<&str>, config: Option<&Config>) -> anyhow::Result<Self> {
        let (mut scanners, verdict, max_octets) = match config {
            Some(config) => (
                config.scanners.clone(),
                config.verdict,
                config.message.max_octets,
            ),
            None => (
                ScannerConfig::embedded(),
                VerdictConfig::default(),
                MessageLimits::DEFAULT_MAX_OCTETS,
            ),
        };
        if let Some(asked) = only {
            let there: Vec<_> = scanners.iter().map(ScannerConfig::kind).collect();
            let there = there.join(", ");
            scanners.retain(|scanner| scanner.kind() == asked);
            if scanners.is_empty() {
                let asked = asked.to_owned();
                return Err(NoSuchScanner { asked, there }.into());
            }
        }
        let live = match config {
            Some(config) => classifier::open(config, None)?,
            None => Some(Arc::new(Live::open(None, None)?)),
        };
        Ok(Self {
            pipeline: Pipeline::from_config(&scanners, &Means::alone(live, config), &verdict),
            max_octets,
        })
    }

    async fn judge(&self, submission: Submission) -> Judged {
        let tier = self.pipeline.tier(None);
        let envelope = Submission {
            content: Message::from(Bytes::new()),
            ..submission.clone()
        };
        let before = self.pipeline.before_data(tier, envelope).await;
        self.pipeline.at_dot(tier, submission, before.reports).await
    }
}

fn read(file: &Path, max_octets: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    // One more, by which a file that is too long shows.
    let limit = max_octets.saturating_add(1);
    if file == Path::new("-") {
        io::stdin().take(limit).read_to_end(&mut octets)?;
    } else {
        File::open(file)?.take(limit).read_to_end(&mut octets)?;
    }
    if octets.len() as u64 > max_octets {
        let problem = format!(
            "longer than the {max_octets} octets that a message may have (message.max_octets)"
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(octets)
}

/// A message as its client would have sent it: every line ends in CRLF, and the line is gone with which messages begin in
/// an mbox.
fn as_sent(file: &[u8]) -> Vec<u8> {
    let mut lines = file.split_inclusive(|octet| *octet == b'\n').peekable();
    lines.next_if(|line| line.starts_with(b"From "));
    let mut sent = Vec::with_capacity(file.len() + file.len() / 32);
    for line in lines {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        sent.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        sent.extend_from_slice(b"\r\n");
    }
    sent
}

/// An address with or without the angle brackets that a path has.
fn path<T: FromStr>(address: &str) -> Result<T, T::Err> {
    let address = address.trim_start_matches('<').trim_end_matches('>');
    format!("<{address}>").parse()
}

fn ehlo_name(name: &str) -> Result<EhloName, &'static str> {
    EhloName::new(name).ok_or("must be 1 to 255 visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_scanned_as_it_would_have_been_sent() {
        for (file, sent) in [
            ("Subject: x\n\nhi\n", "Subject: x\r\n\r\nhi\r\n"),
            ("Subject: x\r\n\r\nhi\r\n", "Subject: x\r\n\r\nhi\r\n"),
            ("Subject: x\n\nhi", "Subject: x\r\n\r\nhi\r\n"),
            (
                "From a@b.example Sat Jan  3 01:05:34 1996\nSubject: x\n\nFrom hi\n",
                "Subject: x\r\n\r\nFrom hi\r\n",
            ),
            ("", ""),
        ] {
            assert_eq!(as_sent(file.as_bytes()), sent.as_bytes(), "{file:?}");
        }
    }
}
