//! `outgate notice`: what customers are told.

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};

use super::{
    CliError, Outcome,
    commands::Teller,
    tables::{self, Style},
};
use crate::{
    api::view::{NoticePreview, NoticeState, NoticeView},
    client::{Client, with_query},
};

#[derive(Debug, Subcommand)]
pub(super) enum NoticeCommand {
    /// List notices, the newest first: those that wait, and those that were sent or given up
    Ls {
        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: u32,
    },
    /// Show what the customer of a prefix would be told, and who that is; nobody is told
    #[command(after_help = PREVIEW_HELP)]
    Preview(PreviewArgs),
}

#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// Address or prefix; one IPv6 address stands for its /64
    target: String,
    /// What has happened: flag (its mail is restricted), raise (further), ease (less) or lift (it is free again)
    #[arg(long, default_value = "flag")]
    kind: String,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: NoticeCommand,
) -> Result<Outcome, CliError> {
    match command {
        NoticeCommand::Ls { limit } => {
            let notices: Vec<NoticeView> =
                client.get(&format!("/v1/notices?limit={limit}")).await?;
            teller.tell(&notices, |notices, style| list(notices, style))
        }
        NoticeCommand::Preview(PreviewArgs { target, kind }) => {
            let query = [("target", target.as_str()), ("kind", &kind)];
            let path = with_query("/v1/notices/preview", &query);
            let preview: NoticePreview = client.get(&path).await?;
            teller.tell(&preview, |preview, _| shown(preview))
        }
    }
}

fn shown(preview: &NoticePreview) -> String {
    let to = preview.mail.as_deref();
    let to = to.unwrap_or("nobody; [[contact]] in outgated.toml says who is told of which prefix");
    let lines = preview.text.lines().map(tables::clean);
    let text: Vec<String> = lines.collect();
    format!(
        "To: {}\nSubject: {}\n\n{}",
        tables::clean(to),
        tables::clean(&preview.subject),
        text.join("\n")
    )
}

fn list(notices: &[NoticeView], style: Style) -> String {
    if notices.is_empty() {
        return String::from(
            "no notice; customers are told where [notices] in outgated.toml says how",
        );
    }
    let mut table = style.table(&[
        "NOTICE", "KIND", "CUSTOMER", "TO", "FLAGS", "MADE", "STATE", "ERROR",
    ]);
    for notice in notices {
        let state = match notice.state {
            NoticeState::Waiting => {
                let next = notice.next_at.map(|at| style.time(at)).unwrap_or_default();
                Cell::new(format!("waits until {next}")).fg(Color::Yellow)
            }
            NoticeState::Sent => Cell::new("sent").fg(Color::Green),
            NoticeState::Lost => Cell::new("given up").fg(Color::Red),
        };
        let flags: Vec<String> = notice.flags.iter().map(ToString::to_string).collect();
        table.add_row([
            Cell::new(notice.id),
            Cell::new(notice.kind.map_or("", |kind| kind.name())),
            Cell::new(notice.prefix),
            Cell::new(tables::clean(&notice.mail)),
            Cell::new(flags.join(" ")),
            Cell::new(style.time(notice.created_at)),
            state,
            Cell::new(tables::clean(notice.error.as_deref().unwrap_or_default())),
        ]);
    }
    table.to_string()
}

const PREVIEW_HELP: &str = "Examples:
  outgate notice preview 192.0.2.10
  outgate notice preview 2001:db8:a:a::/64 --kind lift

The flag is the prefix's own; where it has none, one is made up. Texts are those of notices.templates in outgated.toml, or
the ones that are compiled in.";
