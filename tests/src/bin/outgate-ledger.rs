//! `outgate-ledger`: the proof that nothing is lost, at the command line.
//!
//! Exit codes: 0 nothing was lost, 1 something was, or a run could not be done; with `--check` also 1 if it was less
//! than the whole proof. 2 usage.

use std::{fs, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use lab::proof::{self, Options, Peer};

/// Kill a relay that keeps mail, and worse, again and again, and compare what it acknowledged with what arrived
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask ledger", after_help = EXAMPLES)]
struct Arguments {
    /// How many runs, of twelve to nineteen kills each; 70 make the whole proof
    #[arg(long, default_value_t = 70)]
    runs: u64,
    /// Which runs; what failed with a seed fails with it again, as far as chance allows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fail, too, if it was less than the whole proof: a thousand kills, and every fault
    #[arg(long)]
    check: bool,
    /// Whom it is about
    #[arg(long, value_enum, default_value_t = Peer::Relay)]
    peer: Peer,
    /// Destroy something that was acknowledged, in each run: to see that it is noticed
    #[arg(long)]
    sabotage: bool,
    /// Write the figures to a file
    #[arg(short, long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where outgate-relay is, if not beside this program
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// What the namespaces' names begin with
    #[arg(long, default_value = "ogledger")]
    prefix: String,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask ledger --runs 14
  cargo xtask ledger --check --json ledger.json
  cargo xtask ledger --peer postfix --runs 7
  cargo xtask ledger --runs 1 --sabotage";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("outgate-ledger: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let options = Options {
        prefix: arguments.prefix.clone(),
        bin_dir: arguments.bin_dir.clone(),
        peer: arguments.peer,
        runs: arguments.runs,
        seed: arguments.seed,
        sabotage: arguments.sabotage,
    };
    let report = proof::run(&options, |outcome| say(&outcome.line()))?;
    write!(std::io::stdout(), "{}", report.table()).context("standard output")?;
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, text + "\n").with_context(|| path.display().to_string())?;
    }
    let missing = report.missing();
    if arguments.check {
        for what in &missing {
            say(&format!("not the whole proof: {what}"));
        }
    }
    let good = report.is_good() && (!arguments.check || missing.is_empty());
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn say(line: &str) {
    // Without a standard error there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{line}"));
}
