//! `outgate-demo`: the demo at the command line. Exit 0 only if every check held.

use std::{
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use lab::demo::{self, Options};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// Show Outgate at work in a lab of network namespaces, and check it
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave the lab up afterwards, and say how to enter it
    #[arg(long, conflicts_with = "down")]
    keep: bool,
    /// Take down a lab that was left up
    #[arg(long)]
    down: bool,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where outgated, outgate and outgate-relay are, if not beside this program
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// What the namespaces' names begin with
    #[arg(long, default_value = "og")]
    prefix: String,
}

fn main() -> ExitCode {
    let outcome = run(Arguments::parse());
    while INTERRUPTED.load(Ordering::SeqCst) {
        // What the story ran into is only that its lab is being taken down under it. The thread
        // that does so ends the process.
        thread::park();
    }
    match outcome {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "outgate-demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.down {
        return match demo::down(&arguments.prefix)? {
            true => Ok(ExitCode::SUCCESS),
            false => Err(anyhow::anyhow!(
                "there is no lab of prefix {}",
                arguments.prefix
            )),
        };
    }
    clean_up_on_signals(arguments.prefix.clone())?;
    let held = demo::run(&Options {
        prefix: arguments.prefix,
        bin_dir: arguments.bin_dir,
        json: arguments.json,
        keep: arguments.keep,
    })?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// On ^C or SIGTERM the lab is taken down by its ledger, from a thread of its own, whatever the
/// story is waiting for.
fn clean_up_on_signals(prefix: String) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("signals")?;
    // Registered before anything is made, so that there is no moment without.
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        INTERRUPTED.store(true, Ordering::SeqCst);
        let outcome = demo::down(&prefix);
        drop(writeln!(std::io::stderr(), "outgate-demo: interrupted"));
        #[expect(clippy::exit, reason = "the story's thread may be in any wait")]
        std::process::exit(if outcome.is_ok() { 130 } else { 1 });
    });
    Ok(())
}

/// A signal asked for the end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
