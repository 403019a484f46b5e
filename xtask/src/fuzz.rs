//! Fuzzing, with the targets that live beside what they fuzz.
//!
//! What the fuzzer has found to reach different code is kept as `fuzz/corpus/TARGET.txt`, an input a line
//! in hexadecimal, where tests replay it. Its own working copy, a file an input, is beside it.

use std::{collections::BTreeSet, fmt::Write as _, fs, io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, command, workspace};

/// A target and the crate that it belongs to.
struct Target {
    name: String,
    home: PathBuf,
}

/// Runs one target for a while, or lists them. With `keep`, what was found is kept.
pub(crate) fn run(target: Option<&str>, seconds: u32, keep: bool) -> Result<()> {
    let targets = targets()?;
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    let Some(wanted) = target else {
        let list = names.join("\n");
        return writeln!(std::io::stdout(), "{list}").context("standard output");
    };
    let Some(target) = targets.iter().find(|target| target.name == wanted) else {
        bail!("no fuzz target {wanted}; there are: {}", names.join(", "));
    };
    if command("cargo-fuzz").args(["--version"]).output().is_none() {
        cargo(["install", "cargo-fuzz", "--locked"]).run()?;
    }
    target.unpack()?;
    target.fuzz(["run", wanted, "--", &format!("-max_total_time={seconds}")])?;
    if keep {
        target.fuzz(["cmin", wanted])?;
        target.pack()?;
    }
    Ok(())
}

impl Target {
    /// `cargo fuzz` with these arguments.
    fn fuzz<const N: usize>(&self, args: [&str; N]) -> Result<()> {
        // Sanitizer flags are unstable; the pinned stable compiler takes them with RUSTC_BOOTSTRAP.
        cargo(["fuzz"])
            .args(args)
            .dir(&self.home)
            .env("RUSTC_BOOTSTRAP", "1")
            .run()
    }

    fn kept(&self) -> PathBuf {
        self.home.join(format!("fuzz/corpus/{}.txt", self.name))
    }

    fn working_copy(&self) -> PathBuf {
        self.home.join("fuzz/corpus").join(&self.name)
    }

    fn unpack(&self) -> Result<()> {
        let kept = self.kept();
        if !kept.exists() {
            return Ok(());
        }
        let text = fs::read_to_string(&kept).with_context(|| kept.display().to_string())?;
        let dir = self.working_copy();
        fs::create_dir_all(&dir)?;
        for (number, line) in text.lines().enumerate() {
            let input = unhex(line)
                .with_context(|| format!("{}:{}: no hexadecimal", kept.display(), number + 1))?;
            fs::write(dir.join(format!("kept-{number}")), input)?;
        }
        Ok(())
    }

    fn pack(&self) -> Result<()> {
        let mut inputs = BTreeSet::new();
        for entry in fs::read_dir(self.working_copy())? {
            let input = fs::read(entry?.path())?;
            inputs.insert((input.len(), input));
        }
        let mut text = String::new();
        for (_, input) in inputs {
            for octet in input {
                write!(text, "{octet:02x}")?;
            }
            text.push('\n');
        }
        fs::write(self.kept(), text).context("keeping the corpus")
    }
}

fn targets() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for home in HOMES {
        let home = workspace().join(home);
        let dir = home.join("fuzz/fuzz_targets");
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) {
                targets.push(Target {
                    name: name.to_owned(),
                    home: home.clone(),
                });
            }
        }
    }
    targets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(targets)
}

fn unhex(line: &str) -> Option<Vec<u8>> {
    line.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The crates whose parsers and judgements are fuzzed.
const HOMES: [&str; 3] = ["redirector-common", "relay", "relay-proto"];
