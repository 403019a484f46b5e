//! The command line `outgate`: nouns and verbs like `ip` and `bpftool`, tables for people, JSON with `-j`.
//!
//! Exit codes are part of the interface: 0 done, 1 usage, controller unreachable or internal, 2 not found, 3
//! refused by a guard, or not allowed to the caller, 4 partial (stored, not yet in force).

mod audit;
mod bypass;
mod capture;
mod commands;
mod events;
mod exempt;
mod flag;
mod generate;
mod import;
mod listing;
mod notice;
mod precheck;
mod privacy;
mod radar;
mod range;
mod relay;
mod rules;
mod store;
mod tables;
mod tenants;
mod terms;
mod token;
mod top;
mod tunnel;
mod user;
mod webhook;
mod why;

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    api::view::ErrorKind,
    client::{ClientError, WayError},
    store::StoreError,
    tunnel::TunnelError,
};

/// What was typed.
#[derive(Debug, Parser)]
#[command(name = "outgate", version, about = "Turns the dial on customers' outbound mail, and says what is going on", after_help = EXAMPLES)]
pub struct Cli {
    /// Socket of the controller
    #[arg(long, global = true, env = "OUTGATE_SOCKET", default_value = crate::DEFAULT_SOCKET, value_name = "PATH")]
    socket: PathBuf,
    /// Controller of another host, as https://edge1.example.net:8443, instead of the socket
    #[arg(long, global = true, env = "OUTGATE_SERVER", value_name = "URL")]
    server: Option<String>,
    /// File with the token that says who you are there; see `outgate token add`
    #[arg(long, global = true, env = "OUTGATE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authorities that may vouch for that host, as a PEM file [default: those of this system]
    #[arg(long, global = true, env = "OUTGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// JSON instead of tables
    #[arg(short, long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put the program on an interface
    #[command(
        after_help = "Example:\n  outgate attach cust0 --role customer\n  outgate attach cust0 --role customer --mode native,tcx\n\nAn [[interface]] in outgated.toml keeps it there over a reboot."
    )]
    Attach(AttachArgs),
    /// Take the program off an interface
    Detach {
        /// Interface, as `ip link` names it
        interface: String,
    },
    /// Show interfaces, relays, flags and flows at a glance
    Status,
    /// Flag customers, lift flags, look at them
    #[command(subcommand)]
    Flag(flag::FlagCommand),
    /// Keep customers from being flagged for a while
    #[command(subcommand)]
    Exempt(exempt::ExemptCommand),
    /// Name destinations that nobody is redirected away from
    #[command(subcommand)]
    Bypass(bypass::BypassCommand),
    /// Say what would happen to a new mail connection, and why
    Why(Box<why::WhyArgs>),
    /// Show every counter of the kernel program
    Counters,
    /// Name each thing about this host that will hurt, and what to do about it
    #[command(
        after_help = "Run it on the edge, in its network namespace, as root; it changes nothing.\n\nExamples:\n  outgate doctor\n  outgate doctor --config /etc/outgate/outgated.toml -j\n\nExit code 1 if something does not work; warnings alone are 0."
    )]
    Doctor {
        /// Configuration of outgated
        #[arg(long, default_value = crate::DEFAULT_CONFIG, value_name = "FILE")]
        config: PathBuf,
    },
    /// Write the frames that the program takes into a file for Wireshark
    Capture(capture::CaptureArgs),
    /// Show who sends how, the most suspicious first
    Radar(radar::RadarArgs),
    /// Say what stands for whole prefixes, and find those of which nobody has thought
    #[command(subcommand)]
    Range(range::RangeCommand),
    /// Say whether a customer may be let out by port 25, and let it out
    #[command(after_help = precheck::HELP)]
    Precheck(Box<precheck::PrecheckArgs>),
    /// Show which of customers' addresses lists in the DNS name, and how far they were asked
    #[command(subcommand)]
    Listing(listing::ListingCommand),
    /// Show relays, take one out of rotation, let it back
    #[command(subcommand)]
    Relay(relay::RelayCommand),
    /// Show what is done by itself, try other rules, freeze them
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Say who would have been flagged by other rules, as `outgate rules replay`
    Replay(rules::ReplayArgs),
    /// Show what happened: verdicts, figures, limits, flags, relays
    #[command(after_help = events::EVENTS_HELP)]
    Events(events::EventsArgs),
    /// Follow what happens
    #[command(after_help = events::WATCH_HELP)]
    Watch(events::WatchArgs),
    /// Say who may submit mail to the relays
    #[command(subcommand)]
    User(user::UserCommand),
    /// Name customers by your own keys, and look at what they have and had
    #[command(subcommand)]
    Customer(tenants::CustomerCommand),
    /// Say whose a prefix is
    #[command(after_help = tenants::ASSIGN_HELP)]
    Assign(tenants::AssignArgs),
    /// Say that a prefix is a customer's no more
    #[command(
        after_help = "Example:\n  outgate unassign 192.0.2.64/28 --at 2026-03-01T12:00:00Z\n\nFlags that were made for the customer and lie in it end by themselves."
    )]
    Unassign(tenants::UnassignArgs),
    /// Say whose an address is, or was
    #[command(after_help = tenants::WHO_HELP)]
    Who(tenants::WhoArgs),
    /// Make customers, assignments and flags what a file says
    #[command(after_help = import::APPLY_HELP)]
    Apply(import::ApplyArgs),
    /// Watch who sends, relays and drops, on the whole screen
    Top(top::TopArgs),
    /// Write a script that completes command lines
    #[command(
        after_help = "Examples:\n  source <(outgate completion bash)\n  outgate completion zsh > /usr/share/zsh/vendor-completions/_outgate\n  outgate completion fish > /usr/share/fish/vendor_completions.d/outgate.fish\n  outgate completion bash --program outgated > /usr/share/bash-completion/completions/outgated"
    )]
    Completion(generate::CompletionArgs),
    /// Write manual pages
    #[command(
        after_help = "Examples:\n  outgate man | man -l -\n  outgate man /usr/local/share/man/man8"
    )]
    Man(generate::ManArgs),
    /// Say who may use the API over TCP
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show who did what, prove the trail of it, take it away
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Make copies of what outgated knows, check it, put a copy back
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Hand out, or erase, what is held about a customer
    #[command(subcommand)]
    Privacy(privacy::PrivacyCommand),
    /// Show what customers are told
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// Show who is told events, test and retry them
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// End edges' tunnels on a relay's host; asks no controller
    #[command(subcommand)]
    Tunnel(tunnel::TunnelCommand),
    /// Print the API's description (OpenAPI 3.1) of this version; asks no controller
    Openapi,
}

#[derive(Debug, Args)]
struct AttachArgs {
    /// Interface, as `ip link` names it
    interface: String,
    /// What stands at its other end
    #[arg(long, value_parser = ["customer", "uplink", "relay"])]
    role: String,
    /// Where in the kernel, or several in the order in which they are tried: native in the driver; generic is
    /// slower and works everywhere; tcx (from Linux 6.6) and clsact (before) go beside another XDP program
    #[arg(long, default_value = "native", value_delimiter = ',', value_parser = ["native", "generic", "tcx", "clsact"])]
    mode: Vec<String>,
}

/// How a command ended, as its exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done = 0,
    Failed = 1,
    NotFound = 2,
    Guarded = 3,
    Partial = 4,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Target(String),
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    #[error("{0}")]
    Rules(String),
    #[error("--mode: {0}")]
    Mode(#[from] crate::edge::LadderError),
    #[error(transparent)]
    Capture(#[from] crate::pcap::read::ReadError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Way(#[from] WayError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the export: {0}")]
    Export(#[from] crate::store::audit::NoExport),
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    #[error("standard input: {0}")]
    Input(std::io::Error),
    #[error("standard input: {0}")]
    Password(#[from] crate::password::NoPassword),
    #[error("writing the output: {0}")]
    Output(#[from] std::io::Error),
    #[error("writing the output: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs one command line.
pub async fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // To a closed pipe there is nobody to say it to; the exit code stands.
            drop(error.print());
            // clap's own code for bad usage is 2, which here means "not found".
            return if error.use_stderr() {
                Outcome::Failed
            } else {
                Outcome::Done
            }
            .into();
        }
    };
    match commands::run(cli).await {
        Ok(outcome) => outcome.into(),
        // Whoever reads our output has seen enough (`outgate flag ls | head`).
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Outcome::Done.into()
        }
        Err(error) => {
            drop(writeln!(std::io::stderr().lock(), "outgate: {error}"));
            error.outcome().into()
        }
    }
}

impl CliError {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::NotFound(_) | Self::Tunnel(TunnelError::NotAttached { .. }) => Outcome::NotFound,
            Self::Client(ClientError::Refused(error)) => match error.kind {
                ErrorKind::Guard | ErrorKind::Forbidden | ErrorKind::Changed => Outcome::Guarded,
                ErrorKind::NotFound => Outcome::NotFound,
                ErrorKind::Usage
                | ErrorKind::Internal
                | ErrorKind::Busy
                | ErrorKind::Unidentified => Outcome::Failed,
            },
            // Nothing was changed, and a person must choose.
            Self::Store(
                StoreError::Locked { .. }
                | StoreError::Damaged { .. }
                | StoreError::Newer { .. }
                | StoreError::Meddled { .. }
                | StoreError::Schema { .. },
            ) => Outcome::Guarded,
            Self::Target(_)
            | Self::Store(_)
            | Self::Config(_)
            | Self::Rules(_)
            | Self::Mode(_)
            | Self::Capture(_)
            | Self::Tunnel(_)
            | Self::Client(ClientError::Unreachable { .. } | ClientError::Unusable { .. })
            | Self::Way(_)
            | Self::Export(_)
            | Self::File { .. }
            | Self::Input(_)
            | Self::Password(_)
            | Self::Output(_)
            | Self::Json(_) => Outcome::Failed,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}

const EXAMPLES: &str = "Examples:
  outgate status
  outgate flag add 192.0.2.10 --reason \"spam run, complaint 4711\" --for 24h
  outgate flag ls
  outgate why 192.0.2.10
  outgate flag rm 192.0.2.10 --reason \"cleaned up\"

  outgate --server https://edge1.example.net:8443 --token-file ~/.outgate-token status

Exit codes: 0 done, 1 usage, controller unreachable or token not known, 2 not found, 3 refused by a guard or beyond the
token's scope, 4 stored but not yet in force";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn check(command: &clap::Command) {
            assert!(
                command.get_about().is_some(),
                "{} has no help",
                command.get_name()
            );
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
