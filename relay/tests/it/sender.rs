//! A private Postfix as the customer's mail server: one that delivers only to a destination whose certificate it has
//! verified, or one with a smarthost.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::host::{free_address, wait_for_greeting};
use crate::postfix::Instance;

/// A running Postfix; stops with the test.
pub(crate) struct Sender {
    /// Takes mail from this host.
    pub(crate) address: SocketAddr,
    instance: Instance,
}

impl Sender {
    /// All mail goes to `next_hop`, under TLS by this level of Postfix's, with a certificate for `name` that is the one
    /// in `trusted`.
    pub(crate) fn start(next_hop: SocketAddr, level: &str, name: &str, trusted: &Path) -> Self {
        let instance = Instance::new();
        fs::copy(trusted, instance.path("trusted.pem")).unwrap();
        let address = free_address();
        let main_cf = main_cf(instance.root(), next_hop, level, name);
        instance.start(&main_cf, &services(address));
        wait_for_greeting(address);
        Self { address, instance }
    }

    /// All mail goes to `smarthost`, from this address of the caller's network namespace, under TLS if that is offered.
    pub(crate) fn with_smarthost(smarthost: SocketAddr, from: IpAddr) -> Self {
        let instance = Instance::new();
        let address = free_address();
        let bound = if from.is_ipv4() {
            "smtp_bind_address"
        } else {
            "smtp_bind_address6"
        };
        let main_cf = format!(
            "{}{bound} = {from}\nsmtp_tls_security_level = may\nsmtp_tls_loglevel = 1\n",
            common(smarthost)
        );
        instance.start(&main_cf, &services(address));
        wait_for_greeting(address);
        Self { address, instance }
    }

    /// All mail goes to `smarthost`, from this address of the caller's network namespace, under TLS of which it verifies
    /// the name against `trusted`, and after it has logged in by PLAIN.
    pub(crate) fn that_logs_in(
        smarthost: SocketAddr,
        from: IpAddr,
        (user, password): (&str, &str),
        trusted: &Path,
    ) -> Self {
        let instance = Instance::new();
        let address = free_address();
        let (ip, port) = (smarthost.ip(), smarthost.port());
        let passwords = instance.path("passwords");
        fs::write(&passwords, format!("[{ip}]:{port} {user}:{password}\n")).unwrap();
        fs::copy(trusted, instance.path("trusted.pem")).unwrap();
        let bound = if from.is_ipv4() {
            "smtp_bind_address"
        } else {
            "smtp_bind_address6"
        };
        let main_cf = format!(
            "{}{bound} = {from}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:{}
smtp_sasl_mechanism_filter = plain
smtp_sasl_security_options = noanonymous
",
            main_cf(instance.root(), smarthost, "verify", "relay-1.example.net"),
            passwords.display()
        );
        instance.start(&main_cf, &services(address));
        wait_for_greeting(address);
        Self { address, instance }
    }

    /// Tries again what was deferred, at once.
    pub(crate) fn flush(&self) {
        self.instance.command("flush");
    }

    pub(crate) fn log(&self) -> String {
        self.instance.log()
    }
}

fn main_cf(root: &Path, next_hop: SocketAddr, level: &str, name: &str) -> String {
    let (root, common) = (root.display(), common(next_hop));
    format!(
        "{common}smtp_tls_security_level = {level}
smtp_tls_secure_cert_match = {name}
smtp_tls_verify_cert_match = {name}
smtp_tls_CAfile = {root}/trusted.pem
smtp_tls_loglevel = 1
"
    )
}

fn common(next_hop: SocketAddr) -> String {
    let (ip, port) = (next_hop.ip(), next_hop.port());
    format!(
        "inet_protocols = all
myhostname = mail.customer.example
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks reject
relayhost = [{ip}]:{port}
"
    )
}

fn services(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
flush unix n - n 1000? 0 flush
smtp unix - - n - - smtp
"
    )
}
