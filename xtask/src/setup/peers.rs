//! Mail programs of others that cannot be installed as Debian packages: they are kept below `target`.
//!
//! Debian's mail servers conflict with each other, so those beside Postfix are unpacked, each into a root of its
//! own that the lab lays over the machine's files. clamd is unpacked because its package brings freshclam along, which
//! fetches signatures day and night, and rbldnsd because its package wants a user and a service. What Debian does not have comes
//! from PyPI into virtual environments. What is there
//! already, in the version named here, is not touched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{apt, is_root, say};
use crate::shell::{command, target_dir};

/// Unpacks and installs what is missing.
pub(super) fn run() -> Result<()> {
    for (name, packages) in ROOTS {
        once(name, &packages.join(" "), |dir| unpack(dir, packages))?;
    }
    for (name, packages) in PYTHON {
        once(name, packages, |dir| virtual_environment(dir, packages))?;
    }
    Ok(())
}

/// Makes a directory below `target/peers` by `make`, unless it was made of the same parts before.
fn once(name: &str, parts: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let dir = target_dir().join("peers").join(name);
    // Written last: an interrupted run leaves none.
    let done = dir.join(".made-of");
    if fs::read_to_string(&done).is_ok_and(|made_of| made_of == parts) {
        return Ok(());
    }
    say(&format!("{}: making it of {parts}", dir.display()))?;
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    make(&dir)?;
    fs::write(&done, parts).with_context(|| done.display().to_string())
}

/// The files of Debian packages, without their scripts.
fn unpack(dir: &Path, packages: &[&str]) -> Result<()> {
    let download = || {
        command("apt-get")
            // Its own user cannot write below target.
            .args(["download", "-qq", "-o", "APT::Sandbox::User=root"])
            .args(packages)
            .dir(dir)
            .run()
    };
    if download().is_err() {
        ensure!(is_root(), "type: sudo apt-get update");
        apt(&["update", "-qq"])?;
        download()?;
    }
    for package in archives(dir)? {
        command("dpkg")
            .args([Path::new("-x"), &package, dir])
            .run()?;
        fs::remove_file(&package)?;
    }
    // Over a machine on which /lib is a link into /usr, a directory of that name would hide every library.
    for name in ["bin", "lib", "sbin"] {
        let old = dir.join(name);
        if old.is_dir() {
            let merged = dir.join("usr").join(name);
            fs::create_dir_all(&merged)?;
            command("cp")
                .args([Path::new("-a"), &old.join("."), &merged])
                .run()?;
            fs::remove_dir_all(old)?;
        }
    }
    Ok(())
}

fn archives(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            archives.push(path);
        }
    }
    Ok(archives)
}

fn virtual_environment(dir: &Path, packages: &str) -> Result<()> {
    command("/usr/bin/python3")
        .args([Path::new("-m"), Path::new("venv"), dir])
        .run()?;
    command(dir.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(packages.split(' '))
        .run()
}

/// Servers, each with the packages that it is made of; their libraries conflict with nothing and are installed.
const ROOTS: [(&str, &[&str]); 5] = [
    (
        "clamav",
        &["clamav-daemon", "clamav-milter", "clamav-testfiles"],
    ),
    ("exim", &["exim4-base", "exim4-daemon-light"]),
    ("opensmtpd", &["opensmtpd"]),
    // For promtool, which judges metrics and alert rules.
    ("prometheus", &["prometheus"]),
    ("rbldnsd", &["rbldnsd"]),
];
/// Virtual environments, each with its requirements as pip reads them; apart, because each wants its own libraries.
const PYTHON: [(&str, &str); 2] = [
    ("python", "sslyze==6.3.1"),
    ("schemathesis", "schemathesis==4.32.5"),
];
