//! Format and lints, on the host's crates and on the BPF crate, with warnings as errors.

use anyhow::Result;

use crate::shell::cargo;

/// Checks both halves.
pub(crate) fn run() -> Result<()> {
    cargo(["fmt", "--all", "--check"]).run()?;
    cargo([
        "clippy",
        "--locked",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
    .run()?;
    // The BPF crate only makes sense for its own target, whose `core` must be built first.
    cargo([
        "clippy",
        "--locked",
        "--package",
        "redirector-ebpf",
        "--profile",
        "bpf",
    ])
    .args([
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
        "--target-dir",
    ])
    .args([crate::shell::target_dir().join("bpf")])
    .args(["--", "-D", "warnings"])
    .env("RUSTC_BOOTSTRAP", "1")
    .env(
        "CARGO_ENCODED_RUSTFLAGS",
        "--cfg=bpf_target_arch=\"x86_64\"\u{1f}-Cdebuginfo=2",
    )
    .run()
}
