//! What can be said after `outgate-relay quarantine`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use relay::quarantine::log::Mark;
use relay::quarantine::shapes::{RecordId, Wanted};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List what is kept, the newest first
    Ls {
        #[command(flatten)]
        wanted: WantedArguments,
        /// Show so many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Show one record; each view is audited
    Show {
        /// Its name, as `ls` and the reply to the sender (id=) show it
        id: RecordId,
        /// With its header section, addresses redacted
        #[arg(long, conflicts_with = "body")]
        headers: bool,
        /// The message itself, and nothing else
        #[arg(long, requires_all = ["identity_file", "reason"])]
        body: bool,
        /// With which it is opened, here: a file as `age-keygen` makes it
        #[arg(long, value_name = "FILE")]
        identity_file: Option<PathBuf>,
        /// Why; it is audited
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// JSON instead of a table
        #[arg(short, long, conflicts_with = "body")]
        json: bool,
    },
    /// Deliver messages after all, as their customer wrote them. Never twice
    Release {
        #[command(flatten)]
        which: WhichArguments,
        /// With which they are opened, here: a file as `age-keygen` makes it
        #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
        identity_file: Option<PathBuf>,
        /// Why; it is audited
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Only say which are meant
        #[arg(long)]
        dry_run: bool,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Delete the header section and the content of messages; what is known of them otherwise stays
    Drop(OrderArguments),
    /// Say of messages that they are spam indeed; with their content the embedded classifier learns from them
    Confirm {
        #[command(flatten)]
        order: OrderArguments,
        /// File of the age identity that opens them [default: none; nothing is learnt]
        #[arg(long, value_name = "FILE")]
        identity_file: Option<PathBuf>,
    },
    /// Who has seen and done what, by the audit log; it needs no relay that runs
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArguments),
    /// Show some by chance, for review
    Sample {
        /// So many
        number: usize,
        /// Of this customer: address or prefix
        #[arg(long, value_name = "PREFIX")]
        customer: Option<IpNetwork>,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
}

/// Which records: all conditions must hold.
#[derive(Debug, Args)]
pub(crate) struct WantedArguments {
    /// Of this customer: address or prefix
    #[arg(long, value_name = "PREFIX")]
    pub(super) customer: Option<IpNetwork>,
    /// Refused because of this flag
    #[arg(long, value_name = "ID")]
    pub(super) flag: Option<u32>,
    /// Not older than this: an age as 30m or 2h, or a time as 2026-11-22T06:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// With this verdict, as `ls` shows it
    #[arg(long)]
    pub(super) verdict: Option<String>,
    /// Sent by this user, or by this one inside of the customer
    #[arg(long, value_name = "NAME")]
    pub(super) identity: Option<String>,
    /// Of nearly the same text as this one
    #[arg(long, value_name = "ID")]
    pub(super) alike: Option<RecordId>,
}

/// Which messages are to go out.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct WhichArguments {
    /// They, by name
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<RecordId>,
    /// All of nearly the same text as this one, itself included
    #[arg(long, value_name = "ID")]
    pub(super) alike: Option<RecordId>,
    /// All that this user has sent, or this one inside of a customer
    #[arg(long, value_name = "NAME")]
    pub(super) identity: Option<String>,
}

/// What of the audit log is shown.
#[derive(Debug, Args)]
pub(crate) struct AuditArguments {
    /// About this record
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<RecordId>,
    /// What this one did, as the list names it
    #[arg(long, value_name = "WHO")]
    pub(super) actor: Option<String>,
    /// Not older than this: an age as 30m or 2h, or a time as 2026-11-22T06:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// Only say whether each line proves those before it, and print the last one's NUMBER:HASH
    #[arg(long, conflicts_with_all = ["id", "actor", "since"])]
    pub(super) verify: bool,
    /// And whether this line is still there, as an earlier --verify has printed it: nothing is cut off then
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    pub(super) holds: Option<Mark>,
    /// JSON instead of a table
    #[arg(short, long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OrderArguments {
    /// Which
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<RecordId>,
    /// Why; it is audited
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// JSON instead of a table
    #[arg(short, long)]
    pub(super) json: bool,
}

impl From<&WantedArguments> for Wanted {
    fn from(arguments: &WantedArguments) -> Self {
        Self {
            customer: arguments.customer,
            flag_id: arguments.flag,
            since: arguments.since,
            verdict: arguments.verdict.clone(),
            identity: arguments.identity.clone(),
            alike: arguments.alike.clone(),
            state: None,
            releasable: false,
        }
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong =
        || format!("{text}: neither an age, as 30m or 48h, nor a time, as 2026-11-22T06:00:00Z");
    let ago: SignedDuration = text.parse().map_err(|_parse| wrong())?;
    Timestamp::now()
        .saturating_sub(ago)
        .map_err(|_range| wrong())
}

const AUDIT_EXAMPLES: &str = "Examples:
  outgate-relay quarantine audit --since 24h
  outgate-relay quarantine audit --id 0QZ8K3V5M00AB12.3 --json
  outgate-relay quarantine audit --verify

The exit code is 1 if a line is not what was written; the first such line is named, and what follows it is not shown.
Lines that were cut off at the end leave no trace in the file. Whoever keeps what --verify prints elsewhere finds out:
  outgate-relay quarantine audit --verify --holds 17:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
