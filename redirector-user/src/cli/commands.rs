//! One function per command: asks the controller, shows the answer, says how it ended.

use std::{collections::BTreeMap, env, io::Write as _, path::Path};

use serde::Serialize;

use super::{
    AttachArgs, Cli, CliError, Command, Outcome, audit, bypass, capture, events, exempt, flag,
    generate, import, listing, notice, precheck, privacy, radar, range, relay, rules, store,
    tables::{self, Style},
    tenants, token, top, tunnel, user, webhook, why,
};
use crate::{
    api::view::{AttachRequest, StatusView},
    client::{Client, escaped, with_query},
    config::Config,
    doctor::{self, Level},
    edge::{AttachMode, Attachment, Ladder},
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
        Command::Flag(command) => flag::run(&client, &teller, command).await,
        Command::Bypass(command) => bypass::run(&client, &teller, command).await,
        Command::Exempt(command) => exempt::run(&client, &teller, command).await,
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
