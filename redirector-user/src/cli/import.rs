//! `outgate flag import`.

use std::{
    io::{IsTerminal as _, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
};
use crate::{
    api::view::{ImportProgress, ImportStage, ImportView},
    client::{Client, with_query},
};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// CSV file with a header line; - reads standard input
    file: PathBuf,
    /// Only judge the file: nothing is stored, nothing changes
    #[arg(long)]
    dry_run: bool,
    /// Write to none of the customers about it, whatever the column notify says
    #[arg(long)]
    quiet: bool,
    /// Who flags [default: you]
    #[arg(long)]
    actor: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: ImportArgs,
) -> Result<Outcome, CliError> {
    let file = read(&arguments.file).map_err(|source| CliError::File {
        path: arguments.file.clone(),
        source,
    })?;
    let dry_run = if arguments.dry_run { "true" } else { "false" };
    let actor = whoever(arguments.actor);
    let quiet = if arguments.quiet { "true" } else { "false" };
    let path = with_query(
        "/v1/flags/import",
        &[("dry_run", dry_run), ("actor", &actor), ("quiet", quiet)],
    );
    let import = client.upload(&path, file);
    let bar = Bar::new();
    let view: ImportView = tokio::select! {
        answer = import => answer,
        never = bar.follow(client) => match never {},
    }?;
    bar.clear();
    teller.tell(&view, |view, _| sentence(view))?;
    Ok(match view.pending {
        0 => Outcome::Done,
        _ => Outcome::Partial,
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return std::fs::read(path);
    }
    let mut file = Vec::new();
    std::io::stdin().lock().read_to_end(&mut file)?;
    Ok(file)
}

fn sentence(view: &ImportView) -> String {
    let ImportView {
        dry_run,
        flags,
        replaced,
        pending,
        ..
    } = view;
    if *dry_run {
        return format!(
            "{flags} flags are in order, {replaced} of them would replace another; nothing was changed"
        );
    }
    let numbers = match (view.first, view.last) {
        (Some(first), Some(last)) => format!(" ({first} to {last})"),
        _ => String::new(),
    };
    let waiting = match pending {
        0 => String::from("all in force"),
        pending => {
            let relays = match view.awaiting.is_empty() {
                true => String::from("the kernel; outgated's log says why"),
                false => view.awaiting.join(", "),
            };
            format!("{pending} stored and waiting for {relays}")
        }
    };
    format!("{flags} flags imported{numbers}, {replaced} replaced; {waiting}")
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
