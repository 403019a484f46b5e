//! The one door for people and CI: `cargo xtask COMMAND`.
//!
//! Every command installs what it needs first (see [`setup`]), so that on a fresh machine each of
//! them works alone, and a second run installs nothing.

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod fuzz;
mod kernels;
mod lint;
mod setup;
mod shell;
mod tidy;

/// Build, test and show Outgate.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need (rust-src, bpf-linker, Debian packages)
    Setup,
    /// Show the whole road in a lab of network namespaces, and check it
    ///
    /// Example: cargo xtask demo --keep
    Demo {
        /// Arguments for the demo: --keep, --down, --json FILE
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Prove that nothing is lost: kill a relay that keeps mail, and worse, and compare the books of both ends
    ///
    /// Examples: cargo xtask ledger --runs 14; cargo xtask ledger --check
    #[command(disable_help_flag = true)]
    Ledger {
        /// Arguments for the proof: --runs N, --seed S, --check, --json FILE, --peer postfix; --help explains
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run every test
    ///
    /// Example: cargo xtask test -p relay-proto
    Test {
        /// Arguments for `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check format and lints, host and BPF, with warnings as errors
    Lint,
    /// Check what no compiler checks: dependency edges, file sizes, module docs
    Tidy,
    /// Fuzz one target for a while
    ///
    /// Example: cargo xtask fuzz decide --seconds 60 --keep
    Fuzz {
        /// Target; without one, they are listed
        target: Option<String>,
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Keep what reached new code in the target's corpus, minimised
        #[arg(long)]
        keep: bool,
    },
    /// Measure what a packet costs, beside nftables, tc and the kernel's forwarding, or what a message costs in the
    /// relay, or how well mail is filtered, and check the targets
    ///
    /// Examples: cargo xtask bench dataplane --check --json bench.json; cargo xtask bench relay
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for the benchmark: dataplane, relay, filter or controller, --check, --json FILE, --svg FILE, --quick; --help explains
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Try the kernel program under Debian's stock kernel, in an emulator
    ///
    /// The verifier in every role, tests of the lab, and the golden packets. Ten minutes and more.
    ///
    /// Examples: cargo xtask kernels; cargo xtask kernels loads
    Kernels {
        /// What to try there; everything unless told
        #[arg(value_enum)]
        parts: Vec<kernels::Part>,
    },
    /// All that must hold before a change lands: setup, lint, tidy, test, demo
    Ci,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Setup => setup::run(),
        Command::Demo { args } => demo(&args),
        Command::Ledger { args } => ledger(&args),
        Command::Test { args } => test(&args),
        Command::Lint => {
            setup::run()?;
            lint::run()
        }
        Command::Tidy => tidy::run(),
        Command::Fuzz {
            target,
            seconds,
            keep,
        } => fuzz::run(target.as_deref(), seconds, keep),
        Command::Bench { args } => bench::run(&args),
        Command::Kernels { parts } => kernels::run(&parts),
        Command::Ci => {
            setup::run()?;
            lint::run()?;
            tidy::run()?;
            test(&[])?;
            demo(&[])
        }
    }
}

fn test(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::root_needed("test")?;
    // The lab's tests run the binaries, which `cargo test` alone would not build.
    shell::cargo(["build", "--locked"]).run()?;
    shell::cargo(["test", "--locked", "--no-fail-fast"])
        .args(args)
        .run()
}

fn ledger(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::root_needed("ledger")?;
    let crates = ["--package", "relay", "--package", "outgate-tests"];
    shell::cargo(["build", "--locked", "--release", "--quiet"])
        .args(crates)
        .run()?;
    shell::command(shell::target_dir().join("release").join("outgate-ledger"))
        .args(args)
        .run()
}

fn demo(args: &[String]) -> Result<()> {
    setup::run()?;
    setup::root_needed("demo")?;
    shell::cargo(["build", "--locked", "--release"]).run()?;
    shell::command(shell::target_dir().join("release").join("outgate-demo"))
        .args(args)
        .run()
}
