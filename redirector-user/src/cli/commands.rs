//! One function per command: asks the controller, shows the answer, says how it ended.

use std::{collections::BTreeMap, env, io::Write as _, path::Path};

use serde::Serialize;

use super::{
    AddArgs, AttachArgs, Cli, CliError, Command, FlagCommand, Outcome, RmArgs, audit, bypass,
    capture, events, exempt, generate, import, listing, notice, precheck, privacy, radar, range,
    relay, rules, store,
    tables::{self, Style},
    tenants, terms, token, top, tunnel, user, webhook, why,
};
use crate::{
    api::view::{AttachRequest, FlagState, FlagView, StatusView},
    client::{Client, escaped, with_query},
    config::Config,
    doctor::{self, Level},
    edge::{AttachMode, Attachment, Ladder},
    policy::dial::{FlagRequest, read_target},
};

pub(super) async fn run(cli: Cli) -> Result<Outcome, CliError> {
    let teller = Teller {
        json: cli.json,
        style: Style::of_stdout(),
    };
    let client = match &cli.server {
        None => Client::new(cli.socket),
        Some(server) => Client::remote(server, cli.token_file.as_deref(), cli.ca.as_deref())?,
    };
    match cli.command {
        Command::Attach(arguments) => attach(&client, &teller, arguments).await,
        Command::Detach { interface } => detach(&client, &teller, &interface).await,
        Command::Status => status(&client, &teller).await,
        Command::Flag(FlagCommand::Add(arguments)) => add(&client, &teller, *arguments).await,
        Command::Flag(FlagCommand::Rm(arguments)) => rm(&client, &teller, arguments).await,
        Command::Flag(FlagCommand::Import(arguments)) => {
            import::run(&client, &teller, "/v1/flags/import", arguments).await
        }
        Command::Flag(FlagCommand::Ls {
            due: Some(due),
            limit,
            ..
        }) => terms::due(&client, &teller, &due, limit).await,
        Command::Flag(FlagCommand::Ls {
            all, limit, after, ..
        }) => ls(&client, &teller, all, limit, after).await,
        Command::Flag(FlagCommand::Extend(arguments)) => {
            terms::extend(&client, &teller, arguments).await
        }
        Command::Flag(FlagCommand::Approve(arguments)) => {
            terms::decide(&client, &teller, arguments, "approve").await
        }
        Command::Flag(FlagCommand::Reject(arguments)) => {
            terms::decide(&client, &teller, arguments, "reject").await
        }
        Command::Flag(FlagCommand::History { target, exact }) => {
            terms::history(&client, &teller, &target, exact).await
        }
        Command::Bypass(command) => bypass::run(&client, &teller, command).await,
        Command::Exempt(command) => exempt::run(&client, &teller, command).await,
        Command::Flag(FlagCommand::Show { target, exact }) => {
            show(&client, &teller, &target, exact).await
        }
        Command::Why(arguments) => why::run(&client, &teller, *arguments).await,
        Command::Capture(arguments) => capture::run(&client, &teller, arguments).await,
        Command::Counters => {
            let counters: BTreeMap<String, u64> = client.get("/v1/counters").await?;
            teller.tell(&counters, |counters, style| {
                tables::counters(counters, style)
            })
        }
        Command::Doctor { config } => doctor(&client, &teller, &config).await,
        Command::Radar(arguments) => radar::run(&client, &teller, arguments).await,
        Command::Rules(command) => rules::run(&client, &teller, command).await,
        Command::Replay(arguments) => rules::replay(&client, &teller, arguments).await,
        Command::Precheck(arguments) => precheck::run(&client, &teller, *arguments).await,
        Command::Listing(command) => listing::run(&client, &teller, command).await,
        Command::Range(command) => range::run(&client, &teller, command).await,
        Command::Relay(command) => relay::run(&client, &teller, command).await,
        Command::Events(arguments) => events::list(&client, &teller, arguments).await,
        Command::Watch(arguments) => events::watch(&client, &teller, arguments).await,
        Command::User(command) => user::run(&client, &teller, command).await,
        Command::Customer(command) => tenants::customer(&client, &teller, command).await,
        Command::Assign(arguments) => tenants::assign(&client, &teller, arguments).await,
        Command::Unassign(arguments) => tenants::unassign(&client, &teller, arguments).await,
        Command::Who(arguments) => tenants::who(&client, &teller, arguments).await,
        Command::Apply(arguments) => import::apply(&client, &teller, arguments).await,
        Command::Top(arguments) => top::run(&client, &teller, arguments).await,
        Command::Completion(arguments) => generate::completion(&arguments),
        Command::Man(arguments) => generate::man(&arguments),
        Command::Tunnel(command) => tunnel::run(&teller, command).await,
        Command::Openapi => {
            let text = serde_json::to_string_pretty(&crate::api::description())?;
            writeln!(std::io::stdout().lock(), "{text}")?;
            Ok(Outcome::Done)
        }
        Command::Token(command) => token::run(&client, &teller, command).await,
        Command::Store(command) => store::run(&client, &teller, command).await,
        Command::Privacy(command) => privacy::run(&client, &teller, command).await,
        Command::Audit(command) => audit::run(&client, &teller, command).await,
        Command::Notice(command) => notice::run(&client, &teller, command).await,
        Command::Webhook(command) => webhook::run(&client, &teller, command).await,
    }
}

/// Looks for itself: the host's troubles are those that keep the controller from starting, too.
async fn doctor(client: &Client, teller: &Teller, config: &Path) -> Result<Outcome, CliError> {
    let config = Config::load(config)?;
    let status: Option<StatusView> = client.get("/v1/status").await.ok();
    let findings = doctor::examine(&config, status.as_ref()).await;
    teller.tell(&findings, |findings, style| {
        tables::findings(findings, style)
    })?;
    let faulty = findings.iter().any(|finding| finding.level == Level::Fault);
    Ok(if faulty {
        Outcome::Failed
    } else {
        Outcome::Done
    })
}

async fn attach(
    client: &Client,
    teller: &Teller,
    arguments: AttachArgs,
) -> Result<Outcome, CliError> {
    let AttachArgs {
        interface,
        role,
        mode,
    } = arguments;
    let modes = mode.iter().filter_map(|name| AttachMode::parse(name));
    let mode = Ladder::new(modes.collect())?;
    let request = AttachRequest {
        name: interface,
        role,
        mode,
        actor: whoever(None),
    };
    let attachment: Attachment = client.post("/v1/interfaces", &request).await?;
    teller.tell(&attachment, |attachment, _| {
        format!(
            "{}: attached as {}, {}; an [[interface]] in outgated.toml keeps it there over a reboot",
            attachment.interface,
            attachment.role,
            tables::mode(attachment)
        )
    })
}

async fn detach(client: &Client, teller: &Teller, interface: &str) -> Result<Outcome, CliError> {
    let path = format!("/v1/interfaces/{}", escaped(interface));
    client
        .delete_silently(&with_query(&path, &[("actor", &whoever(None))]))
        .await?;
    let said = serde_json::json!({ "interface": interface, "attached": false });
    teller.tell(&said, |_, _| {
        format!("{interface}: detached; its traffic is not looked at any more")
    })
}

async fn status(client: &Client, teller: &Teller) -> Result<Outcome, CliError> {
    let status: StatusView = client.get("/v1/status").await?;
    teller.tell(&status, tables::status)
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

/// Who is at the keyboard: through sudo the person, not root.
pub(super) fn whoever(given: Option<String>) -> String {
    let named = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let known = given
        .or_else(|| named("SUDO_USER"))
        .or_else(|| named("USER"));
    known.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// How answers are shown.
pub(super) struct Teller {
    pub(super) json: bool,
    style: Style,
}

impl Teller {
    pub(super) fn tell<T: Serialize>(
        &self,
        answer: &T,
        people: impl FnOnce(&T, Style) -> String,
    ) -> Result<Outcome, CliError> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let text = serde_json::to_string_pretty(answer)?;
            writeln!(out, "{text}")?;
        } else {
            writeln!(out, "{}", people(answer, self.style))?;
        }
        Ok(Outcome::Done)
    }
}
