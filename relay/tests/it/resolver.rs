//! unbound on loopback and on the relay's address, with a signed root of the test's own: it validates as it would on the internet.
//!
//! Below the root all names are signed, but for `plain.example`, which is delegated without a signature. A digest of
//! [`FORGED`] in the root is changed after it was signed, so that its records are bogus.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::host::{Running, wait_until};

/// A running resolver; its zones end with the test.
pub(crate) struct Resolver {
    directory: TempDir,
    process: Option<Running>,
}

/// A digest of TLSA records that are forged.
pub(crate) const FORGED: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";

impl Resolver {
    /// With these records, in full names, in the signed root and in the unsigned `plain.example`.
    pub(crate) fn start(signed: &str, plain: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let head = "SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 300\n";
        // Names without records of their own would make unbound choose the wrong proof of what is not there.
        let root = format!(
            "$TTL 300\nnet. TXT x\nexample.net. TXT x\nexample. TXT x\n. {head}. NS ns.example.net.\nns.example.net. A 198.51.100.2\n\
             plain.example. NS ns.example.net.\n{signed}"
        );
        fs::write(path.join("root"), root).unwrap();
        let plain =
            format!("$TTL 300\nplain.example. {head}plain.example. NS ns.example.net.\n{plain}");
        fs::write(path.join("plain"), plain).unwrap();
        let key = sign(path);
        let signed = fs::read_to_string(path.join("root.signed")).unwrap();
        let forged = signed.replace(FORGED, &FORGED.replace('0', "1"));
        fs::write(path.join("root.signed"), forged).unwrap();
        fs::write(path.join("unbound.conf"), config(path, &key)).unwrap();
        let mut this = Self {
            directory,
            process: None,
        };
        this.resume();
        this
    }

    /// Where it listens on loopback.
    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], 53).into()
    }

    /// Ends it.
    pub(crate) fn pause(&mut self) {
        self.process = None;
    }

    /// Starts it again.
    pub(crate) fn resume(&mut self) {
        let path = self.directory.path();
        let log = fs::File::create(path.join("log")).unwrap();
        let mut unbound = Command::new("unbound");
        unbound
            .args(["-d", "-p", "-c"])
            .arg(path.join("unbound.conf"));
        self.process = Some(Running::start(unbound.stderr(Stdio::from(log))));
        wait_until("a validated answer", || {
            let drill = Command::new("drill")
                .args(["-D", "@127.0.0.1", ".", "SOA"])
                .output();
            let answer = String::from_utf8(drill.unwrap().stdout).unwrap();
            let flags = answer.lines().find(|line| line.contains("flags:"));
            flags.is_some_and(|flags| flags.contains(" ad ")) && answer.contains("SOA\t")
        });
    }
}

/// Makes `root.signed`, and returns the file with its key.
fn sign(path: &Path) -> PathBuf {
    let run = |command: &mut Command| {
        let output = command.current_dir(path).output();
        let output = output.expect("ldnsutils are not installed");
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let base = run(Command::new("ldns-keygen").args(["-a", "ECDSAP256SHA256", "-k", "."]));
    run(Command::new("ldns-signzone").args(["root", &base]));
    path.join(format!("{base}.key"))
}

fn config(path: &Path, key: &Path) -> String {
    let (path, key) = (path.display(), key.display());
    format!(
        "server:
  interface: 127.0.0.1
  interface: 198.51.100.2
  access-control: 198.51.100.2/32 allow
  username: \"\"
  chroot: \"\"
  pidfile: \"\"
  directory: \"{path}\"
  use-syslog: no
  module-config: \"validator iterator\"
  val-log-level: 2
  trust-anchor-file: \"{key}\"
remote-control:
  control-enable: no
auth-zone:
  name: \".\"
  zonefile: \"{path}/root.signed\"
  for-downstream: no
  for-upstream: yes
auth-zone:
  name: \"plain.example\"
  zonefile: \"{path}/plain\"
  for-downstream: no
  for-upstream: yes
"
    )
}
