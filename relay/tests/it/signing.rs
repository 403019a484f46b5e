//! The operator's signature over customers' mail, as dkimpy and rspamd see it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use contract::Delivery;
use relay::config::{DkimKey, DkimSigns};
use relay::dkim::Signer;
use relay::metrics::Counter;
use tempfile::TempDir;

use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::namespace;
use crate::notifications::{VERIFY, openssl, python};
use crate::resolver::Resolver;
use crate::rspamd::{Rspamd, post};
use crate::sink::Sink;
use crate::swaks;

/// Keys of the operator, and one of a customer.
pub(crate) struct Keys {
    directory: TempDir,
    keys: Vec<DkimKey>,
}

impl Keys {
    pub(crate) fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = |selector: &str, arguments: &[&str], signs| {
            let file = directory.path().join(selector);
            let out = ["-out", file.to_str().unwrap()];
            openssl(&[&arguments[..1], &out, &arguments[1..]].concat());
            DkimKey {
                domain: "example.net".into(),
                selector: selector.into(),
                key: file,
                signs,
            }
        };
        let keys = vec![
            key(
                "relay",
                &["genrsa", "-traditional", "2048"],
                DkimSigns::Customers,
            ),
            key(
                "relay-ed",
                &["genpkey", "-algorithm", "ed25519"],
                DkimSigns::All,
            ),
            // Not the relay's, but printed with its own.
            key(
                "theirs",
                &["genrsa", "-traditional", "2048"],
                DkimSigns::Own,
            ),
        ];
        Self { directory, keys }
    }

    pub(crate) fn tables(&self) -> String {
        let table = |key: &DkimKey| {
            let sign = match key.signs {
                DkimSigns::Own => "own",
                DkimSigns::Customers => "customers",
                DkimSigns::All => "all",
            };
            format!(
                "[[dkim]]\ndomain = \"{}\"\nselector = \"{}\"\nkey = {:?}\nsign = \"{sign}\"\n",
                key.domain, key.selector, key.key
            )
        };
        self.keys.iter().map(table).collect()
    }

    /// As they stand in a zone.
    fn records(&self) -> String {
        let records = Signer::open(&self.keys).unwrap().records();
        records.iter().map(|record| format!("{record}\n")).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What dkimpy says of each signature, from the top.
    #[track_caller]
    pub(crate) fn verify(&self, message: &[u8]) -> String {
        let (file, records) = (self.path("message"), self.path("records"));
        fs::write(&file, message).unwrap();
        fs::write(&records, self.records()).unwrap();
        python(VERIFY, &[&file, &records])
    }

    /// The message as a customer would sign it.
    pub(crate) fn signed_by_customer(&self, message: &str) -> Vec<u8> {
        let file = self.path("unsigned");
        fs::write(&file, message).unwrap();
        python(SIGN, &[&file, &self.path("theirs"), &self.path("signed")]);
        fs::read(self.path("signed")).unwrap()
    }
}

const SIGN: &str = r#"
import dkim, sys
message, key = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
signature = dkim.sign(message, b"theirs", b"example.net", key, canonicalize=(b"simple", b"simple"))
open(sys.argv[3], "wb").write(signature + message)
"#;

/// Messages of many shapes.
fn messages(keys: &Keys) -> Vec<Vec<u8>> {
    let plain = "From: a@customer.example\r\nTo: b@mx.example\r\nSubject: x\r\n\r\nhello\r\n";
    let folded = "FROM:\ta@customer.example\r\nSubject: two\r\n\t  lines  \r\nTo: b@mx.example,\r\n c@mx.example\r\n\r\n";
    let twice = "From: a@customer.example\r\nTo: b@mx.example\r\nTo: c@mx.example\r\nX-Outgate-Token: forged\r\n\r\nx\r\n";
    let spaces = format!(
        "{plain} leading\r\ntrailing \t \r\n\t \r\ninner \t run\r\n.dot\r\n..dots\r\n{}",
        "\r\n".repeat(40)
    );
    let mut eight_bits = b"From: a@customer.example\r\nSubject: caf\xc3\xa9\r\n\r\n".to_vec();
    eight_bits.extend(0x80..=0xff_u8);
    eight_bits.extend_from_slice(b"\r\n");
    // Beyond what is kept in memory, and beyond a block.
    let large = format!("{plain}{}", "0123456789 abcdef\r\n".repeat(20_000));
    let one_line = format!("{plain}{}\r\n", "x".repeat(200_000));
    let empty = "From: a@customer.example\r\n\r\n";
    let mut all: Vec<Vec<u8>> = [plain, folded, twice, &spaces, &large, &one_line, empty]
        .map(|message| message.as_bytes().to_vec())
        .into();
    all.push(eight_bits);
    all.push(keys.signed_by_customer(plain));
    all
}

#[track_caller]
fn assert_signed(keys: &Keys, message: &[u8], with_their_own: bool) {
    let mut expected = "relay rsa-sha256 True\nrelay-ed ed25519-sha256 True\n".to_owned();
    if with_their_own {
        expected += "theirs rsa-sha256 True\n";
    }
    let shown = String::from_utf8_lossy(&message[..message.len().min(3000)]);
    assert_eq!(keys.verify(message), expected, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relayed_has_the_operators_signature_beside_its_own() {
    let keys = Keys::make();
    let sink = Sink::start();
    let spool = tempfile::tempdir().unwrap();
    let in_session = Options {
        more: keys.tables(),
        memory_octets: 2000,
        ..Options::to(sink.address)
    };
    let mut queued = Options::with_spool(sink.address, Delivery::Queue, spool.path());
    queued.more += &keys.tables();
    queued.memory_octets = 2000;
    let messages = messages(&keys);
    let mut sent = 0;
    for options in [in_session, queued] {
        let gate = Gate::start(options);
        for content in &messages {
            swaks::send(gate.address, content, &[])
                .await
                .assert_accepted();
            sent += 1;
            wait_until("the message", || sink.written() == sent);
        }
        gate.assert_counted(Counter::Unsigned, 0);
    }
    let taken = sink.taken();
    assert_eq!(taken.len(), 2 * messages.len());
    for message in &taken {
        let content = message.content();
        assert!(
            messages.iter().any(|sent| sent == content),
            "not what was sent"
        );
        let theirs = content.starts_with(b"DKIM-Signature");
        assert_signed(&keys, &message.message, theirs);
        assert!(
            message.trace().contains("X-Outgate-Token: "),
            "{}",
            message.trace()
        );
    }
    // It covers the customer, the content, and that there is no second author.
    let first = String::from_utf8(taken[0].message.clone()).unwrap();
    for (part, instead) in [
        ("hello", "hellO"),
        ("X-Outgate-Token: ", "X-Outgate-Token: x"),
        ("\r\nFrom: ", "\r\nFrom: evil@example.com\r\nFrom: "),
        ("\r\nFrom: ", "\r\nReply-To: evil@example.com\r\nFrom: "),
        ("Subject: x", "Subject: y"),
    ] {
        let changed = first.replacen(part, instead, 1);
        assert_ne!(changed, first, "{part}");
        let said = keys.verify(changed.as_bytes());
        assert_eq!(
            said, "relay rsa-sha256 False\nrelay-ed ed25519-sha256 False\n",
            "{instead}"
        );
    }
    // What is added on the way is not in its way.
    let hop = format!(
        "Received: by mx.example\r\nX-Outgate-Token: another\r\nX-Outgate-Id: 2\r\n{first}"
    );
    assert_signed(&keys, hop.as_bytes(), false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_an_end_is_relayed_and_not_signed() {
    let keys = Keys::make();
    let sink = Sink::start();
    let gate = Gate::start(Options {
        more: keys.tables(),
        ..Options::to(sink.address)
    });
    let content = format!("From: a@customer.example\r\n{}", "X: y\r\n".repeat(60_000));
    swaks::send(gate.address, content.as_bytes(), &[])
        .await
        .assert_accepted();
    wait_until("the message", || sink.written() == 1);
    let taken = sink.only();
    assert!(taken.trace().starts_with("Received: "), "{}", taken.trace());
    gate.assert_counted(Counter::Unsigned, 1);
}

#[test]
fn rspamd_of_a_receiver_finds_the_keys_and_agrees() {
    namespace::inside("signing", || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let keys = Keys::make();
            let _resolver = Resolver::start(&keys.records(), "");
            let sink = Sink::start();
            let gate = Gate::start(Options {
                more: keys.tables(),
                ..Options::to(sink.address)
            });
            let content = keys.signed_by_customer(
                "From: a@customer.example\r\nTo: b@mx.example\r\nSubject: x\r\n\r\nhello\r\n",
            );
            swaks::send(gate.address, &content, &[]).await.assert_accepted();
            wait_until("the message", || sink.written() == 1);
            let message = String::from_utf8(sink.only().message).unwrap();
            let rspamd = tokio::task::spawn_blocking(|| Rspamd::with(verifying));
            let rspamd = rspamd.await.unwrap();
            let judge = |message: &str| {
                let request = format!(
                    "POST /checkv2 HTTP/1.0\r\nIP: 198.51.100.2\r\nFrom: a@customer.example\r\nContent-Length: {}\r\n\r\n{message}",
                    message.len()
                );
                let answer = post(rspamd.address, &request).unwrap();
                let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                let body: serde_json::Value = serde_json::from_str(body).unwrap();
                let options = |symbol: &str| body["symbols"][symbol]["options"].to_string();
                (options("R_DKIM_ALLOW"), options("R_DKIM_REJECT"))
            };
            let (allowed, rejected) = judge(&message);
            for selector in ["relay", "theirs"] {
                assert!(allowed.contains(&format!("example.net:s={selector}\"")), "{allowed}");
            }
            assert_eq!(rejected, "null");
            let (_, rejected) = judge(&message.replacen("hello", "hellO", 1));
            assert!(rejected.contains("example.net:s=relay\""), "{rejected}");
        });
    });
}

/// An rspamd that verifies signatures and does nothing else.
fn verifying(directory: &str, address: SocketAddr) -> String {
    format!(
        r#"
options {{
    pidfile = "{directory}/rspamd.pid";
    temp_dir = "{directory}";
    hs_cache_dir = "{directory}";
    stats_file = "{directory}/stats.ucl";
    control_socket = "{directory}/control.sock mode=0600";
    filters = "dkim";
    local_addrs = [];
    dns {{ nameserver = ["127.0.0.1:53"]; timeout = 5s; retransmits = 2; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "{address}"; count = 1; }}
actions {{ reject = 15; }}
dkim {{ trusted_only = false; skip_multi = false; }}
"#
    )
}
