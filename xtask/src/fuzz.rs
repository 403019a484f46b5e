//! Fuzzing, with the targets that live beside what they fuzz.

use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, command, workspace};

/// Runs one target for a while, or lists them.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<()> {
    let targets = targets()?;
    let Some(target) = target else {
        let list = targets.join("\n");
        return writeln!(std::io::stdout(), "{list}").context("standard output");
    };
    if !targets.iter().any(|known| known == target) {
        bail!("no fuzz target {target}; there are: {}", targets.join(", "));
    }
    if command("cargo-fuzz").args(["--version"]).output().is_none() {
        cargo(["install", "cargo-fuzz", "--locked"]).run()?;
    }
    // Sanitizer flags are unstable; the pinned stable compiler takes them with RUSTC_BOOTSTRAP.
    cargo([
        "fuzz",
        "run",
        target,
        "--",
        &format!("-max_total_time={seconds}"),
    ])
    .dir(workspace().join(HOME))
    .env("RUSTC_BOOTSTRAP", "1")
    .run()
}

fn targets() -> Result<Vec<String>> {
    let dir = workspace().join(HOME).join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The crate whose parsers are fuzzed.
const HOME: &str = "relay-proto";
