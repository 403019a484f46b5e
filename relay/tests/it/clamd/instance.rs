//! A clamd of the test's own, which knows one signature.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::host::{Running, free_address, wait_until};

/// A running clamd, at a Unix socket and at one port of both loopback addresses.
pub(crate) struct Clamd {
    directory: TempDir,
    port: u16,
    process: Running,
}

/// What it calls [`sample`]'s `clam.exe`.
pub(crate) const SIGNATURE: &str = "Outgate-Test-File.UNOFFICIAL";
/// Messages are at most so long for it.
pub(crate) const STREAM_OCTETS_MAX: usize = 4 << 20;
/// And files in them.
pub(crate) const FILE_OCTETS_MAX: usize = 2 << 20;

impl Clamd {
    /// It needs no freshclam, no user and no service of Debian's: `cargo xtask setup` only unpacks it.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let database = path.join("database");
        fs::create_dir(&database).unwrap();
        let line = format!("{}:Outgate-Test-File\n", digest_and_length("clam.exe"));
        fs::write(database.join("test.hdb"), line).unwrap();
        let port = free_address().port();
        let shown = path.display();
        let config = format!(
            "Foreground yes\nLogFile {shown}/log\nDatabaseDirectory {shown}/database\nTemporaryDirectory {shown}\n\
             LocalSocket {shown}/clamd.ctl\nTCPSocket {port}\nTCPAddr 127.0.0.1\nTCPAddr ::1\n\
             StreamMaxLength {STREAM_OCTETS_MAX}\nMaxFileSize {FILE_OCTETS_MAX}\n\
             AlertEncrypted yes\nAlertExceedsMax yes\n"
        );
        fs::write(path.join("clamd.conf"), config).unwrap();
        let process = Running::start(
            Command::new(package().join("usr/sbin/clamd"))
                .arg(format!("--config-file={shown}/clamd.conf"))
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let this = Self {
            directory,
            port,
            process,
        };
        wait_until("clamd", || UnixStream::connect(this.socket()).is_ok());
        this
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("clamd.ctl")
    }

    /// Every way to it, as lines of a `[[scanner]]`.
    pub(crate) fn ways(&self) -> [String; 3] {
        let port = self.port;
        [
            format!("socket = \"{}\"", self.socket().display()),
            format!("address = \"127.0.0.1:{port}\""),
            format!("address = \"[::1]:{port}\""),
        ]
    }

    /// A `[[scanner]]` that asks it by its Unix socket.
    pub(crate) fn scanner(&self) -> String {
        scanner(&self.ways()[0])
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }
}

/// A `[[scanner]]` that asks the clamd at `way`.
pub(crate) fn scanner(way: &str) -> String {
    format!("[[scanner]]\nkind = \"clamd\"\n{way}\n")
}

/// A file of ClamAV's own, each of which has `clam.exe` somewhere in it.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let path = package().join("usr/share/clamav-testfiles").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// As a line of a .hdb begins.
fn digest_and_length(name: &str) -> String {
    let path = package().join("usr/share/clamav-testfiles").join(name);
    let output = Command::new("md5sum").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let digest = text.split(' ').next().unwrap();
    format!("{digest}:{}", sample(name).len())
}

fn package() -> PathBuf {
    unpacked("clamav")
}

/// A server that `cargo xtask setup` has unpacked.
#[track_caller]
pub(crate) fn unpacked(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // Tests run in target/PROFILE/deps.
    let target = this.ancestors().nth(3).expect("a directory of cargo's");
    let package = target.join("peers").join(name);
    assert!(
        package.is_dir(),
        "{} does not exist: `cargo xtask setup` makes it",
        package.display()
    );
    package
}
