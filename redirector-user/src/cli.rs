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
    Flag(FlagCommand),
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
    #[command(after_help = APPLY_HELP)]
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

#[derive(Debug, Subcommand)]
enum FlagCommand {
    /// Flag an address or prefix; a flag that it has already is replaced
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<AddArgs>),
    /// Lift a flag; its open connections keep their relay until they end
    #[command(
        after_help = "Example:\n  outgate flag rm 192.0.2.10 --reason \"cleaned up, ticket 4711\""
    )]
    Rm(RmArgs),
    /// Flag all that a CSV or JSON file names, at once or not at all
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(import::FileArgs),
    /// List active flags, by number
    Ls {
        /// Ended ones too
        #[arg(long)]
        all: bool,
        /// At most so many
        #[arg(long, default_value_t = 1000, value_name = "COUNT")]
        limit: u32,
        /// Only those after the flag of this number
        #[arg(long, default_value_t = 0, value_name = "ID")]
        after: u32,
        /// Only those that end, or are to be looked at again, within this while, as 7d; the first one first
        #[arg(long, value_name = "DURATION", conflicts_with_all = ["all", "after"])]
        due: Option<String>,
    },
    /// Let a flag live longer, or move the review of one that stands for ever
    #[command(after_help = terms::EXTEND_HELP)]
    Extend(terms::ExtendArgs),
    /// Agree that a flag stands for ever, as somebody else has asked for
    #[command(after_help = terms::APPROVE_HELP)]
    Approve(terms::DecideArgs),
    /// Leave a flag its end, although somebody has asked for it to stand for ever
    #[command(
        after_help = "Example:\n  outgate flag reject 192.0.2.10 --reason \"the contract ends in June\"\n\nWhoever has asked for it may take it back in the same way."
    )]
    Reject(terms::DecideArgs),
    /// Show every flag there ever was of a prefix, and what happened to each, the newest first
    #[command(
        after_help = "Examples:\n  outgate flag history 192.0.2.10\n  outgate flag history 2001:db8:a:a::/64 -j"
    )]
    History {
        /// Address or prefix; one IPv6 address stands for its /64 unless --exact
        target: String,
        /// A single IPv6 address means itself, not its /64
        #[arg(long)]
        exact: bool,
    },
    /// Show one flag with its history
    Show {
        /// Address, prefix, or number of the flag
        target: String,
        /// A single IPv6 address means itself, not its /64
        #[arg(long)]
        exact: bool,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Address or prefix; one IPv6 address stands for its /64 unless --exact
    target: String,
    /// Why; the customer reads it in refusals
    #[arg(long)]
    reason: String,
    /// pass, observe, limit, redirect, refuse, reset or drop
    #[arg(long, default_value = "redirect")]
    action: String,
    /// Pool of a redirect [default: the first one configured]
    #[arg(long)]
    pool: Option<String>,
    /// What the relay does: filter (scan, then deliver), opaque (TLS stays end to end, only clear text is scanned)
    /// or walled (refuse every recipient with the reason) [default: filter]
    #[arg(long)]
    treatment: Option<String>,
    /// Where the relay's own leg leaves from: pool (an address of the relay), customer (the customer's own; only with
    /// a pool that is via = "steer"), pool+customer (the customer's where DMARC demands it) or socks5 (a proxy of the
    /// relay's configuration) [default: pool]
    #[arg(long)]
    egress: Option<String>,
    /// When the customer hears 250: cutthrough (its MX has said so), cutthrough+spool (the same, but what the MX defers
    /// or does not answer is queued) or queue (the relay's disk has the message) [default: cutthrough]
    #[arg(long)]
    delivery: Option<String>,
    /// What of the mail may be looked at: none, metadata (who sends to whom, and how much), headers or body [default:
    /// what the relay's configuration says]
    #[arg(long)]
    tier: Option<String>,
    /// What the customer may do at the relay, by a name under [behaviour.named_limits] of the relay's configuration; a relay
    /// that has no such limits goes by those of everybody, and says so [default: those of everybody]
    #[arg(long, value_name = "NAME")]
    limits: Option<String>,
    /// Of a redirect: abuse is known, so the relay never splices TLS by itself, not even where the sender verifies
    /// certificates and defers its mail
    #[arg(long)]
    confirmed: bool,
    /// Of a limit: new connections of each address (IPv6: each /64), as 2/s, 30/min or 100/h
    #[arg(long)]
    rate: Option<String>,
    /// Of a limit: new connections at once after a pause [default: 10]
    #[arg(long)]
    burst: Option<u16>,
    /// Life of the flag, at most 90d; or ever, which a second person must approve
    #[arg(long = "for", default_value = crate::policy::dial::DEFAULT_LIFE, value_name = "DURATION")]
    life: String,
    /// With --for ever: after how long somebody is to look at it again, at most 366d
    #[arg(long, value_name = "DURATION")]
    review: Option<String>,
    /// Flag a customer although it is exempt; why, for the trail
    #[arg(long, value_name = "REASON")]
    despite_exemption: Option<String>,
    /// Reference into another system
    #[arg(long)]
    ticket: Option<String>,
    /// Who flags [default: you]
    #[arg(long)]
    actor: Option<String>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
    /// Write nothing to the customer about it; without, that is done where [notices] in outgated.toml says how
    #[arg(long)]
    quiet: bool,
    /// Cut open connections at once, instead of letting them pass for up to ten minutes
    #[arg(long)]
    cut: bool,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Address, prefix, or number of the flag
    target: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who lifts [default: you]
    #[arg(long)]
    actor: Option<String>,
    /// A single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
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

const ADD_EXAMPLES: &str = "Examples:
  outgate flag add 192.0.2.10 --reason \"spam run, complaint 4711\"
  outgate flag add 2001:db8:a:a::10 --reason \"spam run\" --for 24h        (flags 2001:db8:a:a::/64)
  outgate flag add 192.0.2.64/28 --reason \"no contract\" --action drop --cut
  outgate flag add 192.0.2.10 --reason \"spam run\" --pool steered --egress customer
  outgate flag add 192.0.2.10 --reason \"application without a queue\" --delivery queue
  outgate flag add 192.0.2.10 --reason \"contract allows no more\" --tier headers
  outgate flag add 192.0.2.10 --reason \"new customer, complaint 4711\" --limits small
  outgate flag add 192.0.2.20 --reason \"sends too fast\" --action limit --rate 30/min --burst 10

With --egress customer the MX sees the customer's own address. The edge then gives the relay what comes from
port 25 to the customer's ports 61000 to 65535, and lets the relay use the address towards port 25 alone.
With --egress socks5 the relays need [[socks5]] in their configuration; one without it answers 421.

With --delivery queue, or cutthrough+spool, the relays need a [spool]. One without answers the customer 421, or passes
deferrals back to it. When the flag ends, what is still queued from a customer's own address leaves from the relay's.

With --for ever it lives for 90d like any other until somebody else approves it (`outgate flag approve`); from then on
it has no end, but a day on which somebody is to look at it again.
  outgate flag add 192.0.2.10 --reason \"no contract\" --action drop --for ever --review 90d

Returns once the flag is in force (exit 0), or after 5 s if a relay has not acknowledged it (exit 4):
it is stored then, and comes into force by itself.";

const IMPORT_EXAMPLES: &str = "Examples:
  outgate flag import flags.csv --dry-run
  outgate flag import flags.csv
  billing-export | outgate flag import -

The first line names the columns, in any order: prefix and reason must be there; action, pool, treatment,
egress, delivery, tier, limits, rate, burst, for, ticket, exact, cut and confirmed mean what the options of `outgate flag add`
mean, and are empty for their defaults (exact, cut and confirmed are yes or no); notify is no where --quiet is meant. Text is UTF-8.
  prefix,reason,action,for,ticket
  192.0.2.10,\"spam run, complaint 4711\",redirect,24h,T-4711
  2001:db8:a:a::/64,no contract,drop,,

A JSON array of objects with the same names will do as well. What stands already as the file says stays as it is.

With --origin the file touches only what came under the same name before: what it does not have any more ends with
--prune, and what others hold otherwise is left alone and named (exit 4), unless --take-over. A file that would change more
than [guards] of outgated.toml allows (5 % of a customer prefix, 50 customers) is refused (exit 3), unless --override-guard
says why.

All or nothing: if any line is wrong, or a guard forbids it, every such line is named with its number, and
nothing is changed. Otherwise the file is one change: stored whole, and in force at one instant, but for
redirects that a relay must know of first. Exit 4 if some of them still wait after 5 s.";

const APPLY_HELP: &str = "Examples:
  outgate apply -f policy.toml --diff
  outgate apply -f policy.toml

  origin = \"policy\"
  [[customer]]
  id = \"C-1042\"
  name = \"Example Ltd\"
  contact = \"abuse@customer.example\"
  [[assignment]]
  prefix = \"192.0.2.64/28\"
  customer = \"C-1042\"
  [[flag]]
  prefix = \"192.0.2.70\"
  reason = \"spam run, complaint 4711\"
  action = \"drop\"

The keys of a flag are the columns of `outgate flag import`. What came by a file of the same origin, and is not in it any
more, ends. What it touches otherwise, and what keeps it from changing too much, is as with `outgate flag import --help`.";

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
