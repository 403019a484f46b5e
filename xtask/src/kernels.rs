//! The kernel program under another kernel: Debian's stock one, booted in an emulator.
//!
//! Verifiers differ: what a new kernel loads, an older one may refuse (for its stack, its instruction
//! count, a bound that it does not follow); and so do drivers and hooks. So the program is loaded there in
//! every role, judges the golden packets, and carries mail in the lab.

mod machine;

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use self::machine::Machine;
use crate::{
    setup,
    shell::{cargo, target_dir},
};

/// What is tried.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The verifier takes the program, in every role.
    Loads,
    /// Tests of the lab carry mail.
    Carries,
    /// The golden packets are judged as on the host.
    Judges,
}

/// Boots Debian's kernel, and runs there what must hold; all of it unless parts are named.
pub(crate) fn run(parts: &[Part]) -> Result<()> {
    setup::run()?;
    setup::root_needed("kernels")?;
    setup::install(&machine::DEBIAN_PACKAGES)?;
    cargo(["build", "--locked"]).run()?;
    let golden = test_binary("redirector-user", "golden")?;
    let lab = test_binary("outgate-tests", "lab")?;
    let machine = Machine::prepare(&target_dir().join("kernels"))?;
    say(&format!("booting {}", machine.release()))?;
    let parts = Part::value_variants()
        .iter()
        .filter(|part| parts.is_empty() || parts.contains(part));
    let script: String = [BEGINNING]
        .into_iter()
        .chain(parts.clone().map(|part| part.script()))
        .collect();
    let script = script
        .replace("@GOLDEN@", &golden.display().to_string())
        .replace("@LAB@", &lab.display().to_string())
        .replace("@CORE@", &CORE.join(" "));
    let said = machine.run(&script, SECONDS)?;
    say(&said)?;
    for part in parts {
        let (passed, problem) = part.outcome();
        ensure!(said.contains(passed), "{problem}: see above");
    }
    Ok(())
}

impl Part {
    /// What is run for it. Every filter names tests, so that a renamed one is noticed: a lab without tests carries no mail.
    const fn script(self) -> &'static str {
        match self {
            Self::Loads => "@GOLDEN@ the_verifier && echo 'kernels: it loads'\n",
            Self::Carries => {
                "OUTGATE_LAB_PATIENCE=10 @LAB@ --test-threads=1 @CORE@ > /tmp/lab 2>&1 && carried=1
cat /tmp/lab
grep -q '^test result: ok. [1-9]' /tmp/lab && [ \"$carried\" ] && echo 'kernels: it carries mail'
"
            }
            // Cases have pasts of half a minute, which the machine must have, too.
            Self::Judges => {
                "while [ $(cut -d. -f1 /proc/uptime) -lt 30 ]; do sleep 1; done
@GOLDEN@ as_the_host_does && echo 'kernels: it judges'
"
            }
        }
    }

    /// What it says when it has passed, and what is wrong if it has not.
    const fn outcome(self) -> (&'static str, &'static str) {
        match self {
            Self::Loads => ("kernels: it loads", "the program does not load there"),
            Self::Carries => ("kernels: it carries mail", "the lab fails there"),
            Self::Judges => ("kernels: it judges", "golden packets fail there"),
        }
    }
}

fn test_binary(package: &str, test: &str) -> Result<PathBuf> {
    let args = [
        "test",
        "--locked",
        "--no-run",
        "--package",
        package,
        "--test",
        test,
    ];
    let messages = cargo(args).args(["--message-format", "json"]).output();
    let messages =
        messages.with_context(|| format!("the test {test} does not build: cargo xtask test"))?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == test)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo names no executable of the test {test}"))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stderr(), "kernels: {line}").context("standard error")
}

const BEGINNING: &str = "uname -r
ip link set lo up
ulimit -n 65536
echo 100000 > /proc/sys/net/core/netdev_max_backlog
";

/// Tests of the lab that together see a whole road, both ways of diverting, and mail at its end; and a tunnel by the one
/// hook of tc that an old kernel has.
const CORE: [&str; 3] = ["live::", "steer::", "relay_host::tunnels_end_in_a_filter"];

/// An emulated second is a long one.
const SECONDS: u32 = 1800;
