//! `outgate flag import`, `outgate assign import` and `outgate apply`.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::Style,
};
use crate::{
    api::view::{ChangeView, ImportProgress, ImportStage, ImportView, Sign},
    client::{Client, with_query},
};

#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// CSV or JSON file; - reads standard input
    file: PathBuf,
    /// Label of what the file brings; it touches only what came under the same one
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// End what the origin brought before, and the file does not have any more
    #[arg(long, requires = "origin")]
    prune: bool,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// TOML file; - reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, Args)]
struct HowArgs {
    /// Only judge the file, and say what would change: nothing is stored
    #[arg(long)]
    dry_run: bool,
    /// Show each difference between the file and what stands: + new, ~ other, - gone, ! another's; nothing is stored
    #[arg(long)]
    diff: bool,
    /// Take over what another origin holds otherwise, instead of leaving it alone
    #[arg(long)]
    take_over: bool,
    /// Why the file may change more than [guards] of outgated.toml allows; for the trail
    #[arg(long, value_name = "REASON")]
    override_guard: Option<String>,
    /// Write to none of the customers about it, whatever the column notify says
    #[arg(long)]
    quiet: bool,
    /// Who wants it [default: you]
    #[arg(long)]
    actor: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    path: &str,
    arguments: FileArgs,
) -> Result<Outcome, CliError> {
    let FileArgs {
        file,
        origin,
        prune,
        how,
    } = arguments;
    let mut query = Vec::new();
    query.extend(origin.as_deref().map(|origin| ("origin", origin)));
    query.extend(prune.then_some(("prune", "true")));
    take(client, teller, path, &file, query, how).await
}

pub(super) async fn apply(
    client: &Client,
    teller: &Teller,
    arguments: ApplyArgs,
) -> Result<Outcome, CliError> {
    let ApplyArgs { file, how } = arguments;
    take(client, teller, "/v1/apply", &file, Vec::new(), how).await
}

async fn take(
    client: &Client,
    teller: &Teller,
    path: &str,
    file: &Path,
    mut query: Vec<(&str, &str)>,
    how: HowArgs,
) -> Result<Outcome, CliError> {
    let file = read(file).map_err(|source| CliError::File {
        path: file.to_owned(),
        source,
    })?;
    let actor = whoever(how.actor);
    let reason = how.override_guard;
    query.push(("actor", &actor));
    query.extend(how.dry_run.then_some(("dry_run", "true")));
    query.extend(how.diff.then_some(("diff", "true")));
    query.extend(how.take_over.then_some(("take_over", "true")));
    query.extend(how.quiet.then_some(("quiet", "true")));
    query.extend(reason.as_deref().map(|reason| ("override_guard", reason)));
    let path = with_query(path, &query);
    let import = client.upload(&path, file);
    let bar = Bar::new();
    let view: ImportView = tokio::select! {
        answer = import => answer,
        never = bar.follow(client) => match never {},
    }?;
    bar.clear();
    if how.diff {
        teller.tell(&view.changes, |changes, style| differences(changes, style))?;
    } else {
        teller.tell(&view, |view, _| sentence(view))?;
    }
    if view.dry_run {
        let Some(said) = view.guard.filter(|_| reason.is_none()) else {
            return Ok(Outcome::Done);
        };
        writeln!(std::io::stderr().lock(), "outgate: {said}")?;
        return Ok(if how.diff {
            Outcome::Done
        } else {
            Outcome::Guarded
        });
    }
    Ok(match (view.pending, view.conflicts) {
        (0, 0) => Outcome::Done,
        (_, _) => Outcome::Partial,
    })
}

/// Each on a line, by its sign.
fn differences(changes: &[ChangeView], style: Style) -> String {
    if changes.is_empty() {
        return String::from("nothing differs");
    }
    let line = |change: &ChangeView| {
        let ChangeView { about, what, .. } = change;
        let [before, after] = [&change.before, &change.after]
            .map(|text| text.as_deref().filter(|text| !text.is_empty()));
        let said = match (before, after) {
            (Some(before), Some(after)) => format!("  {before}  =>  {after}"),
            (Some(only), None) | (None, Some(only)) => format!("  {only}"),
            (None, None) => String::new(),
        };
        let place = change.line.map(|line| format!("  (line {line})"));
        let holder = change.held_by.as_ref().map(|by| format!("  held by {by}"));
        let text = format!(
            "{about} {what}{said}{}{}",
            holder.unwrap_or_default(),
            place.unwrap_or_default()
        );
        let (sign, colour) = match change.sign {
            Sign::Add => ('+', "32"),
            Sign::Change => ('~', "33"),
            Sign::Remove => ('-', "31"),
            Sign::Conflict => ('!', "35"),
        };
        style.painted(&format!("{sign} {text}"), colour)
    };
    let lines: Vec<String> = changes.iter().map(line).collect();
    lines.join("\n")
}

pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut file = Vec::new();
    std::io::stdin().lock().read_to_end(&mut file)?;
    Ok(file)
}

fn sentence(view: &ImportView) -> String {
    let mut said = Vec::new();
    let would = if view.dry_run { "would be " } else { "" };
    let numbers = match (view.first, view.last) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    let is_about_flags = view.flags > 0 || view.lifted > 0;
    if is_about_flags {
        said.push(format!("{} flags in order{numbers}", view.flags));
    }
    if view.assignments > 0 {
        said.push(format!("{} assignments in order", view.assignments));
    }
    if said.is_empty() {
        said.push(String::from("the file asks for nothing"));
    }
    let counts = [
        (view.replaced, "flags", "replaced"),
        (view.unchanged, "flags", "left as they are"),
        (view.lifted, "flags", "lifted"),
        (view.reassigned, "prefixes", "assigned anew"),
        (view.ended, "flags", "ended with that"),
        (view.customers, "customers", "added or changed"),
    ];
    for (count, what, done) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        said.push(format!("{count} {what} {would}{done}"));
    }
    for (why, rows) in &view.skipped {
        said.push(format!("{rows} rows skipped, {why}"));
    }
    if view.conflicts > 0 {
        let conflicts = view.conflicts;
        said.push(format!(
            "{conflicts} left alone because another origin holds them: --diff names them, --take-over takes them"
        ));
    }
    said.push(match (view.dry_run, view.pending) {
        (true, _) => String::from("nothing was changed"),
        (false, 0) => String::from("all in force"),
        (false, pending) => {
            let relays = match view.awaiting.is_empty() {
                true => String::from("the kernel; outgated's log says why"),
                false => view.awaiting.join(", "),
            };
            format!("{pending} stored and waiting for {relays}")
        }
    });
    said.join("; ")
}

/// A line on standard error that follows the import, if a person looks at it.
struct Bar {
    shown: bool,
}

impl Bar {
    fn new() -> Self {
        Self {
            shown: std::io::stderr().is_terminal(),
        }
    }

    /// Shows how far the import is, until it is dropped.
    async fn follow(&self, client: &Client) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(BEAT).await;
            if !self.shown {
                continue;
            }
            let progress: Option<ImportProgress> =
                client.get("/v1/flags/import").await.unwrap_or_default();
            if let Some(progress) = progress {
                self.write(&format!("\r\x1b[K{}", bar(&progress)));
            }
        }
    }

    fn clear(&self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut error = std::io::stderr().lock();
        // A terminal that has gone needs no bar.
        drop(
            error
                .write_all(text.as_bytes())
                .and_then(|()| error.flush()),
        );
    }
}

fn bar(progress: &ImportProgress) -> String {
    let ImportProgress { stage, done, of } = progress;
    match stage {
        ImportStage::Reading => String::from("reading the file"),
        ImportStage::Enforcing => format!("putting {of} flags into force"),
        ImportStage::Storing => {
            let filled = done * BAR_WIDTH / (*of).max(1);
            let (filled, empty) = (
                "#".repeat(filled),
                "-".repeat(BAR_WIDTH.saturating_sub(filled)),
            );
            format!("storing [{filled}{empty}] {done} of {of}")
        }
    }
}

const BEAT: Duration = Duration::from_millis(200);
const BAR_WIDTH: usize = 40;

pub(super) const IMPORT_EXAMPLES: &str = "Examples:
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

pub(super) const APPLY_HELP: &str = "Examples:
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
    use super::*;

    #[test]
    fn the_bar_fills() {
        let storing = |done| ImportProgress {
            stage: ImportStage::Storing,
            done,
            of: 1000,
        };
        assert!(bar(&storing(0)).contains("[----"));
        assert!(bar(&storing(500)).contains("##--"));
        assert!(bar(&storing(1000)).contains("#] 1000 of 1000"));
    }
}
