//! Mail servers that others would put where the relay's queue is: they take mail for a few domains and hand each
//! domain's to one place.
//!
//! They are set up for throughput as their own documentation advises: nothing is asked of DNS, nothing is looked up,
//! connections are kept at both ends, as many at once as there are senders, and nobody reads a log. What makes them
//! safe is as it comes: whatever they sync, they sync. [`Forwarder::command`] writes their files and returns what is to
//! be run, so that its caller may run it in a namespace, or under a tracer.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{overlay::Overlay, postfix};
use crate::process::checked;

/// One of them, before it runs.
#[derive(Clone, Debug)]
pub struct Forwarder {
    /// Its configuration and its queue; on the disk that is meant.
    pub dir: PathBuf,
    /// Where it takes mail, from anybody.
    pub listen: SocketAddr,
    /// What it takes mail for.
    pub routes: Vec<Route>,
    /// How many connections it may have at once, on either side.
    pub connections: u16,
    /// The largest message that it takes.
    pub message_octets_max: u64,
    /// `cert.pem` and `key.pem` for STARTTLS with its senders.
    pub certificate: Option<PathBuf>,
}

/// Where a domain's mail goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The domain.
    pub domain: String,
    /// Its only server.
    pub to: SocketAddr,
}

/// Which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's, installed.
    Postfix,
    /// Debian's, unpacked in that directory.
    OpenSmtpd(PathBuf),
}

impl Forwarder {
    /// Writes its files, and returns the command that runs it until it is ended; `base` takes the words to run.
    ///
    /// # Errors
    /// That it is not installed; the disk's.
    pub fn command(&self, kind: &Kind, base: Command) -> Result<Command> {
        fs::create_dir_all(&self.dir)?;
        // They give up root, and must still reach their files.
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o755))?;
        match kind {
            Kind::Postfix => self.postfix(base),
            Kind::OpenSmtpd(packages) => self.opensmtpd(packages, base),
        }
    }

    fn postfix(&self, mut base: Command) -> Result<Command> {
        let conf = self.dir.join("conf");
        for name in ["conf", "queue", "data"] {
            fs::create_dir_all(self.dir.join(name))?;
        }
        chown(
            self.dir.join("data"),
            Some(postfix::user_id("postfix")?),
            None,
        )?;
        fs::write(conf.join("main.cf"), self.main_cf()?)?;
        let listener = format!("{} inet n - n - - smtpd\n", self.listen);
        fs::write(conf.join("master.cf"), listener + MASTER_CF)?;
        // Makes the queue's directories with the owners that Postfix wants.
        checked(Command::new("postfix").arg("-c").arg(&conf).arg("check"))?;
        // -d: master stays in the process group of who started it.
        base.args([postfix::MASTER, "-c"]).arg(&conf).arg("-d");
        Ok(base)
    }

    fn main_cf(&self) -> Result<String> {
        let (dir, connections) = (self.dir.display(), self.connections);
        let mut text = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {dir}/queue\n\
             data_directory = {dir}/data\n\
             myhostname = postfix.forwarder.test\n\
             mydestination =\n\
             mynetworks = {network}\n\
             inet_interfaces = all\n\
             inet_protocols = all\n\
             smtpd_peername_lookup = no\n\
             smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination\n\
             smtpd_client_connection_count_limit = 0\n\
             smtp_dns_support_level = disabled\n\
             local_header_rewrite_clients =\n\
             alias_maps =\n\
             message_size_limit = {message}\n\
             default_process_limit = {processes}\n\
             default_destination_concurrency_limit = {connections}\n\
             initial_destination_concurrency = {connections}\n\
             default_destination_concurrency_failed_cohort_limit = 0\n\
             in_flow_delay = 0s\n\
             minimal_backoff_time = 1s\n\
             maximal_backoff_time = 1s\n\
             queue_run_delay = 1s\n\
             smtp_tls_security_level = may\n\
             smtp_tls_connection_reuse = yes\n\
             smtp_connection_cache_time_limit = 60s\n",
            network = self.listen.ip(),
            message = self.message_octets_max,
            // As many smtpd, cleanup and smtp each, and a few in between.
            processes = u32::from(connections) * 2 + 100,
        );
        let mut maps = Vec::new();
        for Route { domain, to } in &self.routes {
            maps.push(format!("{domain}=smtp:[{}]:{}", to.ip(), to.port()));
        }
        writeln!(text, "transport_maps = inline:{{ {} }}", maps.join(", "))?;
        let kept = self
            .routes
            .iter()
            .map(|route| format!("[{}]", route.to.ip()));
        let kept: Vec<String> = kept.collect();
        writeln!(
            text,
            "smtp_connection_cache_destinations = {}",
            kept.join(", ")
        )?;
        if let Some(at) = &self.certificate {
            let at = at.display();
            writeln!(
                text,
                "smtpd_tls_security_level = may\n\
                 smtpd_tls_cert_file = {at}/cert.pem\n\
                 smtpd_tls_key_file = {at}/key.pem"
            )?;
        }
        Ok(text)
    }

    fn opensmtpd(&self, packages: &Path, base: Command) -> Result<Command> {
        let spool = self.dir.join("spool");
        fs::create_dir_all(&spool)?;
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o711))?;
        let overlay = Overlay::new(self.dir.join("root"), packages.to_owned())
            .users(&["opensmtpd", "opensmtpq"])?
            .file("/etc/smtpd.conf", self.smtpd_conf()?)
            .share(&spool, Path::new("/var/spool/smtpd"));
        overlay.command(base, "/usr/sbin/smtpd", &["-d"])
    }

    /// Without STARTTLS with its senders: see [`super::exchanger`].
    fn smtpd_conf(&self) -> Result<String> {
        let connections = self.connections;
        let mut text = format!(
            "smtp max-message-size {}\n\
             smtp limit max-mails 1000000000\n\
             queue ttl 1d\n",
            self.message_octets_max
        );
        for limit in ["host", "route", "source", "connector", "relay", "domain"] {
            writeln!(text, "mta limit max-conn-per-{limit} {connections}")?;
        }
        // As it comes, it opens a connection to a place every five seconds; that between two of one route is fixed, so
        // no connection may be closed for having carried a hundred messages.
        for limit in ["host", "source", "connector", "relay", "domain"] {
            writeln!(text, "mta limit conn-delay-{limit} 0")?;
        }
        writeln!(
            text,
            "mta limit reconn-delay-route 0\nmta limit session-keepalive 60\nmta limit session-mail-max 1000000000"
        )?;
        writeln!(
            text,
            "listen on {} port {} hostname opensmtpd.forwarder.test",
            self.listen.ip(),
            self.listen.port()
        )?;
        for (number, Route { domain, to }) in self.routes.iter().enumerate() {
            let host = match to.ip() {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("[{v6}]"),
            };
            writeln!(
                text,
                "action \"to{number}\" relay host \"smtp://{host}:{}\"\n\
                 match from any for domain \"{domain}\" action \"to{number}\"",
                to.port()
            )?;
        }
        Ok(text)
    }
}

/// The listener is not among them; nothing runs in a chroot.
const MASTER_CF: &str = "\
pickup    unix  n  -  n  60    1  pickup
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
tlsproxy  unix  -  -  n  -     0  tlsproxy
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
smtp      unix  -  -  n  -     -  smtp
showq     unix  n  -  n  -     -  showq
anvil     unix  -  -  n  -     1  anvil
scache    unix  -  -  n  -     1  scache
";
