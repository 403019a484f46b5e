//! A mail server whose Debian package cannot be installed beside Postfix, run as if it were.
//!
//! Its packages' files lie over the machine's own in a mount namespace that ends with the server, with the users
//! that its package would have made. What it writes is gone with it, but for the lab's directory, which is the
//! one that everybody sees.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::{host::Host, lab::Lab};

/// A directory in which the machine will look like `packages` were installed.
pub(super) struct Overlay<'lab> {
    lab: &'lab Lab,
    host: Host,
    packages: std::path::PathBuf,
    /// Octets that stand in the place of the machine's: path, content.
    files: Vec<(&'static str, String)>,
}

impl<'lab> Overlay<'lab> {
    /// Nothing is mounted yet; `packages` is what setup calls them.
    ///
    /// # Errors
    /// That they are not there.
    pub(super) fn new(lab: &'lab Lab, host: Host, packages: &str) -> Result<Self> {
        Ok(Self {
            lab,
            host,
            packages: lab.binaries().peer(packages)?,
            // Who asks for a name hears at once that nobody knows it.
            files: vec![("/etc/resolv.conf", "nameserver 127.0.0.1\n".to_owned())],
        })
    }

    /// Adds system users, with groups of their names, and no rights.
    pub(super) fn users(mut self, names: &[&str]) -> Result<Self> {
        for (file, tail) in [
            ("/etc/passwd", ":/nonexistent:/usr/sbin/nologin"),
            ("/etc/group", ""),
        ] {
            let mut text = fs::read_to_string(file).with_context(|| file.to_owned())?;
            for (name, id) in names.iter().zip(FIRST_ID..) {
                let group = if tail.is_empty() {
                    String::new()
                } else {
                    format!("{id}:")
                };
                text.push_str(&format!("{name}:x:{id}:{group}{tail}\n"));
            }
            self.files.push((file, text));
        }
        Ok(self)
    }

    /// Adds a file; its directory must be the machine's or the packages'.
    pub(super) fn file(mut self, path: &'static str, content: String) -> Self {
        self.files.push((path, content));
        self
    }

    /// A command that runs on the host, with all of this in place.
    pub(super) fn command(self, program: &str, arguments: &[&str]) -> Result<Command> {
        let stage = self.lab.dir().join(format!("{}-root", self.host.name()));
        let over = stage.join("over");
        fs::create_dir_all(&over)?;
        for (path, content) in &self.files {
            let path = over.join(path.trim_start_matches('/'));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content).with_context(|| path.display().to_string())?;
        }
        let mut command = self.lab.namespace(self.host).command("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                SCRIPT,
                "sh",
            ])
            .args([
                stage.as_path(),
                &self.packages,
                self.lab.dir(),
                Path::new(program),
            ])
            .args(arguments);
        Ok(command)
    }
}

/// Stage, packages, lab's directory, and what to run. The upper layer is a file system of its own: a layer must not lie
/// in another one.
const SCRIPT: &str = "
stage=$1 packages=$2 lab=$3; shift 3
layers=$stage/layers root=$stage/root
mkdir -p \"$layers\" \"$root\"
mount -t tmpfs -o mode=0755 outgate-lab \"$layers\"
mkdir \"$layers/upper\" \"$layers/work\"
cp -a \"$packages/.\" \"$stage/over/.\" \"$layers/upper\"
mount -t overlay -o lowerdir=/,upperdir=\"$layers/upper\",workdir=\"$layers/work\" outgate-lab \"$root\"
for own in /proc /dev \"$lab\"; do
  mkdir -p \"$root$own\"
  mount --rbind \"$own\" \"$root$own\"
done
exec chroot \"$root\" \"$@\"
";

/// Of the first user; beyond what Debian gives to users and services.
pub(super) const FIRST_ID: u32 = 61_801;
