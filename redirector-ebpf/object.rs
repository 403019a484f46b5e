//! Builds one of this crate's programs from source and leaves it in `OUT_DIR`, from where the crate
//! that includes this file in its build script embeds it.
//!
//! aya-build would do nearly this, but only with the release profile, whose overflow checks the BPF
//! target cannot have, and only with build-std on a nightly or a process-wide `RUSTC_BOOTSTRAP`.

use std::{env, path::PathBuf, process::Command};

/// Builds the program of that name. The including crate's directory is one below the workspace's.
pub(crate) fn build(name: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let target_dir = out.join("bpf");
    for watched in [
        "../redirector-ebpf",
        "../redirector-common/src",
        "../Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={watched}");
    }

    let flags = [
        &format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // Every JIT that Outgate runs on loads misaligned words. Copying addresses octet by octet
        // instead needs more stack than a BPF program has.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    ];
    let status = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"))
        .args(["build", "--locked", "--package", "redirector-ebpf"])
        .args(["--bin", name, "--profile", "bpf"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(&target_dir)
        .current_dir("..")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // Set by cargo, clippy and rustup for the outer build; they would change the inner one.
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "{name} did not build; `cargo xtask setup` installs what it needs (rust-src, bpf-linker)"
    );
    let object = target_dir.join(TARGET).join("bpf").join(name);
    std::fs::copy(&object, out.join(name))
        .unwrap_or_else(|error| panic!("{}: {error}", object.display()));
}

/// Little-endian BPF; Outgate runs on x86_64 and aarch64.
const TARGET: &str = "bpfel-unknown-none";
