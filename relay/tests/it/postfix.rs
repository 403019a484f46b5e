//! A private Postfix with STARTTLS as destination; it delivers into a Maildir of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{free_address, wait_for_greeting};

mod instance;

pub(crate) use instance::Instance;

/// A running Postfix; stops with the test.
pub(crate) struct Postfix {
    /// Offers STARTTLS with TLS 1.2 and 1.3.
    pub(crate) address: SocketAddr,
    /// Offers STARTTLS, but only with TLS 1.0, which no handshake of ours can end in.
    pub(crate) antique: SocketAddr,
    instance: Instance,
}

impl Postfix {
    pub(crate) fn start() -> Self {
        Self::at(free_address(), None)
    }

    /// Takes mail at these addresses of the caller's network namespace.
    pub(crate) fn at(address: SocketAddr, address6: Option<SocketAddr>) -> Self {
        let instance = Instance::new();
        instance.make_directory("mail", NOBODY);
        make_certificate(instance.root(), "mx.example");
        let antique = free_address();
        let services = services(address, address6, antique);
        instance.start(&main_cf(instance.root()), &services);
        wait_for_greeting(address);
        wait_for_greeting(antique);
        Self {
            address,
            antique,
            instance,
        }
    }

    /// What was delivered: Postfix's own fields on top, LF line ends.
    pub(crate) fn delivered(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.instance.path("mail/box/new")) else {
            return Vec::new();
        };
        files
            .map(|file| String::from_utf8(fs::read(file.unwrap().path()).unwrap()).unwrap())
            .collect()
    }

    /// Its certificate, which is its own issuer's.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.instance.path("certificate.pem")
    }
}

/// Takes mail for mx.example, with STARTTLS by the certificate in `root`.
pub(crate) fn main_cf(root: &Path) -> String {
    let root = root.display();
    format!(
        "inet_protocols = all
myhostname = mx.example
virtual_mailbox_domains = mx.example
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {root}/certificate.pem
smtpd_tls_key_file = {root}/key.pem
smtpd_tls_received_header = yes
"
    )
}

fn services(address: SocketAddr, address6: Option<SocketAddr>, antique: SocketAddr) -> String {
    let more = address6.map_or_else(String::new, |address| {
        format!("{address} inet n - n - - smtpd\n")
    });
    format!(
        "{more}{address} inet n - n - - smtpd
{antique} inet n - n - - smtpd
  -o smtpd_tls_protocols=TLSv1
  -o smtpd_tls_mandatory_protocols=TLSv1
virtual unix - n n - - virtual
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

pub(crate) const NOBODY: u32 = 65534;
