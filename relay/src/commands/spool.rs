//! `outgate-relay spool`: what is kept to be delivered, for people and programs.
//!
//! All but `transfer` only read, whether the relay runs or not. A message that the relay has just taken or delivered may be
//! missing or still be there.

mod interrupts;
mod transfer;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use jiff::Timestamp;
use relay::config::Config;
use relay::spool::inspect::{Inspected, Verified};
use relay::spool::{Living, ReadError};
use relay_proto::queued::{Egress, QueueId, Source};
use serde::Serialize;
use tracing::warn;

use self::transfer::TransferArguments;
use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// List the messages, oldest first
    Ls {
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Show one message: all of it but its content
    Show {
        /// Its name, as `ls` and the log show it
        id: QueueId,
        /// JSON instead of text
        #[arg(short, long)]
        json: bool,
    },
    /// Read everything, and tell what is damaged; exit code 1 if anything is
    Verify {
        /// JSON instead of text
        #[arg(short, long)]
        json: bool,
    },
    /// Write one message to a file as it would be sent, trace fields included; the message stays in the spool
    Export {
        /// Its name, as `ls` and the log show it
        id: QueueId,
        /// A file that does not exist yet; `-` = standard output
        file: PathBuf,
    },
    /// Hand everything over to another relay, which delivers it from then on. What cannot be handed over stays; exit code 1
    /// then, and it can be run again at any time. Works with the relay running, which begins no deliveries meanwhile, or
    /// stopped. Ctrl-C, or --cancel elsewhere, stops it: what the other relay has acknowledged is its own, the rest stays
    Transfer(TransferArguments),
}

/// Runs it; whether there was what was asked for.
pub(super) fn run(command: &SpoolCommand, config: &Config) -> anyhow::Result<bool> {
    let spool = config.spool.as_ref();
    let dir = &*spool.context("the configuration has no table [spool]")?.dir;
    match command {
        SpoolCommand::Transfer(arguments) => transfer::run(arguments, config),
        SpoolCommand::Ls { json } => list(&Inspected::of(dir)?, *json).map(|()| true),
        SpoolCommand::Show { id, json } => {
            let Some(living) = found(*id, Inspected::of(dir)?.living(*id))? else {
                return Ok(false);
            };
            let told = Told::from(&living);
            say(&if *json {
                serde_json::to_string(&told)?
            } else {
                told.text()
            })?;
            Ok(true)
        }
        SpoolCommand::Verify { json } => {
            let verified = Inspected::of(dir)?
                .verify()
                .with_context(|| dir.display().to_string())?;
            say(&if *json {
                serde_json::to_string(&Report::from(&verified))?
            } else {
                report(&verified)
            })?;
            if !verified.is_sound() {
                bail!("{}: the spool is damaged", dir.display());
            }
            Ok(true)
        }
        SpoolCommand::Export { id, file } => {
            let Some(opened) = found(*id, Inspected::of(dir)?.read(*id))? else {
                return Ok(false);
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            let written = runtime.block_on(async {
                let mut target = target(file)?;
                target.write_all(opened.queued.trace.as_bytes())?;
                let mut content = opened.content.reader();
                while let Some(block) = content.next().await? {
                    target.write_all(&block)?;
                }
                target.flush()
            });
            written.with_context(|| file.display().to_string())?;
            Ok(true)
        }
    }
}

fn list(spool: &Inspected, json: bool) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for (id, living) in spool.messages() {
        match living {
            Ok(living) => told.push(Told::from(&living)),
            // It was delivered while we looked.
            Err(ReadError::NotFound) => {}
            Err(error) => warn!(queue.id = %id, %error, "a message cannot be read"),
        }
    }
    say(&if json {
        serde_json::to_string(&told)?
    } else {
        table(&told)
    })
}

fn found<T>(id: QueueId, read: Result<T, ReadError>) -> anyhow::Result<Option<T>> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(ReadError::NotFound) => {
            say(&format!("{id}: no such message"))?;
            Ok(None)
        }
        Err(error) => Err(anyhow!("{id}: {error}")),
    }
}

/// Content is nobody's business but the operator's.
fn target(file: &Path) -> std::io::Result<Box<dyn Write>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdout()));
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    Ok(Box::new(options.open(file)?))
}

/// One message, as a program reads it.
#[derive(Serialize)]
struct Told {
    id: String,
    arrived: String,
    octets: u64,
    source: String,
    original_dst: Option<String>,
    flag: Option<u32>,
    user: Option<String>,
    egress: &'static str,
    from: String,
    recipients: Vec<ToldRecipient>,
    may_notify: bool,
}

#[derive(Serialize)]
struct ToldRecipient {
    address: String,
    pending: bool,
}

impl From<&Living> for Told {
    fn from(living: &Living) -> Self {
        let queued = &living.queued;
        let (source, original_dst, flag, user) = match &queued.source {
            Source::Relay => ("relay".to_owned(), None, None, None),
            Source::Customer {
                address,
                original_dst,
                flag_id,
                user,
                ..
            } => {
                let destination = original_dst.map(|it| it.to_string());
                (address.to_string(), destination, *flag_id, user.clone())
            }
        };
        let recipients = queued.recipients.iter().enumerate();
        let arrived = i64::try_from(queued.arrived.0)
            .ok()
            .and_then(|millis| Timestamp::from_millisecond(millis).ok());
        Self {
            id: living.kept.id.to_string(),
            arrived: arrived.map_or_else(String::new, |arrived| format!("{arrived:.0}")),
            octets: living.kept.octets,
            source,
            original_dst,
            flag,
            user,
            egress: match queued.egress {
                Egress::Pool => "pool",
                Egress::Customer => "customer",
                Egress::Socks5 => "socks5",
            },
            from: queued.mail.reverse_path.to_string(),
            recipients: recipients
                .map(|(index, recipient)| ToldRecipient {
                    address: recipient.forward_path.to_string(),
                    pending: living.pending.contains(&index),
                })
                .collect(),
            may_notify: queued.may_notify,
        }
    }
}

impl Told {
    fn pending(&self) -> usize {
        self.recipients.iter().filter(|it| it.pending).count()
    }

    fn text(&self) -> String {
        let absent = || "-".to_owned();
        let flag = self.flag.map(|flag| format!("F{flag}"));
        let mut lines = vec![
            format!("id            {}", self.id),
            format!("arrived       {}", self.arrived),
            format!("octets        {}", self.octets),
            format!("source        {}", self.source),
            format!(
                "original dst  {}",
                self.original_dst.clone().unwrap_or_else(absent)
            ),
            format!("flag          {}", flag.unwrap_or_else(absent)),
            format!("user          {}", self.user.clone().unwrap_or_else(absent)),
            format!("egress        {}", self.egress),
            format!("from          {}", self.from),
        ];
        for recipient in &self.recipients {
            let state = if recipient.pending { "pending" } else { "done" };
            lines.push(format!("to            {}  {state}", recipient.address));
        }
        lines.join("\n")
    }
}

fn table(told: &[Told]) -> String {
    let head = ["ID", "ARRIVED", "OCTETS", "SOURCE", "FROM", "PENDING"].map(str::to_owned);
    let rows = told.iter().map(|told| {
        [
            told.id.clone(),
            told.arrived.clone(),
            told.octets.to_string(),
            told.source.clone(),
            told.from.clone(),
            format!("{}/{}", told.pending(), told.recipients.len()),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What was found, as a program reads it.
#[derive(Serialize)]
struct Report {
    whole: usize,
    broken: Vec<Broken>,
    damage: Vec<String>,
    torn: u32,
    set_aside: Vec<String>,
}

#[derive(Serialize)]
struct Broken {
    id: String,
    error: String,
}

impl From<&Verified> for Report {
    fn from(verified: &Verified) -> Self {
        let broken = verified.broken.iter().map(|(id, error)| Broken {
            id: id.to_string(),
            error: error.clone(),
        });
        Self {
            whole: verified.whole,
            broken: broken.collect(),
            damage: verified.damage.clone(),
            torn: verified.torn,
            set_aside: verified.set_aside.clone(),
        }
    }
}

fn report(verified: &Verified) -> String {
    let mut lines = vec![format!("{} messages are whole", verified.whole)];
    let broken = verified.broken.iter();
    lines.extend(broken.map(|(id, error)| format!("{id}: {error}")));
    let damage = verified.damage.iter();
    lines.extend(damage.map(|place| format!("{place}: damaged")));
    if verified.torn > 0 {
        let torn = verified.torn;
        lines.push(format!(
            "{torn} records are unfinished: being written now, or when the relay was last stopped"
        ));
    }
    let copies = verified.set_aside.iter();
    lines.extend(copies.map(|file| format!("{file}: was damaged, and is kept")));
    lines.join("\n")
}
