//! `outgate audit`: who did what, and whether the trail of it holds.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use comfy_table::{Cell, Color};
use serde::Serialize;

use super::{
    CliError, Outcome,
    capture::private_file,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{AuditExportRequest, AuditView},
    client::{Client, with_query},
    store::audit::{Head, Line, NoExport, Proof, Reading},
};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Show what was done, by whom; the newest last
    #[command(after_help = LS_HELP)]
    Ls(LsArgs),
    /// Prove that no row was changed, moved or taken away
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Write the trail into a file that proves itself
    #[command(
        after_help = "Examples:\n  outgate audit export /srv/archive/trail.jsonl\n  outgate audit export --since 30d - | zstd > trail.jsonl.zst\n\nThe file holds personal data. Who has made it stands in the trail, as \"viewed\". `outgate audit verify --file` proves it,\nwithout a controller."
    )]
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// Only about this, as flag:12, relay:relay-1, token:billing or user:shop
    #[arg(long)]
    subject: Option<String>,
    /// Only what this actor did
    #[arg(long)]
    actor: Option<String>,
    /// Only of this kind, as "flag added" or flag_added
    #[arg(long)]
    kind: Option<String>,
    /// Not older than this time, or than so long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// The newest ones, at most so many
    #[arg(short = 'n', long, default_value_t = 100, value_name = "COUNT")]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// A head that was kept elsewhere, as it was shown (or its hash alone): it must still be there. Any number of times
    #[arg(long, value_name = "HEAD")]
    head: Vec<String>,
    /// Prove an export instead of the controller's own trail; - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// File to write, lines of JSON; - for standard output
    file: PathBuf,
    /// Only what is not older than this time, or than so long ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Who takes it away [default: you]
    #[arg(long)]
    actor: Option<String>,
}

/// How an export went, for programs.
#[derive(Debug, Serialize)]
struct Exported {
    file: PathBuf,
    rows: u64,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    command: AuditCommand,
) -> Result<Outcome, CliError> {
    match command {
        AuditCommand::Ls(arguments) => ls(client, teller, arguments).await,
        AuditCommand::Verify(arguments) => verify(client, teller, arguments).await,
        AuditCommand::Export(arguments) => export(client, teller, arguments).await,
    }
}

async fn ls(client: &Client, teller: &Teller, arguments: LsArgs) -> Result<Outcome, CliError> {
    let LsArgs {
        subject,
        actor,
        kind,
        since,
        limit,
    } = arguments;
    let limit = Some(limit.to_string());
    let query = [
        ("subject", &subject),
        ("actor", &actor),
        ("kind", &kind),
        ("since", &since),
        ("limit", &limit),
    ];
    let query = query
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let path = with_query("/v1/audit", &query.collect::<Vec<_>>());
    let rows: Vec<AuditView> = client.get(&path).await?;
    teller.tell(&rows, |rows, style| match rows.is_empty() {
        true => String::from("no such row; `outgate audit ls` without options shows the newest"),
        false => listed(rows, style),
    })
}

async fn verify(
    client: &Client,
    teller: &Teller,
    arguments: VerifyArgs,
) -> Result<Outcome, CliError> {
    let VerifyArgs { head, file } = arguments;
    let proof = match file {
        Some(file) => proof_of(&file, &head)?,
        None => {
            let path = with_query("/v1/audit/verify", &[("head", &head.join(","))]);
            client.get_patiently(&path).await?
        }
    };
    teller.tell(&proof, proven)?;
    Ok(if proof.holds() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

async fn export(
    client: &Client,
    teller: &Teller,
    arguments: ExportArgs,
) -> Result<Outcome, CliError> {
    let ExportArgs { file, since, actor } = arguments;
    let request = AuditExportRequest {
        since,
        actor: whoever(actor),
    };
    let to_stdout = file == Path::new("-");
    let mut out: Box<dyn Write> = match to_stdout {
        true => Box::new(std::io::stdout().lock()),
        false => Box::new(BufWriter::new(private_file(&file)?)),
    };
    let failed = |source| CliError::File {
        path: file.clone(),
        source,
    };
    let (mut rows, mut whole) = (0, false);
    let lines = client.post_for_lines("/v1/audit/export", &request, |line: Line| {
        rows += u64::from(matches!(line, Line::Row(_)));
        whole |= matches!(line, Line::End(_));
        serde_json::to_writer(&mut out, &line)?;
        writeln!(out).map_err(failed)?;
        Ok::<_, CliError>(ControlFlow::Continue(()))
    });
    lines.await?;
    out.flush().map_err(failed)?;
    if !whole {
        return Err(CliError::Export(NoExport::CutOff { rows }));
    }
    if to_stdout {
        return Ok(Outcome::Done);
    }
    teller.tell(&Exported { file, rows }, |exported, _| {
        let file = exported.file.display();
        format!(
            "{} rows in {file}; `outgate audit verify --file {file}` proves them",
            exported.rows
        )
    })
}

fn proof_of(file: &Path, heads: &[String]) -> Result<Proof, CliError> {
    let failed = |source| CliError::File {
        path: file.to_owned(),
        source,
    };
    let input: Box<dyn std::io::BufRead> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(BufReader::new(File::open(file).map_err(failed)?)),
    };
    let heads = heads.iter().map(|head| head.parse::<Head>());
    let mut reading = Reading::new(
        heads
            .map(|head| head.unwrap_or_else(|never| match never {}))
            .collect(),
    );
    for line in input.split(b'\n') {
        reading.take(&line.map_err(failed)?)?;
    }
    Ok(reading.finish()?)
}

fn listed(rows: &[AuditView], style: Style) -> String {
    let mut table = style.table(&["WHEN", "ROW", "WHO", "WHAT", "ABOUT", "DETAIL"]);
    for row in rows {
        let detail = match &row.payload {
            None => String::from("(erased)"),
            Some(payload) => {
                let reason = payload.get("reason").and_then(|reason| reason.as_str());
                reason.map_or_else(|| payload.to_string(), String::from)
            }
        };
        table.add_row([
            Cell::new(style.time(row.at)),
            Cell::new(row.seq),
            Cell::new(&row.actor),
            Cell::new(&row.kind),
            Cell::new(&row.subject),
            Cell::new(detail),
        ]);
    }
    table.to_string()
}

fn proven(proof: &Proof, style: Style) -> String {
    let mut table = style.table(&["WRITER", "ROWS", "ERASED", ""]);
    for writer in &proof.writers {
        let found = match &writer.broken {
            None => Cell::new("holds").fg(Color::Green),
            Some(broken) => Cell::new(format!(
                "BROKEN at row {}: {}; keep a copy of the store",
                broken.seq, broken.what
            ))
            .fg(Color::Red),
        };
        table.add_row([
            Cell::new(&writer.writer),
            Cell::new(format!("{}-{}", writer.first, writer.last)),
            Cell::new(writer.erased),
            found,
        ]);
    }
    let mut said = table.to_string();
    for head in &proof.missing {
        let why = match begins_after(proof, head) {
            Some(first) => format!(
                "its chain begins with row {first}, because older ones were pruned ([audit] in outgated.toml); keep a newer head"
            ),
            None => String::from("the trail was cut off, or a backup from before was restored"),
        };
        said.push_str(&format!("\nMISSING: no row has {head} any more; {why}"));
    }
    if proof.holds() {
        said.push_str("\n\nKeep elsewhere, and hand to `outgate audit verify --head` later:");
        for writer in &proof.writers {
            said.push_str(&format!("\n{}", writer.head));
        }
    }
    said
}

/// The first row of a head's chain, if that comes later than the head.
fn begins_after(proof: &Proof, head: &str) -> Option<i64> {
    let Ok(head) = head.parse::<Head>();
    let (writer, seq) = head.place?;
    let of_it = proof.writers.iter().find(|it| it.writer == writer);
    of_it.map(|it| it.first).filter(|first| seq + 1 < *first)
}

const LS_HELP: &str = "Examples:
  outgate audit ls
  outgate audit ls --subject flag:12
  outgate audit ls --actor alice --since 24h
  outgate audit ls --kind viewed -n 1000 -j";

const VERIFY_HELP: &str = "Examples:
  outgate audit verify
  outgate audit verify --head outgated-4f4711:812:9c1e... --head outgated-07aa15:3:61b0...
  outgate audit verify --file trail.jsonl

Rows are chained by hashes, so the first row that was changed or moved, or follows on a missing one, is named with its
writer. A trail cannot show that its end was cut off: keep what is shown last elsewhere, and name it with --head.
Payloads that were erased (`outgate privacy erase`) are counted, and break nothing. Where rows were pruned because their time
was over ([audit] in outgated.toml), the chain holds from the first one that is left, and a row \"trail pruned\" says so.

Exit code 1 if something does not hold.";
