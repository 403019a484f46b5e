//! Notifications as the mail software of others sees them: python3's email and smtplib, dkimpy, Postfix.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use relay::config::Config;
use relay::dkim::Signer;
use relay::message::Message;
use relay::metrics::Metrics;
use relay::notify::{Notifier, head};
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::{
    Attempt, Cause, Egress, Outcome, QueueId, Queued, Remote, Source, UnixMillis,
};
use relay_proto::reply::Reply;

use crate::host::wait_until;
use crate::postfix::Postfix;
use crate::program::Home;

/// What the notifications are about: a message of `sender` to two recipients that were refused.
fn queued(sender: &str) -> Queued {
    let mut mail = Mail::new(format!("<{sender}>").parse().unwrap());
    mail.smtputf8 = !sender.is_ascii();
    mail.envelope_id = Some("QQ+20314159".parse().unwrap());
    let mut second = Recipient::new("<carol@example.org>".parse().unwrap());
    second.original = Some("rfc822;caroline+2Bx@example.com".parse().unwrap());
    Queued {
        id: QueueId::from_number(1 << 50).unwrap(),
        arrived: UnixMillis(1_795_291_380_000),
        source: Source::Customer {
            address: "192.0.2.10".parse().unwrap(),
            original_dst: None,
            ehlo: None,
            tls: true,
            flag_id: None,
            user: None,
        },
        egress: Egress::Pool,
        mail,
        recipients: vec![Recipient::new("<bob@example.org>".parse().unwrap()), second],
        trace: "Received: by relay-1.example.net; Sat, 21 Nov 2026 20:03:00 +0000\r\n".into(),
        may_notify: true,
        held: None,
    }
}

async fn notification(config: &Config, sender: &str) -> Vec<u8> {
    let notifier = Notifier::new(config, Arc::new(Metrics::new()));
    notifier.reconfigure(config, Arc::new(Signer::open(&config.dkim).unwrap()));
    let attempt = |recipient, text| Attempt {
        recipient,
        outcome: Outcome::Failed(Cause::Reply(Reply::new(550, "5.1.1", text))),
        remote: Some(Remote {
            name: Some("mx.example.org".into()),
            address: "203.0.113.10:25".parse().unwrap(),
        }),
    };
    let attempts = [attempt(0, "no such user"), attempt(1, "grün: no such user")];
    let content = "Subject: Grüße\r\nMessage-ID: <1@customer.example>\r\n\r\nThe text.\r\n";
    let head = head(&Message::from(Bytes::from(content))).await.unwrap();
    let (id, now) = (
        QueueId::from_number(1 << 51).unwrap(),
        UnixMillis(1_795_291_390_000),
    );
    let made = notifier.at_the_end(id, &queued(sender), &attempts, &head, now);
    made.unwrap().1.read_whole().await.unwrap().to_vec()
}

/// A relay with these keys below its directory: the configuration, as the program reads it.
fn relay_with_keys(keys: &[(&str, &[&str])]) -> (Home, Config) {
    let mut home = Home::authorised(
        false,
        "[[authorised]]\nlisten = [\"127.0.0.1:2526\"]\nfrom = [\"192.0.2.0/24\"]\ndestination = \"so-original-dst\"\n",
    );
    for (selector, arguments) in keys {
        let file = home.path(selector);
        let out = ["-out", file.to_str().unwrap()];
        openssl(&[&arguments[..1], &out, &arguments[1..]].concat());
        home.add_table(&format!(
            "[[dkim]]\ndomain = \"example.net\"\nselector = \"{selector}\"\nkey = \"{}\"\n",
            file.display()
        ));
    }
    drop(home.command(&[]));
    let config = Config::read(&home.path("relay.toml")).unwrap();
    (home, config)
}

pub(crate) fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl is not installed");
    assert!(output.status.success(), "{output:?}");
}

/// What the script prints; it fails the test by failing.
#[track_caller]
pub(crate) fn python(script: &str, arguments: &[&Path]) -> String {
    // Debian's, which has its modules.
    let output = Command::new("/usr/bin/python3")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output();
    let output = output.expect("python3 is not installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Verifies each signature of a message against records as `dkim record` prints them.
pub(crate) const VERIFY: &str = r#"
import dkim, re, sys
records = {}
for line in open(sys.argv[2]):
    name, strings = re.fullmatch(r'(\S+) IN TXT \((.*)\)\n', line).groups()
    records[name.encode()] = "".join(re.findall(r'"([^"]{1,255})"', strings)).encode()
message = open(sys.argv[1], "rb").read()
for index in range(message.count(b"DKIM-Signature:")):
    checked = dkim.DKIM(message)
    try:
        verified = checked.verify(idx=index, dnsfunc=lambda name, timeout=5: records.get(name))
    except dkim.ValidationError:
        verified = False
    print(checked.signature_fields[b"s"].decode(), checked.signature_fields[b"a"].decode(), verified)
"#;

#[tokio::test]
async fn signatures_are_verified_by_dkimpy() {
    let (home, config) = relay_with_keys(&[
        (
            "rsa",
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ],
        ),
        ("old", &["genrsa", "-traditional"]),
        ("ed", &["genpkey", "-algorithm", "ed25519"]),
    ]);
    let output = home.command(&[]).args(["dkim", "record"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let (records, file) = (home.path("records"), home.path("message"));
    fs::write(&records, output.stdout).unwrap();
    let message = notification(&config, "alice@customer.example").await;
    let verify = |message: &[u8]| {
        fs::write(&file, message).unwrap();
        python(VERIFY, &[&file, &records])
    };
    let all = |verified| {
        format!(
            "rsa rsa-sha256 {verified}\nold rsa-sha256 {verified}\ned ed25519-sha256 {verified}\n"
        )
    };
    assert_eq!(verify(&message), all("True"));
    let text = String::from_utf8(message).unwrap();
    let changed = text.replacen("What to do", "What to dO", 1);
    assert_eq!(verify(changed.as_bytes()), all("False"));
    // A field that is added, and one that was not there.
    let second = text.replacen("\r\nFrom: ", "\r\nFrom: evil@example.com\r\nFrom: ", 1);
    assert_eq!(verify(second.as_bytes()), all("False"));
    let reply_to = text.replacen("\r\nFrom: ", "\r\nReply-To: evil@example.com\r\nFrom: ", 1);
    assert_eq!(verify(reply_to.as_bytes()), all("False"));
}

#[test]
fn keys_that_cannot_sign_are_named_with_their_file() {
    for (name, arguments) in [
        ("short", &["genrsa", "1024"][..]),
        (
            "curve",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
    ] {
        let (home, _) = relay_with_keys(&[(name, arguments)]);
        refuses(&home, &format!("dkim.key: {}: ", home.path(name).display()));
    }
    let (home, _) = relay_with_keys(&[("gone", &["genpkey", "-algorithm", "ed25519"])]);
    fs::remove_file(home.path("gone")).unwrap();
    refuses(
        &home,
        &format!("dkim.key: {}: ", home.path("gone").display()),
    );
    fs::write(home.path("gone"), "no key\n").unwrap();
    refuses(
        &home,
        &format!("dkim.key: {}: ", home.path("gone").display()),
    );
}

#[track_caller]
fn refuses(home: &Home, problem: &str) {
    for words in [&["--check"][..], &["dkim", "record"], &[]] {
        let output = home.command(&[]).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(problem), "{words:?}: {said}");
        assert_eq!(output.status.code(), Some(78), "{words:?}: {said}");
    }
}

#[test]
fn without_a_key_there_is_no_record() {
    let (home, _) = relay_with_keys(&[]);
    let output = home.command(&[]).args(["dkim", "record"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// What python3's email finds in it: kinds, per-message fields, per-recipient fields.
const PARSE: &str = r#"
import email, email.policy, sys
message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.SMTP)
assert not message.defects, message.defects
assert message.is_multipart() and message.get_content_type() == "multipart/report"
assert message.get_param("report-type") == "delivery-status"
print(message["auto-submitted"], message["to"], message["in-reply-to"])
human, status, header = message.iter_parts()
for part in (human, status, header):
    assert not part.defects, part.defects
    print(part.get_content_type())
print(human.get_content().count("550 5.1.1"), "The text" in message.as_string())
for block in status.iter_parts():
    print({name.lower(): str(value) for name, value in block.items()})
quoted = email.message_from_bytes(header.get_payload(decode=True), policy=email.policy.SMTP)
print(quoted["message-id"], len(quoted.get_payload()))
"#;

#[tokio::test]
async fn python_reads_what_happened() {
    let (home, config) = relay_with_keys(&[]);
    let file = home.path("message");
    fs::write(&file, notification(&config, "alice@customer.example").await).unwrap();
    let found = python(PARSE, &[&file]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "auto-replied alice@customer.example <1@customer.example>",
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers",
            "2 False",
        ],
        "{found}"
    );
    let message = "{'original-envelope-id': 'QQ 314159', 'reporting-mta': 'dns; relay-1.example.net', \
                   'arrival-date': 'Sat, 21 Nov 2026 20:03:00 +0000', 'x-outgate-queue-id': '0010000000000'}";
    let of = |more: &str, final_recipient: &str, diagnostic: &str| {
        format!(
            "{{{more}'final-recipient': 'rfc822; {final_recipient}', 'action': 'failed', 'status': '5.1.1', \
             'remote-mta': 'dns; mx.example.org', 'diagnostic-code': 'smtp; 550 5.1.1 {diagnostic}', \
             'last-attempt-date': 'Sat, 21 Nov 2026 20:03:10 +0000'}}"
        )
    };
    let bob = of("", "bob@example.org", "no such user");
    let carol = of(
        "'original-recipient': 'rfc822; caroline+x@example.com', ",
        "carol@example.org",
        "gr?n: no such user",
    );
    assert_eq!(lines[5..8], [message, &bob, &carol], "{found}");
    assert_eq!(lines[8], "<1@customer.example> 0", "{found}");
}

/// Sends a message from nobody to a mailbox, as our own delivery would.
const SEND: &str = r#"
import smtplib, sys
host, port = open(sys.argv[2]).read().rsplit(":", 1)
to = open(sys.argv[3]).read()
options = [] if to.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
with smtplib.SMTP(host, int(port)) as client:
    client.ehlo()
    client.mail("", options)
    code, said = client.rcpt(to)
    assert code == 250, said
    code, said = client.data(open(sys.argv[1], "rb").read())
    assert code == 250, said
"#;

#[tokio::test]
async fn postfix_takes_it_and_delivers_it_as_it_is() {
    let (home, config) = relay_with_keys(&[("ed", &["genpkey", "-algorithm", "ed25519"])]);
    let postfix = Postfix::start();
    let paths = ["message", "server", "to"].map(|name| home.path(name));
    let paths = [&*paths[0], &*paths[1], &*paths[2]];
    fs::write(paths[1], postfix.address.to_string()).unwrap();
    let mut expected = Vec::new();
    for to in ["alice@mx.example", "grün@mx.example"] {
        let message = notification(&config, to).await;
        fs::write(paths[0], &message).unwrap();
        fs::write(paths[2], to).unwrap();
        python(SEND, &paths);
        expected.push(String::from_utf8(message).unwrap().replace("\r\n", "\n"));
    }
    wait_until("Postfix delivers both", || postfix.delivered().len() == 2);
    let delivered = postfix.delivered();
    for message in &expected {
        let found = delivered.iter().find(|it| it.ends_with(message.as_str()));
        let found =
            found.unwrap_or_else(|| panic!("not delivered as it was:\n{message}\n{delivered:?}"));
        assert!(found.starts_with("Return-Path: <>\n"), "{found}");
    }
}
