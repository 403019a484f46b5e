//! What the other commands need, installed once.
//!
//! Each piece is looked for first; only what is missing is installed, and what cannot be installed
//! is one line that says what a person must do.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, command};

mod peers;

/// Installs whatever is missing.
pub(crate) fn run() -> Result<()> {
    rust_src()?;
    bpf_linker()?;
    install(&DEBIAN_PACKAGES)?;
    peers::run()?;
    bpffs()
}

/// Fails with the line to type if we are not root.
pub(crate) fn root_needed(subcommand: &str) -> Result<()> {
    if !is_root() {
        bail!(
            "network namespaces and BPF need root: sudo env \"PATH=$PATH\" cargo xtask {subcommand}"
        );
    }
    Ok(())
}

/// The standard library's source, from which `core` is built for BPF.
fn rust_src() -> Result<()> {
    let sysroot = command("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("rustc is missing: install rustup from https://rustup.rs")?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core")
        .is_dir()
    {
        return Ok(());
    }
    say("rust-src, rustfmt, clippy: installing with rustup")?;
    command("rustup")
        .args(["component", "add", "rust-src", "rustfmt", "clippy"])
        .run()
}

/// The BPF linker; newer ones want another LLVM than the pinned rustc has.
fn bpf_linker() -> Result<()> {
    let found = command("bpf-linker").args(["--version"]).output();
    if found.is_some_and(|version| version.split_whitespace().any(|word| word == BPF_LINKER)) {
        return Ok(());
    }
    say(&format!(
        "bpf-linker {BPF_LINKER}: building (about three minutes)"
    ))?;
    cargo([
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER,
        "--locked",
        "--force",
    ])
    .run()
}

/// Installs those of the Debian packages that are missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !installed(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_root() || command("apt-get").args(["--version"]).output().is_none() {
        bail!("install these packages: sudo apt-get install --no-install-recommends {names}");
    }
    say(&format!("Debian packages: installing {names}"))?;
    apt(&["update", "-qq"])?;
    // The tests start their own instances: a mail server that begins to listen on the machine
    // because somebody tried a demo would be a poor guest.
    let _quiet = NoServices::declare()?;
    if missing.contains(&"postgresql") {
        no_cluster()?;
    }
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(missing);
    apt(&args)
}

/// Tests make clusters of their own; the machine gets none.
fn no_cluster() -> Result<()> {
    let file = Path::new("/etc/postgresql-common/createcluster.conf");
    if file.exists() {
        return Ok(());
    }
    fs::create_dir_all("/etc/postgresql-common")?;
    fs::write(file, "create_main_cluster = false\n").context("createcluster.conf")
}

fn apt(args: &[&str]) -> Result<()> {
    command("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

fn installed(package: &str) -> bool {
    command("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .output()
        .is_some_and(|status| status == "install ok installed")
}

/// Where maps and links are pinned.
fn bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    if !is_root()
        || mounts
            .lines()
            .any(|line| line.split(' ').nth(1) == Some("/sys/fs/bpf"))
    {
        return Ok(());
    }
    say("bpffs: mounting on /sys/fs/bpf")?;
    command("mount")
        .args(["-t", "bpf", "bpf", "/sys/fs/bpf"])
        .run()
}

/// While it lives, Debian's maintainer scripts start no service (policy-rc.d answers 101).
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn declare() -> Result<Self> {
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            drop(say(&format!("remove {} by hand: {error}", path.display())));
        }
    }
}

fn is_root() -> bool {
    command("id")
        .args(["-u"])
        .output()
        .is_some_and(|uid| uid.trim() == "0")
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stderr(), "setup: {line}").context("standard error")
}

const BPF_LINKER: &str = "0.10.3";

/// Compilers, and the real programs that the tests and the demo run.
const DEBIAN_PACKAGES: [&str; 38] = [
    "age",
    "build-essential",
    "curl",
    "dante-server",
    "iproute2",
    "ldnsutils",
    "msmtp",
    "nmap",
    "node-nodemailer",
    "openssl",
    "postfix",
    "postgresql",
    "python3-dkim",
    // With which it verifies Ed25519, too.
    "python3-nacl",
    "python3-venv",
    "rspamd",
    // The file of passwords of a mail server that wants one.
    "sasl2-bin",
    "strace",
    "swaks",
    "tcpdump",
    "unbound",
    // Without it swaks speaks no STARTTLS.
    "libnet-ssleay-perl",
    // Nor IPv6 without this.
    "libio-socket-inet6-perl",
    // Libraries of servers that are unpacked only.
    "libclamav12",
    "libevent-2.1-7",
    "libgnutls-dane0",
    "libidn12",
    "libnsl2",
    "haproxy",
    "nftables",
    // An authority to get certificates from.
    "pebble",
    "postgrey",
    // Without it Postfix logs in nowhere.
    "libsasl2-modules",
    // Sendmail's side of mail filters, and filters in Python by it.
    "libmilter1.0.1",
    "python3-milter",
    // Shells that complete command lines, and what reads man pages.
    "fish",
    "man-db",
    "zsh",
];
