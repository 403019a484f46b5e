//! An emulated machine with Debian's stock kernel, and with this machine's files under it.
//!
//! It sees our root file system read-only over 9p, with an overlay in memory on top: whatever is installed
//! and built here runs there, at the same paths, and leaves no trace here. Its kernel's modules are its own.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::shell::command;

/// A kernel that can be booted.
pub(super) struct Machine {
    dir: PathBuf,
    /// Where its package is unpacked.
    package: PathBuf,
    release: String,
}

impl Machine {
    /// Debian's kernel for this release, downloaded if it is not in `dir` yet.
    pub(super) fn prepare(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let depends = command("apt-cache")
            .args(["depends", "linux-image-amd64"])
            .output();
        let name = depends
            .as_deref()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.trim().strip_prefix("Depends: "))
            })
            .context("apt-cache knows no linux-image-amd64; run this on Debian, x86_64")?
            .to_owned();
        let machine = Self {
            dir: dir.to_owned(),
            package: dir.join("boot"),
            release: name.trim_start_matches("linux-image-").to_owned(),
        };
        if !machine.image().exists() {
            super::say(&format!("downloading {name}"))?;
            command("apt-get")
                .args(["download", &name])
                .dir(dir)
                .run()?;
            let archive = fs::read_dir(dir)?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
                .context("apt-get download left no package")?;
            command("dpkg")
                .args(["-x"])
                .args([&archive, &machine.package])
                .run()?;
            fs::remove_file(archive)?;
        }
        command("depmod")
            .args(["-b"])
            .args([&machine.package])
            .args([&machine.release])
            .run()?;
        Ok(machine)
    }

    /// Its kernel's release, as `uname -r` says it there.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// Boots it, runs a script for bash as root, and returns what its console showed from there on.
    pub(super) fn run(&self, script: &str, seconds: u32) -> Result<String> {
        let root = self.dir.join("root");
        self.lay_root(&root, script)?;
        let initrd = self.dir.join("initrd");
        let pack = format!("find . | cpio -o -H newc --quiet > '{}'", initrd.display());
        command("sh").args(["-c", &pack]).dir(&root).run()?;
        let log = self.dir.join("console.log");
        self.boot(&initrd, &log, seconds)?;
        let console = fs::read(&log).context("the console")?;
        let console = String::from_utf8_lossy(&console);
        match console.split_once(BEGIN) {
            Some((_, said)) => Ok(said.replace('\r', "").trim().to_owned()),
            None => bail!("it did not come up; {} says how far", log.display()),
        }
    }

    /// What it starts with: a shell, and the modules that lead to our files.
    fn lay_root(&self, root: &Path, script: &str) -> Result<()> {
        if root.exists() {
            fs::remove_dir_all(root)?;
        }
        for dir in [
            "bin", "proc", "sys", "dev", "host", "memory", "new", "modules",
        ] {
            fs::create_dir_all(root.join(dir))?;
        }
        fs::copy("/bin/busybox", root.join("bin/busybox"))?;
        symlink("busybox", root.join("bin/sh")).context("the shell")?;
        for (number, module) in self.modules()?.iter().enumerate() {
            let name = module.file_name().unwrap_or_default().display();
            // In the order in which they need each other.
            fs::copy(module, root.join(format!("modules/{number:02}-{name}")))?;
        }
        let modules = self.package.join("lib/modules").join(&self.release);
        let init = INIT
            .replace("@MODULES@", &modules.display().to_string())
            .replace("@RELEASE@", &self.release)
            .replace("@SCRIPT@", script);
        let path = root.join("init");
        fs::write(&path, init)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("init")
    }

    fn modules(&self) -> Result<Vec<PathBuf>> {
        let listed = command("modprobe")
            .args(["--show-depends", "--all", "-S", &self.release, "-d"])
            .args([&self.package])
            .args(["virtio_pci", "9pnet_virtio", "9p", "overlay"])
            .output()
            .context("modprobe does not find the modules of 9p and overlay")?;
        let mut modules = Vec::new();
        for line in listed.lines() {
            let module = line
                .strip_prefix("insmod ")
                .map(|path| PathBuf::from(path.trim()));
            modules.extend(module.filter(|module| !modules.contains(module)));
        }
        Ok(modules)
    }

    fn boot(&self, initrd: &Path, log: &Path, seconds: u32) -> Result<()> {
        let console = format!("file:{}", log.display());
        let booted = command("timeout")
            .args([&seconds.to_string(), "qemu-system-x86_64"])
            // KVM hangs where machines are nested.
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", "3072", "-display", "none", "-no-reboot"])
            .args(["-serial", &console])
            .args([
                "-fsdev",
                "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            ])
            .args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"])
            .args(["-append", "console=ttyS0 quiet panic=-1"])
            .args([
                Path::new("-kernel"),
                &self.image(),
                Path::new("-initrd"),
                initrd,
            ])
            .run();
        if booted.is_err() {
            bail!(
                "the machine did not end within {seconds} s; {} says how far it came",
                log.display()
            );
        }
        Ok(())
    }

    fn image(&self) -> PathBuf {
        self.package
            .join("boot")
            .join(format!("vmlinuz-{}", self.release))
    }
}

/// Packages that this needs.
pub(super) const DEBIAN_PACKAGES: [&str; 4] = ["busybox-static", "cpio", "kmod", "qemu-system-x86"];

/// The machine's first program.
const INIT: &str = r#"#!/bin/sh
/bin/busybox --install -s /bin
hostname old-kernel
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose host /host
mount -t tmpfs -o size=1500m memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /new
mkdir -p /new/lib/modules/@RELEASE@
mount --bind /new@MODULES@ /new/lib/modules/@RELEASE@
for dir in proc sys dev; do mount --move /$dir /new/$dir; done
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts pts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t tmpfs tmp /new/tmp
mount -t tmpfs run /new/run
mount -t bpf bpf /new/sys/fs/bpf
# What the kernel asks for by itself, a filter's classifier for one, is found where its modules are.
mkdir /sbin
printf '#!/bin/sh\nexec chroot /new /sbin/modprobe "$@"\n' > /sbin/modprobe
chmod +x /sbin/modprobe
cat > /new/run/script <<'END'
@SCRIPT@
END
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
echo '---8<---'
chroot /new /bin/bash /run/script
/bin/busybox poweroff -f
"#;

/// What the console says before the script.
const BEGIN: &str = "---8<---";
