//! The demo: the product's main job on real input, told as a story and checked as it goes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{binaries::Binaries, host::Host, lab::Lab, ledger, netns::Namespace};

mod cast;
mod report;
mod story;

use cast::Cast;
use report::Report;

/// What a person can ask of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the names of the namespaces begin with.
    pub prefix: String,
    /// Where the product's binaries are; beside the demo's own otherwise.
    pub bin_dir: Option<PathBuf>,
    /// Where the figures go.
    pub json: Option<PathBuf>,
    /// Leave the lab up.
    pub keep: bool,
}

/// Runs it; returns whether every check held.
///
/// # Errors
/// That the stage could not be set: then nothing of the product was judged.
pub fn run(options: &Options) -> Result<bool> {
    let begun = Instant::now();
    let binaries = match &options.bin_dir {
        Some(dir) => Binaries::in_dir(dir),
        None => Binaries::beside_this_executable()?,
    };
    let lab = Lab::up(&options.prefix, binaries)?;
    let mut report = Report::new();
    {
        let mut cast = Cast::start(&lab)?;
        story::play(&cast, &mut report);
        if report.failed() > 0 {
            report.say(&format!(
                "\nThe controller's log ends in\n{}",
                cast.gate.log_tail()
            ));
            report.say(&format!(
                "The relay's log ends in\n{}",
                cast.relay.log_tail()
            ));
            report.say(&format!(
                "The second relay's log ends in\n{}",
                cast.second_relay.log_tail()
            ));
        }
        if options.keep {
            cast.keep();
        }
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(path, text + "\n").with_context(|| path.display().to_string())?;
    }
    if options.keep {
        report.say(&farewell(&lab));
        lab.keep()?;
    }
    report.say(&format!("\n{:.1} s in all", begun.elapsed().as_secs_f64()));
    report.say(&format!(
        "{} passed, {} failed",
        report.passed(),
        report.failed()
    ));
    Ok(report.failed() == 0)
}

/// Takes down what `keep` left up; returns whether there was a lab.
///
/// # Errors
/// What could not be removed.
pub fn down(prefix: &str) -> Result<bool> {
    ledger::down(prefix)
}

fn farewell(lab: &Lab) -> String {
    let enter = |namespace: Namespace| format!("nsenter --net={}", namespace.path().display());
    let (customer, edge) = (
        enter(lab.namespace(Host::CustomerA)),
        enter(lab.namespace(Host::Edge)),
    );
    let (dir, prefix) = (lab.dir().display(), lab.prefix());
    let outgate = lab
        .binaries()
        .outgate()
        .unwrap_or_else(|_missing| Path::new("outgate").to_owned());
    format!(
        "\nThe lab stays up. Logs, configuration and mail: {dir}\n\
         Ask the controller:    export OUTGATE_SOCKET={dir}/outgated.sock; {} status\n\
         Be customer-a:         {customer} swaks --server 203.0.113.10 --to you@example.net --tls\n\
         Watch the edge:        {edge} ip -s link\n\
         Take it down:          outgate-demo --down --prefix {prefix}",
        outgate.display()
    )
}
