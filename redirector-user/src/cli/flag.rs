//! `outgate flag`: flags customers, lifts flags, looks at them. What changes the terms of a flag is in [`terms`].

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    import, tables, terms,
};
use crate::{
    api::view::{FlagState, FlagView},
    client::{Client, with_query},
    policy::dial::{FlagRequest, read_target},
};

#[derive(Debug, Subcommand)]
pub(super) enum FlagCommand {
    /// Flag an address or prefix; a flag that it has already is replaced
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<AddArgs>),
    /// Lift a flag; its open connections keep their relay until they end
    #[command(
        after_help = "Example:\n  outgate flag rm 192.0.2.10 --reason \"cleaned up, ticket 4711\""
    )]
    Rm(RmArgs),
    /// Flag all that a CSV or JSON file names, at once or not at all
    #[command(after_help = import::IMPORT_EXAMPLES)]
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
pub(super) struct AddArgs {
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
pub(super) struct RmArgs {
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

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: FlagCommand,
) -> Result<Outcome, CliError> {
    match command {
        FlagCommand::Add(arguments) => add(client, teller, *arguments).await,
        FlagCommand::Rm(arguments) => rm(client, teller, arguments).await,
        FlagCommand::Import(arguments) => {
            import::run(client, teller, "/v1/flags/import", arguments).await
        }
        FlagCommand::Ls {
            due: Some(due),
            limit,
            ..
        } => terms::due(client, teller, &due, limit).await,
        FlagCommand::Ls {
            all, limit, after, ..
        } => ls(client, teller, all, limit, after).await,
        FlagCommand::Extend(arguments) => terms::extend(client, teller, arguments).await,
        FlagCommand::Approve(arguments) => {
            terms::decide(client, teller, arguments, "approve").await
        }
        FlagCommand::Reject(arguments) => terms::decide(client, teller, arguments, "reject").await,
        FlagCommand::History { target, exact } => {
            terms::history(client, teller, &target, exact).await
        }
        FlagCommand::Show { target, exact } => show(client, teller, &target, exact).await,
    }
}

async fn add(client: &Client, teller: &Teller, arguments: AddArgs) -> Result<Outcome, CliError> {
    let request = FlagRequest {
        target: arguments.target,
        reason: arguments.reason,
        actor: whoever(arguments.actor),
        action: Some(arguments.action),
        pool: arguments.pool,
        treatment: arguments.treatment,
        egress: arguments.egress,
        delivery: arguments.delivery,
        tier: arguments.tier,
        limits: arguments.limits,
        life: Some(arguments.life),
        review: arguments.review,
        despite_exemption: arguments.despite_exemption,
        ticket: arguments.ticket,
        exact: arguments.exact,
        cut: arguments.cut,
        confirmed: arguments.confirmed,
        rate: arguments.rate,
        burst: arguments.burst,
        notify: arguments.quiet.then_some(false),
    };
    let flag: FlagView = client.post("/v1/flags", &request).await?;
    teller.tell(&flag, tables::added)?;
    Ok(match flag.state {
        FlagState::Pending => Outcome::Partial,
        FlagState::Active | FlagState::Ended => Outcome::Done,
    })
}

async fn rm(client: &Client, teller: &Teller, arguments: RmArgs) -> Result<Outcome, CliError> {
    let id = active_id(client, &arguments.target, arguments.exact).await?;
    let (actor, reason) = (whoever(arguments.actor), arguments.reason);
    let path = with_query(
        &format!("/v1/flags/{id}"),
        &[("reason", &reason), ("actor", &actor)],
    );
    let flag: FlagView = client.delete(&path).await?;
    teller.tell(&flag, |flag, _| {
        let open = match flag.pool {
            Some(_) => "; open connections keep their relay until they end",
            None => "",
        };
        format!(
            "flag {} on {} lifted; new connections go free{open}",
            flag.id, flag.prefix
        )
    })
}

async fn ls(
    client: &Client,
    teller: &Teller,
    all: bool,
    limit: u32,
    after: u32,
) -> Result<Outcome, CliError> {
    // One more than is shown says whether there are more.
    let ask = limit.saturating_add(1);
    let path = format!("/v1/flags?all={all}&after={after}&limit={ask}");
    let mut flags: Vec<FlagView> = client.get(&path).await?;
    let more = flags.len() > limit as usize;
    flags.truncate(limit as usize);
    let outcome = teller.tell(&flags, |flags, style| match (flags.is_empty(), all) {
        _ if after > 0 && flags.is_empty() => format!("no flag after {after}"),
        (true, false) => {
            String::from("no active flag; `outgate flag ls --all` lists ended ones too")
        }
        (true, true) => String::from("no flag yet; `outgate flag add` makes one"),
        (false, _) => tables::flags(flags, style),
    });
    if let Some(last) = flags.last().filter(|_| more) {
        let said = format!(
            "there are more: `--after {}` goes on, `--limit` shows more at once",
            last.id
        );
        writeln!(std::io::stderr().lock(), "outgate: {said}")?;
    }
    outcome
}

async fn show(
    client: &Client,
    teller: &Teller,
    target: &str,
    exact: bool,
) -> Result<Outcome, CliError> {
    let id = match target.parse::<u32>() {
        Ok(id) => id,
        Err(_no_number) => {
            let over = flags_over(client, target, exact).await?;
            let first = over.first().ok_or_else(|| {
                CliError::NotFound(format!(
                    "{target} is not flagged and never was; `outgate flag ls` lists who is"
                ))
            })?;
            first.id.0
        }
    };
    let flag: FlagView = client.get(&format!("/v1/flags/{id}")).await?;
    teller.tell(&flag, tables::flag)
}

/// The number of a flag that is named by it, or by its target.
pub(super) async fn active_id(client: &Client, target: &str, exact: bool) -> Result<u32, CliError> {
    match target.parse::<u32>() {
        Ok(id) => Ok(id),
        Err(_no_number) => Ok(active_flag_on(client, target, exact).await?.id.0),
    }
}

/// The active flag of exactly this target. A flag that only covers it is another customer's business too, so
/// it is named, not taken.
async fn active_flag_on(client: &Client, target: &str, exact: bool) -> Result<FlagView, CliError> {
    let over = flags_over(client, target, exact).await?;
    let prefix = read_target(target, exact).ok();
    let active = over.into_iter().find(|flag| flag.state != FlagState::Ended);
    match active {
        Some(flag) if Some(flag.prefix) == prefix => Ok(flag),
        Some(flag) => Err(CliError::NotFound(format!(
            "{target} has no flag of its own; flag {} on {} covers it: `outgate flag rm {}` lifts that one",
            flag.id, flag.prefix, flag.id
        ))),
        None => {
            let alone = flags_over(client, target, true)
                .await?
                .into_iter()
                .find(|flag| flag.state != FlagState::Ended);
            Err(CliError::NotFound(match alone {
                Some(flag) if !exact => {
                    format!("{target} is flagged alone (flag {}); say --exact", flag.id)
                }
                _ => format!("{target} is not flagged; `outgate flag ls` lists who is"),
            }))
        }
    }
}

/// Flags that cover a target, the most specific active one first, an ended one of its own last.
async fn flags_over(client: &Client, target: &str, exact: bool) -> Result<Vec<FlagView>, CliError> {
    let exact = if exact { "true" } else { "false" };
    let query = [("all", "true"), ("target", target), ("exact", exact)];
    Ok(client.get(&with_query("/v1/flags", &query)).await?)
}

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
