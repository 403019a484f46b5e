//! One lab: its namespaces, its directory, its claim on a prefix.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    binaries::Binaries,
    host::{Family, Host},
    ledger::Ledger,
    netns::Namespace,
    process::checked,
    wires, xdp_pass,
};

/// A lab that is up. Dropping it takes it down, unless it was [`Lab::keep`]t.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    dir: PathBuf,
    binaries: Binaries,
    ledger: Mutex<Ledger>,
    kept: bool,
}

impl Lab {
    /// Brings up namespaces and wires, named by `prefix` (letters and digits, at most 12).
    ///
    /// # Errors
    /// Missing privileges or programs; a living lab of the same prefix.
    pub fn up(prefix: &str, binaries: Binaries) -> Result<Self> {
        ensure!(
            (1..=12).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_alphanumeric()),
            "{prefix}: a prefix is at most 12 letters and digits"
        );
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab makes namespaces: run it as root"
        );
        mount_bpffs()?;
        let ledger = Ledger::claim(prefix, pin_dir(prefix))?;
        // From here on the guard takes down what there is, also after an error.
        let mut lab = Self {
            prefix: prefix.to_owned(),
            dir: PathBuf::new(),
            binaries,
            ledger: Mutex::new(ledger),
            kept: false,
        };
        lab.dir = make_dir(prefix)?;
        lab.ledger().add_dir(&lab.dir)?;
        for host in Host::ALL {
            let namespace = lab.namespace(host);
            lab.ledger().add_namespace(namespace.name())?;
            checked(Command::new("ip").args(["netns", "add", namespace.name()]))?;
        }
        let xdp_pass = xdp_pass::write(&lab.dir)?;
        wires::join(|host| lab.namespace(host), &xdp_pass)?;
        Ok(lab)
    }

    /// A host's namespace.
    #[must_use]
    pub fn namespace(&self, host: Host) -> Namespace {
        Namespace::new(format!("{}-{}", self.prefix, host.name()))
    }

    /// What the names of its namespaces begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where sockets, logs, state and mail are; gone with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the product pins its maps.
    #[must_use]
    pub fn pin_dir(&self) -> PathBuf {
        pin_dir(&self.prefix)
    }

    /// Where in there the edge's are: by the version of their shapes.
    ///
    /// # Errors
    /// If nothing is pinned.
    pub fn pinned(&self) -> Result<PathBuf> {
        let is_version = |name: &str| {
            let number = name.strip_prefix('v');
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        };
        for entry in fs::read_dir(self.pin_dir())? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_version) {
                return Ok(entry.path());
            }
        }
        bail!("nothing is pinned in {}", self.pin_dir().display())
    }

    /// The product's binaries.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Gives a host one more address.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn add_address(&self, host: Host, address: std::net::IpAddr) -> Result<()> {
        let family = if address.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        wires::add_address(&self.namespace(host), address, family)
    }

    /// Puts a router between the edge and a host, which takes no more than `mtu` octets towards the host.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn router_before(&self, host: Host, mtu: u16) -> Result<Namespace> {
        let router = Namespace::new(format!("{}-hop-{}", self.prefix, host.name()));
        self.ledger().add_namespace(router.name())?;
        checked(Command::new("ip").args(["netns", "add", router.name()]))?;
        wires::router::interpose(|host| self.namespace(host), host, &router, mtu)?;
        Ok(router)
    }

    /// Routes a prefix to a host's own address, as an operator routes a customer its network.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn route(&self, prefix: &str, to: Host) -> Result<()> {
        let family = if prefix.contains(':') {
            Family::V6
        } else {
            Family::V4
        };
        let gateway = to.address(family).to_string();
        let mut ip = self.namespace(Host::Edge).command("ip");
        checked(ip.args(["route", "add", prefix, "via", &gateway]))?;
        Ok(())
    }

    /// The MAC address of an interface.
    ///
    /// # Errors
    /// That there is no such interface.
    pub fn mac(&self, host: Host, interface: &str) -> Result<[u8; 6]> {
        wires::mac(&self.namespace(host), interface)
    }

    /// Puts a stranger's XDP program on an interface of the edge; returns the program's name.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn occupy(&self, interface: &str) -> Result<&'static str> {
        let object = xdp_pass::write(&self.dir)?;
        xdp_pass::attach(&self.namespace(Host::Edge), interface, &object)?;
        Ok(xdp_pass::NAME)
    }

    /// Takes the wire between a host and the edge away, with the interfaces at both ends.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn unplug(&self, host: Host) -> Result<()> {
        wires::remove(&self.namespace(Host::Edge), host.edge_interface())
    }

    /// Makes that wire anew.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn plug_in(&self, host: Host) -> Result<()> {
        let object = xdp_pass::write(&self.dir)?;
        let (edge, namespace) = (self.namespace(Host::Edge), self.namespace(host));
        wires::join_one(&edge, &namespace, host.wire(), &object)
    }

    /// Lets a host leave checksums and segmentation to a network card that does not exist.
    ///
    /// # Errors
    /// As `ip` or the kernel says.
    pub fn offload(&self, host: Host) -> Result<()> {
        wires::offload(&self.namespace(host))
    }

    /// Frames that have come to a host by its wire, each as it came in.
    ///
    /// # Errors
    /// As `ip` says.
    pub fn received(&self, host: Host) -> Result<u64> {
        wires::received(&self.namespace(host))
    }

    /// Has a host merge the segments that come in, as drivers of network cards do.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn merge(&self, host: Host) -> Result<()> {
        wires::merge(&self.namespace(host))
    }

    /// Makes a file system of that many octets, empty, and gone with the lab.
    ///
    /// # Errors
    /// As `mount` says.
    pub fn small_disk(&self, name: &str, octets: u64) -> Result<PathBuf> {
        let target = self.mount_point(name)?;
        let size = format!("size={octets},mode=0755");
        checked(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "outgate-lab"])
                .arg(&target),
        )?;
        Ok(target)
    }

    /// Makes a disk of that many octets, an ext4 file system in a file, gone with the lab: as other than in memory,
    /// what is written is on it after a sync, and room may turn out to be missing as late as then.
    ///
    /// # Errors
    /// As `mkfs` or `mount` says.
    pub fn small_ext4(&self, name: &str, octets: u64) -> Result<PathBuf> {
        let image = self.dir.join(format!("{name}.img"));
        fs::File::create(&image)?.set_len(octets)?;
        checked(
            Command::new("mkfs.ext4")
                .args(["-q", "-m", "0"])
                .arg(&image),
        )?;
        let target = self.mount_point(name)?;
        checked(
            Command::new("mount")
                .args(["-o", "loop"])
                .args([&image, &target]),
        )?;
        Ok(target)
    }

    fn mount_point(&self, name: &str) -> Result<PathBuf> {
        let target = self.dir.join(name);
        fs::create_dir_all(&target)?;
        self.ledger().add_mount(&target)?;
        Ok(target)
    }

    /// Leaves everything up after the guard is gone.
    ///
    /// # Errors
    /// That the ledger cannot be written; the lab is then taken down as usual.
    pub fn keep(mut self) -> Result<()> {
        self.ledger().disown()?;
        self.kept = true;
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let outcome = self.ledger().take_down();
        if let Err(error) = outcome {
            use std::io::Write as _;
            // A destructor has nobody to return to; the next lab of this prefix tries again.
            drop(writeln!(std::io::stderr(), "{error:#}"));
        }
    }
}

fn pin_dir(prefix: &str) -> PathBuf {
    Path::new(BPFFS).join(format!("outgate-lab-{prefix}"))
}

fn make_dir(prefix: &str) -> Result<PathBuf> {
    let dir = tempfile::Builder::new()
        .prefix(&format!("outgate-lab-{prefix}."))
        .tempdir()?;
    // Mail servers give up root and must still reach their files.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    Ok(dir.keep())
}

fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(BPFFS))
    {
        return Ok(());
    }
    let mounted = checked(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]));
    // Two labs at once: the other one's mount serves as well.
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(BPFFS))
    {
        return Ok(());
    }
    mounted.map(drop)
}

const BPFFS: &str = "/sys/fs/bpf";
