//! A private Postfix as the customer's mail server, which delivers only to a destination whose certificate it has
//! verified.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::host::{free_address, require_root, wait_for_greeting};
use crate::postfix::user;

/// A running Postfix; stops with the test.
pub(crate) struct Sender {
    /// Takes mail from this host.
    pub(crate) address: SocketAddr,
    directory: TempDir,
}

impl Sender {
    /// All mail goes to `next_hop`, under TLS by this level of Postfix's, with a certificate for `name` that is the one
    /// in `trusted`.
    pub(crate) fn start(next_hop: SocketAddr, level: &str, name: &str, trusted: &Path) -> Self {
        require_root();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        // Its processes run as another user and have to get in.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for (entry, owner) in [("config", 0), ("queue", 0), ("data", user("postfix"))] {
            fs::create_dir(root.join(entry)).unwrap();
            chown(root.join(entry), Some(owner), None).unwrap();
        }
        fs::copy(trusted, root.join("trusted.pem")).unwrap();
        let address = free_address();
        let main_cf = main_cf(root, next_hop, level, name);
        fs::write(root.join("config/main.cf"), main_cf).unwrap();
        fs::write(root.join("config/master.cf"), master_cf(address)).unwrap();
        let this = Self { address, directory };
        this.command("start");
        wait_for_greeting(address);
        this
    }

    /// Tries again what was deferred, at once.
    pub(crate) fn flush(&self) {
        self.command("flush");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("data/postfix.log")).unwrap_or_default()
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

impl Drop for Sender {
    fn drop(&mut self) {
        self.command("stop");
    }
}

fn main_cf(root: &Path, next_hop: SocketAddr, level: &str, name: &str) -> String {
    let root = root.display();
    let (ip, port) = (next_hop.ip(), next_hop.port());
    format!(
        "compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.customer.example
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks reject
relayhost = [{ip}]:{port}
smtp_tls_security_level = {level}
smtp_tls_secure_cert_match = {name}
smtp_tls_verify_cert_match = {name}
smtp_tls_CAfile = {root}/trusted.pem
smtp_tls_loglevel = 1
maillog_file_prefixes = {root}
maillog_file = {root}/data/postfix.log
"
    )
}

fn master_cf(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
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
flush unix n - n 1000? 0 flush
smtp unix - - n - - smtp
postlog unix-dgram n - n - 1 postlogd
"
    )
}
