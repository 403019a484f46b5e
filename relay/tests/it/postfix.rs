//! A private Postfix with STARTTLS as destination; it delivers into a Maildir of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::host::{free_address, require_root, wait_for_greeting};

/// A running Postfix; stops with the test.
pub(crate) struct Postfix {
    /// Offers STARTTLS with TLS 1.2 and 1.3.
    pub(crate) address: SocketAddr,
    /// Offers STARTTLS, but only with TLS 1.0, which no handshake of ours can end in.
    pub(crate) antique: SocketAddr,
    directory: TempDir,
}

impl Postfix {
    pub(crate) fn start() -> Self {
        Self::at(free_address(), None)
    }

    /// Takes mail at these addresses of the caller's network namespace.
    pub(crate) fn at(address: SocketAddr, address6: Option<SocketAddr>) -> Self {
        require_root();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        // Its processes run as another user and have to get in.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, owner) in [
            ("config", 0),
            ("queue", 0),
            ("data", user("postfix")),
            ("mail", NOBODY),
        ] {
            fs::create_dir(root.join(name)).unwrap();
            chown(root.join(name), Some(owner), None).unwrap();
        }
        make_certificate(root, "mx.example");
        let antique = free_address();
        fs::write(root.join("config/main.cf"), main_cf(root)).unwrap();
        fs::write(
            root.join("config/master.cf"),
            master_cf(address, address6, antique),
        )
        .unwrap();
        let this = Self {
            address,
            antique,
            directory,
        };
        this.command("start");
        wait_for_greeting(address);
        wait_for_greeting(antique);
        this
    }

    /// What was delivered: Postfix's own fields on top, LF line ends.
    pub(crate) fn delivered(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.directory.path().join("mail/box/new")) else {
            return Vec::new();
        };
        files
            .map(|file| String::from_utf8(fs::read(file.unwrap().path()).unwrap()).unwrap())
            .collect()
    }

    /// Its certificate, which is its own issuer's.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    fn command(&self, verb: &str) {
        let output = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.directory.path().join("config"))
            .arg(verb)
            .output()
            .expect("postfix is not installed");
        assert!(output.status.success(), "postfix {verb}: {output:?}");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("stop");
    }
}

fn main_cf(root: &Path) -> String {
    let root = root.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = all
myhostname = mx.example
mydestination =
alias_maps =
virtual_mailbox_domains = mx.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {root}/certificate.pem
smtpd_tls_key_file = {root}/key.pem
smtpd_tls_received_header = yes
maillog_file_prefixes = {root}
maillog_file = {root}/data/postfix.log
"
    )
}

fn master_cf(address: SocketAddr, address6: Option<SocketAddr>, antique: SocketAddr) -> String {
    let more = address6.map_or_else(String::new, |address| {
        format!("{address} inet n - n - - smtpd\n")
    });
    format!(
        "{more}{address} inet n - n - - smtpd
{antique} inet n - n - - smtpd
  -o smtpd_tls_protocols=TLSv1
  -o smtpd_tls_mandatory_protocols=TLSv1
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"
    )
}

/// `certificate.pem` and `key.pem` in `directory`, self-signed for `name`.
pub(crate) fn make_certificate(directory: &Path, name: &str) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .arg("-keyout")
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("certificate.pem"))
        .output()
        .expect("openssl is not installed");
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn user(name: &str) -> u32 {
    let output = Command::new("id").args(["-u", name]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .expect("no such user")
}

const NOBODY: u32 = 65534;
