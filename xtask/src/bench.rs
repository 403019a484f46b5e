//! The benchmark: what it needs, built for release, run.

use anyhow::Result;

use crate::{
    setup,
    shell::{cargo, command, target_dir},
};

/// Runs `outgate-bench` with these arguments; it explains itself with `--help`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let asks = args.is_empty() || args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !asks {
        setup::run()?;
        setup::root_needed("bench")?;
        setup::install(&DEBIAN_PACKAGES)?;
        if args.first().is_some_and(|what| what == "filter") && !has_npm() {
            setup::install(&["npm"])?;
        }
    }
    // The programs, too: it toggles flags by the real command line, and sends mail through the real relay.
    let programs = match args.first().map(String::as_str) {
        Some("relay" | "filter") => "relay",
        _ => "redirector-user",
    };
    let crates = ["--package", "outgate-bench", "--package", programs];
    cargo(["build", "--locked", "--release", "--quiet"])
        .args(crates)
        .run()?;
    let bench = command(target_dir().join("release").join("outgate-bench")).args(args);
    if args.is_empty() {
        return bench.args(["--help"]).run();
    }
    bench.run()
}

/// What fetches the public corpus; from Debian's package, or from wherever the machine has it.
fn has_npm() -> bool {
    command("npm").args(["--version"]).output().is_some()
}

/// What Outgate is compared with, and what switches a veth.
const DEBIAN_PACKAGES: [&str; 3] = ["conntrack", "ethtool", "nftables"];
