//! A real mail server in the controller's namespace: Debian's Postfix, with a configuration and directories of its own.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{command::said, lab::Lab};

/// Takes mail for `customer.example` into one directory, with STARTTLS on [`ADDRESS`].
pub(crate) struct Postfix {
    directory: tempfile::TempDir,
    master: Option<Child>,
}

impl Postfix {
    /// One that does not run yet.
    pub(crate) fn new() -> Self {
        Self::at(&["smtp"], "")
    }

    /// The same, listening there, with more lines in its `main.cf`, which win over those before.
    pub(crate) fn at(listeners: &[&str], more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The one that delivers is nobody.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let postfix = Self {
            directory,
            master: None,
        };
        let id = said(Command::new("id").args(["-u", "postfix"]));
        assert_eq!(id.code, 0, "is Postfix installed? {id:?}");
        let user: u32 = id.out.trim().parse().unwrap();
        for (name, owner) in [("conf", 0), ("queue", 0), ("data", user), ("mail", NOBODY)] {
            fs::create_dir(postfix.file(name)).unwrap();
            chown(postfix.file(name), Some(owner), None).unwrap();
        }
        postfix.certify();
        let main = MAIN_CF.replace("DIRECTORY", &postfix.directory.path().display().to_string());
        fs::write(postfix.file("conf/main.cf"), main + more).unwrap();
        let listeners = listeners.iter();
        let master: String = listeners
            .map(|it| format!("{it} inet n - n - - smtpd\n"))
            .collect();
        fs::write(postfix.file("conf/master.cf"), master + MASTER_CF).unwrap();
        let check = said(
            Command::new("postfix")
                .arg("-c")
                .arg(postfix.file("conf"))
                .arg("check"),
        );
        assert_eq!(check.code, 0, "{check:?}");
        postfix
    }

    /// An authority, and a certificate of it for the server.
    fn certify(&self) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::new([ADDRESS, "::1"].map(String::from)).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "of a test");
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &authority).unwrap();
        fs::write(self.authority(), authority.pem()).unwrap();
        fs::write(self.file("conf/cert.pem"), leaf.pem()).unwrap();
        fs::write(self.file("conf/key.pem"), key.serialize_pem()).unwrap();
    }

    /// From the next start on it takes mail from nobody but this user, and a password over TLS alone; with TLS from the first
    /// octet on port 465.
    pub(crate) fn demand_login(&self, user: &str, password: &str) {
        let mut saslpasswd = Command::new("saslpasswd2")
            .args(["-p", "-c", "-u", "mail.example.net", "-f"])
            .arg(self.file("conf/sasldb2"))
            .arg(user)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sasl2-bin is installed");
        let mut stdin = saslpasswd.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        assert!(saslpasswd.wait().unwrap().success());
        // The server reads it as the user that it runs as.
        fs::set_permissions(self.file("conf/sasldb2"), fs::Permissions::from_mode(0o644)).unwrap();
        let directory = self.directory.path().display().to_string();
        let sasl = SMTPD_CONF.replace("DIRECTORY", &directory);
        // Where Debian's Postfix looks, whatever cyrus_sasl_config_path says.
        fs::create_dir(self.file("conf/sasl")).unwrap();
        fs::write(self.file("conf/sasl/smtpd.conf"), sasl).unwrap();
        let append = |name: &str, text: &str| {
            let before = fs::read_to_string(self.file(name)).unwrap();
            fs::write(
                self.file(name),
                before + &text.replace("DIRECTORY", &directory),
            )
            .unwrap();
        };
        append("conf/main.cf", LOGIN_CF);
        append(
            "conf/master.cf",
            "465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n",
        );
    }

    /// Starts it on the edge, and waits until it greets.
    pub(crate) fn start(&mut self, lab: &Lab) {
        self.start_by(lab, Lab::inside);
    }

    /// Starts it where the customers are, and waits until it greets.
    pub(crate) fn start_outside(&mut self, lab: &Lab) {
        self.start_by(lab, Lab::outside);
    }

    fn start_by(&mut self, lab: &Lab, there: impl Fn(&Lab, &str) -> Command) {
        let mut command = there(lab, MASTER);
        // -d: it stays in the foreground.
        command.arg("-c").arg(self.file("conf")).arg("-d");
        let log = fs::File::create(self.file("master.log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.master = Some(command.spawn().unwrap());
        let pid = self.file("queue/pid/master.pid");
        lab.until("Postfix listens", |lab| {
            let listens = said(there(lab, "ss").args(["-Hltn", "sport = :25"])).out;
            pid.exists() && listens.contains("LISTEN")
        });
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        if self.master.take().is_some_and(|mut master| {
            let stop = Command::new("postfix")
                .arg("-c")
                .arg(self.file("conf"))
                .arg("stop")
                .output();
            drop(stop);
            drop(master.kill());
            master.wait().is_err()
        }) {
            panic!("Postfix does not end");
        }
    }

    /// Where the authority's certificate is.
    pub(crate) fn authority(&self) -> PathBuf {
        self.file("conf/ca.pem")
    }

    /// Every message that it has delivered, the oldest first.
    pub(crate) fn mailbox(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.file("mail/inbox/new")) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        // Names begin with the time, to the microsecond.
        paths.sort_by_key(|path| fs::metadata(path).and_then(|it| it.modified()).unwrap());
        paths
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("mail.log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where it offers STARTTLS with a certificate that fits: the edge's own address towards the relays.
pub(crate) const ADDRESS: &str = "198.51.100.1";
const MASTER: &str = "/usr/lib/postfix/sbin/master";
const NOBODY: u32 = 65_534;

const MAIN_CF: &str = "\
compatibility_level = 3.6
queue_directory = DIRECTORY/queue
data_directory = DIRECTORY/data
maillog_file = DIRECTORY/mail.log
maillog_file_prefixes = DIRECTORY
myhostname = mail.example.net
mydestination =
mynetworks = 127.0.0.0/8 [::1]/128 198.51.100.0/24
inet_interfaces = all
inet_protocols = all
smtpd_peername_lookup = no
smtpd_recipient_restrictions = check_recipient_access inline:{{ gone@customer.example = 550 5.1.1 no such customer }}
smtpd_tls_security_level = may
smtpd_tls_cert_file = DIRECTORY/conf/cert.pem
smtpd_tls_key_file = DIRECTORY/conf/key.pem
smtpd_tls_received_header = yes
local_header_rewrite_clients =
virtual_mailbox_domains = customer.example
virtual_mailbox_base = DIRECTORY/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 1
alias_maps =
biff = no
";

/// What is different where one must log in. Postfix takes the last word on each.
const LOGIN_CF: &str = "\
mynetworks =
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_local_domain = mail.example.net
smtpd_sasl_authenticated_header = yes
smtpd_tls_auth_only = yes
";

/// For Cyrus SASL.
const SMTPD_CONF: &str = "\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: DIRECTORY/conf/sasldb2
mech_list: PLAIN LOGIN
";

const MASTER_CF: &str = "\
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
