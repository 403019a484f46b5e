//! What `outgate-relay` does beside running: `learnt` is what the relay has learnt, `dkim` are its keys,
//! `token` reads those in complaints, `tls` is what came of destinations' TLS, and is told of it, `spool` is what is kept,
//! `acme` is the relay's own certificate, `behaviour` and `identity` are what customers do, and may not do, `quarantine` is
//! what was refused and kept. `completion` and `man` write what is made of this very command line (`generate`).
//!
//! `learnt` reads and writes the journal, so it works whether the relay runs or not; a running relay reads what was
//! written before it next decides.

mod acme;
mod behaviour;
pub(crate) mod classifier;
pub(crate) mod generate;
mod quarantine;
mod queue;
pub(crate) mod scan;
mod spool;
mod tls;
mod token;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use acme::AcmeCommand;
use anyhow::{Context, anyhow, bail};
use behaviour::{BehaviourArguments, IdentityCommand};
use clap::Subcommand;
use classifier::ClassifierCommand;
use generate::{CompletionArguments, ManArguments};
use quarantine::QuarantineCommand;
use queue::QueueCommand;
use relay::config::Config;
use relay::dkim::Signer;
use relay::learnt::{self, Entry, Learner, State};
use scan::ScanArguments;
use serde::Serialize;
use spool::SpoolCommand;
use tls::TlsCommand;
use token::TokenCommand;
use tracing::warn;

/// All that can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    #[command(flatten)]
    OfARelay(Command),
    /// Say what the scanners find in messages, without a relay: those in the program itself, or with --config those of a
    /// configuration
    #[command(
        after_help = "Exit codes: 0 all would be accepted, 1 one would be refused, deferred or held, 2 a mistake or a file that \
                      cannot be read, 78 wrong configuration.\n\n\
                      Examples:\n  outgate-relay scan message.eml\n  \
                      outgate-relay scan --config /etc/outgate/relay.toml --ip 192.0.2.10 --from a@example.org Maildir/cur/*\n  \
                      outgate-relay scan --scanner builtin -j - < message.eml"
    )]
    Scan(ScanArguments),
    /// Write a script that completes command lines
    #[command(
        after_help = "Examples:\n  source <(outgate-relay completion bash)\n  \
                      outgate-relay completion zsh > /usr/share/zsh/vendor-completions/_outgate-relay\n  \
                      outgate-relay completion fish > /usr/share/fish/vendor_completions.d/outgate-relay.fish"
    )]
    Completion(CompletionArguments),
    /// Write manual pages
    #[command(
        after_help = "Examples:\n  outgate-relay man | man -l -\n  outgate-relay man /usr/local/share/man/man8"
    )]
    Man(ManArguments),
}

/// What a person may want to know or change about a relay that has a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Customers whose sessions are spliced although nobody asked for it, because they could not go on otherwise
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay learnt ls\n  outgate-relay learnt revoke 192.0.2.10\n  \
                      outgate-relay learnt revoke 2001:db8:a:a::10 '[2001:db8:b:1::10]:25'"
    )]
    Learnt(LearntCommand),
    /// Keys that the relay signs mail with
    #[command(subcommand)]
    Dkim(DkimCommand),
    /// Tokens in messages' trace fields, by which complaints lead to customers
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay token resolve complaint.eml\n  outgate-relay token resolve - -j < complaint.eml"
    )]
    Token(TokenCommand),
    /// What came of destinations' TLS, where DANE or MTA-STS applied, and what domains are told of it
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay tls ls\n  outgate-relay tls report --day 2026-11-21 --domain example.org"
    )]
    Tls(TlsCommand),
    /// Messages that are kept to be delivered
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay spool ls\n  outgate-relay spool show 01K8Z3V5M0000 --json\n  \
                      outgate-relay spool verify\n  outgate-relay spool export 01K8Z3V5M0000 message.eml\n  \
                      outgate-relay spool transfer --to relay-2 --dry-run\n  outgate-relay spool transfer --cancel"
    )]
    Spool(SpoolCommand),
    /// Mail that the running relay has queued
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay queue ls --domain example.org\n  outgate-relay queue show 01K8Z3V5M0000\n  \
                      outgate-relay queue flush --site mx.example.org\n  \
                      outgate-relay queue delete --customer 192.0.2.10 --reason 'spam, ticket 4711' --dry-run\n  \
                      outgate-relay queue pause --domain example.org"
    )]
    Queue(QueueCommand),
    /// The certificate that the relay gets for itself
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay acme status\n  outgate-relay acme status --json"
    )]
    Acme(AcmeCommand),
    /// The embedded classifier. Reads no configuration
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay classifier train --ham /srv/mail/wanted --spam /srv/mail/spam --model /var/lib/outgate-relay/our.ogcm\n  \
                      outgate-relay classifier show --model /var/lib/outgate-relay/our.ogcm\n  \
                      outgate-relay classifier explain message.eml"
    )]
    Classifier(ClassifierCommand),
    /// What customers do: how much, to whom, with what answers, and how much of their limits is used up
    #[command(
        after_help = "Examples:\n  outgate-relay behaviour\n  outgate-relay behaviour 192.0.2.10\n  \
                      outgate-relay behaviour 2001:db8:a:a::/64 --json"
    )]
    Behaviour(BehaviourArguments),
    /// Sites inside of shared hosts, and the locks on them
    #[command(
        subcommand,
        after_help = "Examples:\n  outgate-relay identity lock 1001:mail.php --customer 192.0.2.10 --for 7d \
                      --reason 'sends spam, ticket 4711'\n  outgate-relay identity ls\n  \
                      outgate-relay identity unlock 1001:mail.php --customer 192.0.2.10"
    )]
    Identity(IdentityCommand),
    /// Copies of refused messages that the running relay has kept
    #[command(
        subcommand,
        after_help = "Exit codes: 0 done, 2 not found, 3 refused, 4 done in part.\n\nExamples:\n  \
                      outgate-relay quarantine ls --customer 192.0.2.10 --since 24h\n  \
                      outgate-relay quarantine show 0QZ8K3V5M00AB12.3 --headers --reason 'ticket 4711'\n  \
                      outgate-relay quarantine show 0QZ8K3V5M00AB12.3 --body --identity-file desk.key --reason 'ticket 4711'\n  \
                      outgate-relay quarantine release --alike 0QZ8K3V5M00AB12.3 --identity-file desk.key --reason 'newsletter, asked for'\n  \
                      outgate-relay quarantine drop 0QZ8K3V5M00AB12.3 --reason 'erasure, ticket 4712'\n  \
                      outgate-relay quarantine audit --verify"
    )]
    Quarantine(QuarantineCommand),
}

/// A command that has ended otherwise than well, and how it says so to programs: as `outgate` does.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    text: String,
}

impl Ended {
    /// There is no such thing.
    fn not_found(text: String) -> Self {
        Self { exit_code: 2, text }
    }

    /// It must not be done.
    fn refused(text: String) -> Self {
        Self { exit_code: 3, text }
    }

    /// Some of it was done.
    fn partial(text: String) -> Self {
        Self { exit_code: 4, text }
    }
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum DkimCommand {
    /// Print the TXT records that have to stand in the DNS, as a zone's file has them
    Record,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum LearntCommand {
    /// List them, with why and until when
    Ls {
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Splice a customer's sessions no more; it is not learnt again before it would have lapsed. A running relay obeys
    /// at once, but for sessions that are spliced now
    Revoke {
        /// Its address; an IPv6 address stands for its /64
        customer: String,
        /// One destination, ADDRESS or ADDRESS:PORT [default: all of them; port 25]
        destination: Option<String>,
    },
}

/// Runs it; whether there was something to do it with. `file` is where `config` stands.
pub(crate) fn run(command: &Command, config: &Config, file: &Path) -> anyhow::Result<bool> {
    match command {
        Command::Learnt(command) => learnt(command, &config.splice.learnt),
        Command::Token(command) => token::run(command, config),
        Command::Tls(command) => tls::run(command, config),
        Command::Queue(command) => queue::run(command, config),
        Command::Acme(command) => acme::run(command, config),
        Command::Behaviour(arguments) => behaviour::behaviour(arguments, config),
        Command::Identity(command) => behaviour::identity(command, config),
        Command::Quarantine(command) => quarantine::run(command, config),
        Command::Dkim(DkimCommand::Record) => {
            let signer = Signer::open(&config.dkim).map_err(|error| error.in_file(file))?;
            for record in signer.records() {
                say(&record.to_string())?;
            }
            if config.dkim.is_empty() {
                say("no [[dkim]] stands in the configuration")?;
            }
            Ok(!config.dkim.is_empty())
        }
        Command::Spool(command) => spool::run(command, config),
        Command::Classifier(command) => classifier::run(command),
    }
}

/// `journal` is `splice.learnt`.
fn learnt(command: &LearntCommand, journal: &Path) -> anyhow::Result<bool> {
    match command {
        LearntCommand::Ls { json } => {
            let (entries, damaged) =
                learnt::list(journal).with_context(|| journal.display().to_string())?;
            if damaged > 0 {
                warn!(lines = damaged, file = %journal.display(), "damaged lines are skipped");
            }
            say(&if *json {
                serde_json::to_string(&entries.iter().map(Told::from).collect::<Vec<_>>())?
            } else {
                table(&entries)
            })?;
            Ok(true)
        }
        LearntCommand::Revoke {
            customer,
            destination,
        } => {
            let customer = read_customer(customer)?;
            let destination = destination.as_deref().map(read_destination).transpose()?;
            let revoked = learnt::revoke(journal, customer, destination)
                .with_context(|| journal.display().to_string())?;
            if revoked.is_empty() {
                say(&format!("nothing learnt of {customer} matches"))?;
                return Ok(false);
            }
            for destination in revoked {
                say(&format!("{customer} {destination}: revoked"))?;
            }
            Ok(true)
        }
    }
}

/// One pair, as a program reads it.
#[derive(Serialize)]
struct Told {
    customer: String,
    destination: SocketAddr,
    state: &'static str,
    until: String,
}

impl From<&Entry> for Told {
    fn from(entry: &Entry) -> Self {
        Self {
            customer: entry.learner.to_string(),
            destination: entry.destination,
            state: match entry.state {
                State::Spliced(why) => why.name(),
                State::Revoked => "revoked",
            },
            until: entry.until.to_string(),
        }
    }
}

fn table(entries: &[Entry]) -> String {
    let head = ["CUSTOMER", "DESTINATION", "STATE", "UNTIL"].map(str::to_owned);
    let rows = entries.iter().map(Told::from).map(|told| {
        let destination = told.destination.to_string();
        [
            told.customer,
            destination,
            told.state.to_owned(),
            told.until,
        ]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let lines = rows.iter().map(|[customer, destination, state, until]| {
        let [first, second, third] = widths;
        format!("{customer:first$}  {destination:second$}  {state:third$}  {until}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn read_customer(text: &str) -> anyhow::Result<Learner> {
    // As `ls` writes it.
    let address = text.strip_suffix("/64").unwrap_or(text);
    let address: IpAddr = address
        .parse()
        .map_err(|_parse| anyhow!("{text}: not an address, as 192.0.2.10 or 2001:db8:a:a::10"))?;
    if address.is_ipv4() && text.contains('/') {
        bail!("{text}: an IPv4 customer is one address");
    }
    Ok(Learner::of(address))
}

fn read_destination(text: &str) -> anyhow::Result<SocketAddr> {
    let address = text.parse().map(|address| SocketAddr::new(address, 25));
    address.or_else(|_no_address| text.parse()).map_err(|_parse| {
        anyhow!("{text}: not a destination, as 203.0.113.10, 203.0.113.10:25 or [2001:db8:b:1::10]:25")
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}
