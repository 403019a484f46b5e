//! A private Postfix: the mail exchanger of a domain, with STARTTLS and a mailbox to read; or a customer's
//! mail server, which sends.
//!
//! It runs Debian's binaries under Debian's users with its own configuration, queue and data
//! directories; the machine's own Postfix, if it has one, is not touched.

use std::{fs, net::SocketAddr, os::unix::fs::chown, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    certificate, greets,
    maildir::{Maildir, OWNER},
    resolver::Resolver,
};
use crate::{
    dialogue::{Dialogue, any_port, smtp},
    host::{Family, Host},
    lab::Lab,
    message::Stored,
    process::{Process, checked},
};

/// A mail exchanger that runs.
#[derive(Debug)]
pub struct Postfix {
    host: Host,
    maildir: Maildir,
    process: Process,
}

impl Postfix {
    /// Starts it on port 25 of a host, IPv4 and IPv6; it takes mail for `example.net`.
    ///
    /// # Errors
    /// That Postfix is not installed, or does not greet in time, with its log.
    pub fn start(lab: &Lab, host: Host) -> Result<Self> {
        Self::start_with(lab, host, "", "")
    }

    /// Starts it for other domains, with more lines in its `main.cf`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_for(lab: &Lab, host: Host, domains: &[&str], main_more: &str) -> Result<Self> {
        let domains = format!("virtual_mailbox_domains = {}\n", domains.join(" "));
        Self::start_with(lab, host, &[&domains, main_more].concat(), "")
    }

    /// Starts a customer's mail server: besides, it sends mail for `v4.example.net` and
    /// `v6.example.net`, that its own host hands it, to port 25 of `to` over IPv4 and IPv6.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_sender(lab: &Lab, host: Host, to: Host) -> Result<Self> {
        let [v4, v6] = Family::ALL.map(|family| to.address(family));
        let main_cf = format!(
            "mynetworks = 127.0.0.0/8 {}/32\n\
             smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination\n\
             smtp_dns_support_level = disabled\n\
             virtual_mailbox_domains =\n\
             transport_maps = inline:{{ v4.example.net=smtp:[{v4}], v6.example.net=smtp:[{v6}] }}\n",
            host.address(Family::V4)
        );
        Self::start_with(lab, host, &main_cf, "smtp unix - - n - - smtp\n")
    }

    /// Starts a customer's mail server that verifies its destinations by DANE, as several mail-in-a-box packages do
    /// by default, and tries again after seconds instead of minutes.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_verifier(lab: &Lab, host: Host, resolver: &Resolver) -> Result<Self> {
        let main_cf = format!(
            "mynetworks = 127.0.0.0/8 {}/32\n\
             smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination\n\
             virtual_mailbox_domains =\n\
             smtp_dns_support_level = dnssec\n\
             smtp_tls_security_level = dane\n\
             smtp_tls_loglevel = 1\n\
             minimal_backoff_time = 3s\n\
             maximal_backoff_time = 3s\n\
             queue_run_delay = 3s\n",
            host.address(Family::V4)
        );
        let master = resolver.asked_by(lab, host);
        Self::start_by(lab, host, master, &main_cf, "smtp unix - - n - - smtp\n")
    }

    /// Hands it a message from its own host.
    ///
    /// # Errors
    /// That it does not take it.
    pub fn hand(&self, lab: &Lab, recipient: &str, content: &[u8]) -> Result<()> {
        let own = self.host.address(Family::V4);
        let namespace = lab.namespace(self.host);
        let patience = Duration::from_secs(5);
        let mut dialogue = Dialogue::open(&namespace, any_port(own), smtp(own), patience)?;
        dialogue.reply()?;
        dialogue.expect(250, &format!("EHLO {}.example.org", self.host.name()))?;
        dialogue.expect(250, "MAIL FROM:<sender@example.org>")?;
        dialogue.expect(250, &format!("RCPT TO:<{recipient}>"))?;
        dialogue.expect(354, "DATA")?;
        dialogue.send_data(content)?;
        dialogue.expect(250, ".")?;
        Ok(())
    }

    /// Starts a third party's filter: a stock submission listener besides, on port 587, that takes mail from the
    /// lab's customers for anybody, and hands what is for `example.net` to port 25 of `to`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_filter(lab: &Lab, host: Host, to: Host) -> Result<Self> {
        let main_cf = format!(
            "mynetworks = 127.0.0.0/8 192.0.2.0/24 [2001:db8:a::]/48\n\
             smtpd_relay_restrictions = permit_mynetworks reject_unauth_destination\n\
             smtp_dns_support_level = disabled\n\
             smtp_tls_security_level = may\n\
             virtual_mailbox_domains =\n\
             transport_maps = inline:{{ example.net=smtp:[{}] }}\n",
            to.address(Family::V4)
        );
        let master_cf = "submission inet n - n - - smtpd\nsmtp unix - - n - - smtp\n";
        Self::start_with(lab, host, &main_cf, master_cf)
    }

    fn start_with(lab: &Lab, host: Host, main_more: &str, master_more: &str) -> Result<Self> {
        let master = lab.namespace(host).command("env");
        Self::start_by(lab, host, master, main_more, master_more)
    }

    /// As [`Self::start_with`]; `command` takes the words to run.
    fn start_by(
        lab: &Lab,
        host: Host,
        mut command: Command,
        main_more: &str,
        master_more: &str,
    ) -> Result<Self> {
        let dir = lab.dir().join(host.name());
        let postfix = user_id("postfix")?;
        for (name, owner) in [("conf", None), ("queue", None), ("data", Some(postfix))] {
            let path = dir.join(name);
            fs::create_dir_all(&path)?;
            if let Some(owner) = owner {
                chown(&path, Some(owner), None)?;
            }
        }
        let conf = dir.join("conf");
        certificate(&conf, host)?;
        fs::write(conf.join("main.cf"), main_cf(&dir, host) + main_more)?;
        fs::write(conf.join("master.cf"), [MASTER_CF, master_more].concat())?;
        // Makes the queue's directories with the owners that Postfix wants.
        checked(Command::new("postfix").arg("-c").arg(&conf).arg("check"))?;

        // -d: master stays in the process group that its guard ends.
        command.args([MASTER, "-c"]).arg(&conf).arg("-d");
        let log = dir.join("mail.log");
        let maildir = Maildir::below(dir.join("mail"), host, log.clone())?;
        let mut process = Process::spawn("postfix", &mut command, &log)?;
        // It makes and syncs files of its own first, which a disk that others use may take long for.
        process.wait_until("Postfix to greet", Duration::from_secs(45), || {
            Ok(greets(lab, host))
        })?;
        Ok(Self {
            host,
            maildir,
            process,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self, family: Family) -> SocketAddr {
        smtp(self.host.address(family))
    }

    /// Waits for the message that holds `token`.
    ///
    /// # Errors
    /// The deadline, with the server's log.
    pub fn delivered(&self, token: &str) -> Result<Stored> {
        self.maildir.delivered(token)
    }

    /// The message that holds `token`, if it was delivered.
    ///
    /// # Errors
    /// The mailbox's.
    pub fn find(&self, token: &str) -> Result<Option<Stored>> {
        self.maildir.find(token)
    }

    /// Every message delivered so far.
    ///
    /// # Errors
    /// The mailbox's.
    pub fn mailbox(&self) -> Result<Vec<Stored>> {
        self.maildir.all()
    }

    /// What it took.
    #[must_use]
    pub fn maildir(&self) -> &Maildir {
        &self.maildir
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.maildir.log()
    }

    /// Lets it outlive this guard.
    pub fn keep(&mut self) {
        self.process.keep();
    }
}

fn main_cf(dir: &Path, host: Host) -> String {
    let (dir, name) = (dir.display(), host.name());
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {dir}/queue\n\
         data_directory = {dir}/data\n\
         maillog_file = {dir}/mail.log\n\
         maillog_file_prefixes = {dir}\n\
         myhostname = {name}.example.net\n\
         mydestination =\n\
         mynetworks =\n\
         inet_interfaces = all\n\
         inet_protocols = all\n\
         smtpd_peername_lookup = no\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_tls_security_level = may\n\
         smtpd_tls_cert_file = {dir}/conf/cert.pem\n\
         smtpd_tls_key_file = {dir}/conf/key.pem\n\
         smtpd_tls_loglevel = 1\n\
         smtpd_tls_received_header = yes\n\
         local_header_rewrite_clients =\n\
         virtual_mailbox_domains = example.net v4.example.net v6.example.net\n\
         virtual_mailbox_base = {dir}/mail\n\
         virtual_mailbox_maps = static:inbox/\n\
         virtual_uid_maps = static:{OWNER}\n\
         virtual_gid_maps = static:{OWNER}\n\
         virtual_minimum_uid = 1\n\
         message_size_limit = 104857600\n\
         virtual_mailbox_limit = 0\n\
         alias_maps =\n\
         biff = no\n"
    )
}

/// A user's number, as `id` knows it.
pub(super) fn user_id(name: &str) -> Result<u32> {
    let output = checked(Command::new("id").args(["-u", name])).context("is Postfix installed?")?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("id -u")
}

pub(super) const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// What an exchanger needs: nothing that sends mail on, nothing in a chroot.
const MASTER_CF: &str = "\
smtp      inet  n  -  n  -     -  smtpd
cleanup   unix  n  -  n  -     0  cleanup
qmgr      unix  n  -  n  300   1  qmgr
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
rewrite   unix  -  -  n  -     -  trivial-rewrite
bounce    unix  -  -  n  -     0  bounce
defer     unix  -  -  n  -     0  bounce
trace     unix  -  -  n  -     0  bounce
flush     unix  n  -  n  1000? 0  flush
proxymap  unix  -  -  n  -     -  proxymap
error     unix  -  -  n  -     -  error
retry     unix  -  -  n  -     -  error
virtual   unix  -  n  n  -     -  virtual
anvil     unix  -  -  n  -     1  anvil
postlog   unix-dgram n - n -   1  postlogd
";
