//! A mail server whose Debian package cannot be installed beside Postfix, run as if it were.
//!
//! Its packages' files lie over the machine's own in a mount namespace that ends with the server, with the users
//! that its package would have made. What it writes is gone with it, but for directories that it shares with the
//! machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

/// A directory in which the machine will look like some packages were installed.
pub(super) struct Overlay {
    stage: PathBuf,
    packages: PathBuf,
    /// Octets that stand in the place of the machine's: path, content.
    files: Vec<(&'static str, String)>,
    /// Directories of the machine that are the server's, too: where they are, and where it sees them.
    shared: Vec<(PathBuf, PathBuf)>,
}

impl Overlay {
    /// Nothing is mounted yet; `stage` is a directory for its layers, `packages` what setup unpacked.
    pub(super) fn new(stage: PathBuf, packages: PathBuf) -> Self {
        Self {
            stage,
            packages,
            // Who asks for a name hears at once that nobody knows it.
            files: vec![("/etc/resolv.conf", "nameserver 127.0.0.1\n".to_owned())],
            shared: Vec::new(),
        }
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

    /// Lets the server have a directory of the machine, at `seen_at`; what it writes there stays.
    pub(super) fn share(mut self, directory: &Path, seen_at: &Path) -> Self {
        self.shared.push((directory.to_owned(), seen_at.to_owned()));
        self
    }

    /// A command that runs with all of this in place; `base` takes the words to run.
    pub(super) fn command(
        self,
        mut base: Command,
        program: &str,
        arguments: &[&str],
    ) -> Result<Command> {
        let over = self.stage.join("over");
        fs::create_dir_all(&over)?;
        for (path, content) in &self.files {
            let path = over.join(path.trim_start_matches('/'));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content).with_context(|| path.display().to_string())?;
        }
        let private = ["--mount", "--propagation", "private", "sh", "-ec", SCRIPT];
        base.args(["unshare"]).args(private).arg("sh");
        base.args([&self.stage, &self.packages]);
        base.arg(self.shared.len().to_string());
        for (directory, seen_at) in &self.shared {
            base.args([directory, seen_at]);
        }
        base.arg(program).args(arguments);
        Ok(base)
    }
}

/// Stage, packages, number of shared directories and two paths of each, and what to run. The upper layer is a file
/// system of its own: a layer must not lie in another one.
const SCRIPT: &str = "
stage=$1 packages=$2 shared=$3; shift 3
layers=$stage/layers root=$stage/root
mkdir -p \"$layers\" \"$root\"
mount -t tmpfs -o mode=0755 outgate-lab \"$layers\"
mkdir \"$layers/upper\" \"$layers/work\"
cp -a \"$packages/.\" \"$stage/over/.\" \"$layers/upper\"
mount -t overlay -o lowerdir=/,upperdir=\"$layers/upper\",workdir=\"$layers/work\" outgate-lab \"$root\"
for own in /proc /dev; do
  mount --rbind \"$own\" \"$root$own\"
done
while [ \"$shared\" -gt 0 ]; do
  mkdir -p \"$root$2\"
  mount --rbind \"$1\" \"$root$2\"
  shift 2; shared=$((shared - 1))
done
exec chroot \"$root\" \"$@\"
";

/// Of the first user; beyond what Debian gives to users and services.
pub(super) const FIRST_ID: u32 = 61_801;
