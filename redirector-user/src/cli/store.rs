//! `outgate store`: copies of what the controller knows, whether it is sound, and putting a copy back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{BackupRequest, BackupView},
    client::Client,
    config::Config,
    store::{
        StoreError,
        life::{Checked, Lock, Restored, check_file, restore},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Make a copy of the store while outgated runs
    #[command(
        after_help = "Examples:\n  outgate store backup\n  outgate store backup /srv/backup/outgate-monday.db\n\nThe copy is one state of the store, checked after it was written; the file must not be there yet, and is for its owner\nalone: it holds personal data. [store] in outgated.toml has outgated make copies by itself."
    )]
    Backup(BackupArgs),
    /// Look at every page of the store, and prove its trail
    #[command(
        after_help = "Examples:\n  outgate store check\n  outgate store check /srv/backup/outgate-monday.db\n\nExit code 1 if something is wrong with it."
    )]
    Check {
        /// A file that no outgated has open, as a backup; asks no controller [default: the controller's own store]
        file: Option<PathBuf>,
    },
    /// Put a backup into the place of the store; outgated must not run
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where to, on outgated's host [default: a name that says when, in store.backup_directory]
    file: Option<PathBuf>,
    /// Who wants it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Configuration of outgated, which says where the store is
    #[arg(long, default_value = crate::DEFAULT_CONFIG, value_name = "FILE")]
    config: PathBuf,
    /// Why, for the trail
    #[arg(long, default_value = "")]
    reason: String,
    /// Who restores it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct RestoredView {
    store: PathBuf,
    aside: Option<PathBuf>,
    flags: usize,
    as_of: Option<jiff::Timestamp>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: StoreCommand,
) -> Result<Outcome, CliError> {
    match command {
        StoreCommand::Backup(arguments) => back_up(client, teller, arguments).await,
        StoreCommand::Check { file } => check(client, teller, file.as_deref()).await,
        StoreCommand::Restore(arguments) => put_back(teller, arguments).await,
    }
}

async fn back_up(
    client: &Client,
    teller: &Teller,
    arguments: BackupArgs,
) -> Result<Outcome, CliError> {
    let BackupArgs { file, actor } = arguments;
    // The controller's own directory is another one.
    let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
    let request = BackupRequest {
        file: file.map(|file| file.display().to_string()),
        actor: whoever(actor),
    };
    let made: BackupView = client.post_patiently("/v1/store/backup", &request).await?;
    teller.tell(&made, |made, _| {
        format!(
            "{}: {} octets, checked; `outgate store restore {}` puts it back",
            made.file, made.octets, made.file
        )
    })
}

async fn check(client: &Client, teller: &Teller, file: Option<&Path>) -> Result<Outcome, CliError> {
    let checked = match file {
        Some(file) => check_file(file).await?,
        None => client.get_patiently("/v1/store/check").await?,
    };
    teller.tell(&checked, found)?;
    Ok(if checked.is_sound() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Does it by itself: there is no controller to ask.
async fn put_back(teller: &Teller, arguments: RestoreArgs) -> Result<Outcome, CliError> {
    let RestoreArgs {
        file,
        config,
        reason,
        actor,
    } = arguments;
    let config = Config::load(&config)?;
    if let Some(shared) = &config.shared {
        let (what, place) = ("a restore", shared.place());
        return Err(StoreError::NoFile { what, place }.into());
    }
    let store = config.database();
    let lock = Lock::take(&config.state_dir)?;
    let Restored {
        aside,
        flags,
        as_of,
    } = restore(&lock, &file, &store, &whoever(actor), reason.trim()).await?;
    drop(lock);
    let view = RestoredView {
        store,
        aside,
        flags,
        as_of,
    };
    teller.tell(&view, |view, style| {
        let aside = view.aside.as_ref().map_or_else(String::new, |aside| {
            format!("\nThe store from before is {}.", aside.display())
        });
        let as_of = view.as_of.map_or_else(
            || String::from("a time that it does not say"),
            |at| style.time(at),
        );
        format!(
            "{} holds what was so at {as_of}: {} flags have not ended.{aside}\nStart outgated: it puts them into force, and \
             lifts what came later.",
            view.store.display(),
            view.flags
        )
    })
}

fn found(checked: &Checked, _style: Style) -> String {
    let Checked {
        file,
        octets,
        schema,
        faults,
        trail,
    } = checked;
    let mut said = format!("{file}: {octets} octets, schema {schema}: ");
    match faults.is_empty() {
        true => said.push_str("sound"),
        false => said.push_str("DAMAGED; keep a copy of it, and restore a backup"),
    }
    for fault in faults {
        said.push_str("\n  ");
        said.push_str(fault);
    }
    match trail {
        Some(trail) if trail.holds() => said.push_str("\naudit trail: holds"),
        Some(_) => said.push_str("\naudit trail: BROKEN; `outgate audit verify` says where"),
        None => {}
    }
    said
}

const RESTORE_HELP: &str = "Examples:
  systemctl stop outgated
  outgate store restore /srv/backup/outgate-monday.db --reason \"disk of edge1 died\"
  systemctl start outgated

Run it on outgated's host, as root. The backup is checked, its copy brought up to this version, and the store from before
kept beside it under another name. What is in force in the kernel stays until outgated starts: then flags from after the
backup are lifted, and those lifted since are back, so look at `outgate flag ls` and at the events of that time.

Exit code 3 while outgated runs, and for a backup that is damaged or of a newer version.";
