//! A validating resolver on a host's loopback, and the signed zone that it believes.
//!
//! unbound has the zone `example.net` from a file and validates it from its key, as it would one that it asked the
//! internet for. In the usual one, `v4.example.net` and `v6.example.net` have an exchanger of one address each, with a
//! TLSA record for its certificate (RFC 7672).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    host::{Family, Host},
    lab::Lab,
    process::{Process, checked},
};

/// A resolver that runs.
#[derive(Debug)]
pub struct Resolver {
    conf: PathBuf,
    _process: Process,
}

impl Resolver {
    /// Starts it on `host`; the zone's exchanger is `mx`, whose Postfix has been started.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub fn start(lab: &Lab, host: Host, mx: Host) -> Result<Self> {
        let certificate = lab.dir().join(mx.name()).join("conf/cert.pem");
        Self::serve(lab, host, &zone(mx, &tlsa(&certificate)?))
    }

    /// Starts it on `host` with these records in the zone, as they stand in a zone file.
    ///
    /// # Errors
    /// That unbound or ldnsutils are not installed, or that it does not validate its zone.
    pub fn serve(lab: &Lab, host: Host, records: &str) -> Result<Self> {
        let dir = lab.dir().join("resolver");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("zone"), [APEX, records].concat())?;
        let key = sign(&dir)?;
        let config = dir.join("unbound.conf");
        fs::write(&config, unbound_conf(&dir, &key))?;
        let namespace = lab.namespace(host);
        let mut unbound = namespace.command("unbound");
        unbound.args(["-d", "-p", "-c"]).arg(&config);
        let mut process = Process::spawn("unbound", &mut unbound, &dir.join("log"))?;
        process.wait_until("a validated answer", Duration::from_secs(10), || {
            let mut drill = namespace.command("drill");
            drill.args(["-D", "@127.0.0.1", "example.net", "SOA"]);
            let answer = checked(&mut drill);
            Ok(answer
                .is_ok_and(|answer| is_authentic(&String::from_utf8_lossy(&answer.stdout)))
                .then_some(()))
        })?;
        // What was written as resolv.conf says, and glibc otherwise would not: believe its AD bit.
        let conf = dir.join("resolv.conf");
        fs::write(&conf, "nameserver 127.0.0.1\noptions edns0 trust-ad\n")?;
        Ok(Self {
            conf,
            _process: process,
        })
    }

    /// Makes a command one that asks this resolver: a shell that takes the words to run.
    pub(super) fn asked_by(&self, lab: &Lab, host: Host) -> Command {
        let mut command = lab.namespace(host).command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg("mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"")
            .arg("sh")
            .arg(&self.conf);
        command
    }
}

/// Whether the flags of an answer have AD.
fn is_authentic(answer: &str) -> bool {
    let flags = answer.lines().find(|line| line.contains("flags:"));
    flags.is_some_and(|flags| flags.contains(" ad ")) && answer.contains("\tSOA\t")
}

/// The TLSA record's data for a server that shows this certificate: DANE-EE, the whole of it, SHA-256.
///
/// # Errors
/// As `openssl` says.
pub fn tlsa(certificate: &Path) -> Result<String> {
    let output = checked(
        Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(certificate),
    )?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, digits) = text.trim().split_once('=').context("no fingerprint")?;
    Ok(format!("3 0 1 {}", digits.replace(':', "")))
}

fn zone(mx: Host, tlsa: &str) -> String {
    let [v4, v6] = Family::ALL.map(|family| mx.address(family));
    format!(
        "v4 MX 10 mx-v4
v6 MX 10 mx-v6
mx-v4 A {v4}
mx-v6 AAAA {v6}
_25._tcp.mx-v4 TLSA {tlsa}
_25._tcp.mx-v6 TLSA {tlsa}
"
    )
}

/// Makes `zone.signed`, and returns the file with its key.
fn sign(dir: &Path) -> Result<PathBuf> {
    let keygen = checked(Command::new("ldns-keygen").current_dir(dir).args([
        "-a",
        "ECDSAP256SHA256",
        "-k",
        "example.net",
    ]))?;
    let base = String::from_utf8_lossy(&keygen.stdout).trim().to_owned();
    checked(
        Command::new("ldns-signzone")
            .current_dir(dir)
            .args(["-n", "zone", &base]),
    )?;
    Ok(dir.join(format!("{base}.key")))
}

/// What every zone begins with.
const APEX: &str = "$ORIGIN example.net.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A 192.0.2.1
";

fn unbound_conf(dir: &Path, key: &Path) -> String {
    let (dir, key) = (dir.display(), key.display());
    format!(
        "server:
  interface: 127.0.0.1
  username: \"\"
  chroot: \"\"
  directory: \"{dir}\"
  use-syslog: no
  module-config: \"validator iterator\"
  val-log-level: 2
  trust-anchor-file: \"{key}\"
remote-control:
  control-enable: no
auth-zone:
  name: \"example.net\"
  zonefile: \"{dir}/zone.signed\"
  for-downstream: no
  for-upstream: yes
"
    )
}
