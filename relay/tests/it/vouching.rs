//! Who vouches for a reverse-path, asked of a real unbound.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use relay::config::DkimKey;
use relay::dkim::Signer;
use relay::message::Message;
use relay::vouch::{Leaving, Patience, Vouched, Voucher};
use relay_proto::envelope::{EhloName, Mail};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::host::{Running, free_address, wait_until};

/// A resolver that knows `example.` and nothing else.
pub(crate) struct Resolver {
    pub(crate) address: SocketAddr,
    _process: Running,
    _directory: TempDir,
}

impl Resolver {
    /// Each record as a zone's file has it, on one line.
    pub(crate) fn start(records: &[&str]) -> Self {
        let (address, directory) = (free_address(), tempfile::tempdir().unwrap());
        let root = directory.path().display();
        let mut config = format!(
            "server:\n  interface: {}@{}\n  directory: \"{root}\"\n  pidfile: \"{root}/pid\"\n  username: \"\"\n  \
             chroot: \"\"\n  use-syslog: no\n  do-daemonize: no\n  module-config: iterator\n  \
             local-zone: \".\" static\n",
            address.ip(),
            address.port()
        );
        for record in records {
            writeln!(config, "  local-data: '{record}'").unwrap();
        }
        config += "remote-control:\n  control-enable: no\n";
        let file = directory.path().join("unbound.conf");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("/usr/sbin/unbound");
        command
            .args(["-d", "-c"])
            .arg(&file)
            .stderr(Stdio::from(log));
        let process = Running::start(&mut command);
        wait_until("unbound answers", || TcpStream::connect(address).is_ok());
        Self {
            address,
            _process: process,
            _directory: directory,
        }
    }

    fn voucher(&self) -> Voucher {
        voucher(self.address, Duration::from_secs(20))
    }
}

fn voucher(server: SocketAddr, deadline: Duration) -> Voucher {
    Voucher::new(Some(&[server]), "relay-1.example.net", deadline).unwrap()
}

async fn ask(voucher: &Voucher, client: &str, sender: &str, content: &[u8]) -> Option<Vouched> {
    let client: IpAddr = client.parse().unwrap();
    let ehlo = EhloName::new("mail.customer.example").unwrap();
    let message = Message::from(Bytes::copy_from_slice(content));
    voucher
        .vouches(
            client,
            Some(&ehlo),
            &sender.parse().unwrap(),
            &message,
            &Patience::default(),
        )
        .await
}

const PLAIN: &[u8] = b"Subject: x\r\n\r\ntext\r\n";

#[tokio::test]
async fn spf_vouches_for_a_client_that_the_domain_names() {
    let resolver = Resolver::start(&[
        "one.example. TXT \"v=spf1 ip4:192.0.2.0/28 ip6:2001:db8:a::/48 -all\"",
        "two.example. TXT \"v=spf1 include:one.example a:mail.two.example ~all\"",
        "mail.two.example. A 198.51.100.7",
        "three.example. TXT \"v=spf1 a:%{h} ?all\"",
        "mail.customer.example. A 192.0.2.99",
        "four.example. TXT \"v=spf1 include:nowhere.example -all\"",
        "five.example. TXT \"v=spf1 exists:%{i}._spf.%{d} -all\"",
        "192.0.2.10._spf.five.example. A 127.0.0.2",
    ]);
    let voucher = resolver.voucher();
    for (client, sender, expected) in [
        ("192.0.2.10", "<a@one.example>", true),
        ("192.0.2.16", "<a@one.example>", false),
        ("2001:db8:a:1::10", "<a@one.example>", true),
        ("2001:db8:b:1::10", "<a@one.example>", false),
        ("192.0.2.10", "<a@two.example>", true),
        ("198.51.100.7", "<a@two.example>", true),
        ("198.51.100.8", "<a@two.example>", false),
        ("192.0.2.99", "<a@three.example>", true),
        ("192.0.2.10", "<a@three.example>", false),
        ("192.0.2.10", "<a@five.example>", true),
        // A broken record, none at all, and a domain that is not there.
        ("192.0.2.10", "<a@four.example>", false),
        ("192.0.2.10", "<a@mail.two.example>", false),
        ("192.0.2.10", "<a@nowhere.example>", false),
        ("192.0.2.10", "<a@[192.0.2.10]>", false),
        ("192.0.2.10", "<>", false),
    ] {
        let found = ask(&voucher, client, sender, PLAIN).await;
        assert_eq!(found, expected.then_some(Vouched::Spf), "{client} {sender}");
    }
}

#[tokio::test]
async fn a_signature_vouches_for_its_domain_and_those_below() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "ed25519", "-out"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let config = DkimKey {
        signs: relay::config::DkimSigns::Own,
        domain: "signed.example".into(),
        selector: "s".into(),
        key,
    };
    let signer = Signer::open(&[config]).unwrap();
    let record = signer.records().remove(0);
    let resolver = Resolver::start(&[&format!("{}. TXT \"{}\"", record.name, record.text)]);
    let voucher = resolver.voucher();
    let message = b"From: a@signed.example\r\nSubject: x\r\n\r\ntext\r\n";
    let mut content = signer.sign(message).unwrap();
    content.extend_from_slice(message);
    let changed = String::from_utf8(content.clone())
        .unwrap()
        .replace("\ntext", "\ntext!");
    let many = [signer.sign(message).unwrap().repeat(9), message.to_vec()].concat();
    for (sender, content, expected) in [
        ("<a@signed.example>", &content[..], true),
        ("<a@SIGNED.example>", &content, true),
        ("<a@below.signed.example>", &content, true),
        // Nobody vouches for another domain, whatever From says.
        ("<a@other.example>", &content, false),
        ("<a@signed.example>", changed.as_bytes(), false),
        ("<a@signed.example>", PLAIN, false),
        ("<a@signed.example>", &many, false),
        ("<>", &content, false),
    ] {
        let found = ask(&voucher, "192.0.2.10", sender, content).await;
        assert_eq!(found, expected.then_some(Vouched::Dkim), "{sender}");
    }
}

#[tokio::test]
async fn a_resolver_that_is_away_vouches_for_nobody() {
    let voucher = voucher(free_address(), Duration::from_millis(500));
    assert_eq!(
        ask(&voucher, "192.0.2.10", "<a@one.example>", PLAIN).await,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn all_look_ups_about_a_message_wait_once_for_a_resolver_that_never_answers() {
    // It is there, and reads nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let deadline = Duration::from_secs(8);
    let voucher = voucher(silent.local_addr().unwrap(), deadline);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let mail = Mail::new("<a@one.example>".parse().unwrap());
    let content = Message::from(Bytes::from_static(b"From: a@one.example\r\n\r\ntext\r\n"));
    let leaving = Leaving {
        customer: address("192.0.2.10"),
        ehlo: None,
        leaves_from: address("198.51.100.20"),
        leaves_as: "out-1.example.net",
        mail: &mail,
        content: &content,
    };
    // On the clock that stands still while anything is done.
    let time_of = async |first: &Patience, second: &Patience| {
        let began = Instant::now();
        assert_eq!(voucher.spoils(&leaving, first).await, None);
        let vouches = voucher.vouches(leaving.customer, None, &mail.reverse_path, &content, second);
        assert_eq!(vouches.await, None);
        began.elapsed().as_secs()
    };
    let (one, another) = (Patience::default(), Patience::default());
    assert_eq!(time_of(&one, &one).await, deadline.as_secs());
    // Each for itself would wait for as long.
    let twice = time_of(&Patience::default(), &another).await;
    assert_eq!(twice, 2 * deadline.as_secs());
}
