//! `outgate webhook`: who is told events, and whether they arrive.

use clap::{Args, Subcommand};
use comfy_table::{Cell, CellAlignment, Color};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::{self, Style},
};
use crate::{
    api::view::{WebhookAnswerView, WebhookRetryRequest, WebhookState, WebhookView},
    client::{Client, escaped},
};

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List webhooks: how far each has been told, and what is wrong
    #[command(after_help = LS_HELP)]
    Ls,
    /// Send a signed ping, and print what is answered
    #[command(
        after_help = "Example:\n  outgate webhook test billing\n\nThe ping is no event: its kind is ping, its number 0. Exit code 1 if the endpoint would not have taken an event."
    )]
    Test {
        /// Its name, as outgated.toml says it
        name: String,
    },
    /// Ask an endpoint now, instead of after the wait; one that has said 410, too
    #[command(
        after_help = "Example:\n  outgate webhook retry billing --reason \"certificate renewed\""
    )]
    Retry(RetryArgs),
}

#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Its name, as outgated.toml says it
    name: String,
    /// Why, for the trail
    #[arg(long, default_value = "")]
    reason: String,
    /// Who says so [default: you]
    #[arg(long)]
    actor: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: WebhookCommand,
) -> Result<Outcome, CliError> {
    match command {
        WebhookCommand::Ls => {
            let webhooks: Vec<WebhookView> = client.get(WEBHOOKS).await?;
            teller.tell(&webhooks, |webhooks, style| list(webhooks, style))
        }
        WebhookCommand::Test { name } => {
            let path = format!("{WEBHOOKS}/{}/test", escaped(&name));
            let answer: WebhookAnswerView = client.post(&path, &serde_json::json!({})).await?;
            teller.tell(&answer, |answer, _| said(&name, answer))?;
            Ok(if answer.took {
                Outcome::Done
            } else {
                Outcome::Failed
            })
        }
        WebhookCommand::Retry(arguments) => {
            let path = format!("{WEBHOOKS}/{}/retry", escaped(&arguments.name));
            let request = WebhookRetryRequest {
                reason: arguments.reason,
                actor: whoever(arguments.actor),
            };
            let webhook: WebhookView = client.post(&path, &request).await?;
            teller.tell(&webhook, |webhook, _| {
                format!(
                    "{}: asked now; `outgate webhook ls` says what came of it",
                    webhook.name
                )
            })
        }
    }
}

fn list(webhooks: &[WebhookView], style: Style) -> String {
    if webhooks.is_empty() {
        return String::from("no webhook is configured; [[webhook]] in outgated.toml makes one");
    }
    let mut table = style.table(&[
        "WEBHOOK",
        "ENDPOINT",
        "EVENTS",
        "STATE",
        "THROUGH",
        "LAG",
        "LAST TAKEN",
        "NEXT TRY",
        "ERROR",
    ]);
    for webhook in webhooks {
        let state = match webhook.state {
            WebhookState::Good => Cell::new("good").fg(Color::Green),
            WebhookState::Failing => {
                Cell::new(format!("failing, {} times", webhook.failures)).fg(Color::Yellow)
            }
            WebhookState::Stopped => Cell::new("stopped").fg(Color::Red),
        };
        let time = |at: Option<jiff::Timestamp>| at.map(|at| style.time(at)).unwrap_or_default();
        table.add_row([
            Cell::new(&webhook.name),
            Cell::new(&webhook.endpoint),
            Cell::new(&webhook.events),
            state,
            Cell::new(webhook.through).set_alignment(CellAlignment::Right),
            Cell::new(webhook.lag).set_alignment(CellAlignment::Right),
            Cell::new(time(webhook.taken_at)),
            Cell::new(time(webhook.next_at)),
            Cell::new(tables::clean(webhook.error.as_deref().unwrap_or_default())),
        ]);
    }
    table.to_string()
}

fn said(name: &str, answer: &WebhookAnswerView) -> String {
    let verdict = match (&answer.error, answer.status) {
        (None, Some(status)) => format!("{name}: taken ({status})"),
        (Some(error), _) => format!("{name}: not taken: {}", tables::clean(error)),
        (None, None) => format!("{name}: no answer"),
    };
    let elapsed = answer.elapsed_ms.map(|elapsed| format!(" in {elapsed} ms"));
    let lines = answer.answer.iter().flat_map(|text| text.lines());
    let lines: String = lines
        .map(|line| format!("\n  {}", tables::clean(line)))
        .collect();
    format!("{verdict}{}{lines}", elapsed.unwrap_or_default())
}

const WEBHOOKS: &str = "/v1/webhooks";

const LS_HELP: &str = "THROUGH is the number of the last event that the endpoint has taken, did not want, or was not told
in time; LAG is how many have come since. An endpoint that takes nothing is asked again after 5 s, then after twice as
long each time, up to an hour. What it has not taken after three days is given up, and an event webhook_lost says so.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_what_a_terminal_would_obey() {
        let answer = WebhookAnswerView {
            took: false,
            status: Some(500),
            elapsed_ms: Some(12),
            error: Some(String::from("500: x\u{1b}[2J")),
            answer: Some(String::from("x\u{1b}[2J\nsecond")),
        };
        let expected = "billing: not taken: 500: x?[2J in 12 ms\n  x?[2J\n  second";
        assert_eq!(said("billing", &answer), expected);
    }
}
