//! The kernel program before another kernel's verifier: Debian's stock one, booted in an emulator.
//!
//! Verifiers differ: what a new kernel loads, an older one may refuse (for its stack, its instruction
//! count, a bound that it does not follow). So the test that loads the program in every role runs as
//! the only program of a small machine with the kernel that Debian ships.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    setup,
    shell::{cargo, command, target_dir},
};

/// Boots Debian's kernel and loads the program there.
pub(crate) fn run() -> Result<()> {
    setup::run()?;
    setup::install(&DEBIAN_PACKAGES)?;
    let dir = target_dir().join("kernels");
    fs::create_dir_all(&dir)?;
    let kernel = kernel(&dir)?;
    let test = test_binary()?;
    let root = dir.join("root");
    lay_root(&root, &test)?;
    let initrd = dir.join("initrd");
    pack(&root, &initrd)?;
    let log = dir.join("console.log");
    say(&format!(
        "booting {}",
        kernel.file_name().unwrap_or_default().display()
    ))?;
    boot(&kernel, &initrd, &log)?;
    let console = fs::read(&log).context("the console")?;
    let console = String::from_utf8_lossy(&console);
    let said = console.split(BEGIN).nth(1).unwrap_or(&console);
    say(said.trim())?;
    ensure!(
        console.contains(PASSED),
        "it does not load there; {} has it all",
        log.display()
    );
    Ok(())
}

/// Debian's kernel for this release, unpacked.
fn kernel(dir: &Path) -> Result<PathBuf> {
    let depends = command("apt-cache")
        .args(["depends", "linux-image-amd64"])
        .output();
    let package = depends
        .as_deref()
        .and_then(|text| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix("Depends: "))
        })
        .context("apt-cache knows no linux-image-amd64; run this on Debian, x86_64")?
        .to_owned();
    let image = dir.join("boot").join(format!(
        "boot/vmlinuz-{}",
        package.trim_start_matches("linux-image-")
    ));
    if !image.exists() {
        say(&format!("downloading {package}"))?;
        command("apt-get")
            .args(["download", &package])
            .dir(dir)
            .run()?;
        let archive = fs::read_dir(dir)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get download left no package")?;
        command("dpkg")
            .args(["-x"])
            .args([&archive, &dir.join("boot")])
            .run()?;
        fs::remove_file(archive)?;
    }
    Ok(image)
}

fn test_binary() -> Result<PathBuf> {
    let args = [
        "test",
        "--locked",
        "--no-run",
        "--package",
        "redirector-user",
        "--test",
        "golden",
    ];
    let messages = cargo(args).args(["--message-format", "json"]).output();
    let messages = messages.context("the golden test does not build: cargo xtask test")?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "golden")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo names no executable of the golden test")
}

/// A root with a shell, the test and the libraries that it is linked with.
fn lay_root(root: &Path, test: &Path) -> Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    for dir in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    fs::copy(test, root.join("golden"))?;
    let linked = command("ldd").args([test]).output().context("ldd")?;
    for library in linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let copy = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(copy.parent().unwrap_or(root))?;
        fs::copy(library, copy)?;
    }
    let init = root.join("init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    symlink("busybox", root.join("bin/sh")).context("the shell")
}

fn pack(root: &Path, initrd: &Path) -> Result<()> {
    let pack = format!("find . | cpio -o -H newc --quiet > '{}'", initrd.display());
    command("sh").args(["-c", &pack]).dir(root).run()
}

fn boot(kernel: &Path, initrd: &Path, log: &Path) -> Result<()> {
    let console = format!("file:{}", log.display());
    let booted = command("timeout")
        .args([
            BOOT_SECONDS,
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
        ])
        .args([
            "-m",
            "2048",
            "-display",
            "none",
            "-no-reboot",
            "-serial",
            &console,
        ])
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .args([Path::new("-kernel"), kernel, Path::new("-initrd"), initrd])
        .run();
    if booted.is_err() {
        bail!(
            "the machine did not end within {BOOT_SECONDS} s; {} says how far it came",
            log.display()
        );
    }
    Ok(())
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stderr(), "kernels: {line}").context("standard error")
}

/// The machine's only program.
const INIT: &str = "#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
echo '---8<---'
uname -r
/golden the_verifier_accepts && echo 'kernels: it loads'
poweroff -f
";

/// What the console says before the test, and after it.
const BEGIN: &str = "---8<---";
const PASSED: &str = "kernels: it loads";

const BOOT_SECONDS: &str = "300";

const DEBIAN_PACKAGES: [&str; 3] = ["busybox-static", "cpio", "qemu-system-x86"];
