//! `outgate-relay spool`, beside a process that has the spool open.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output};

use relay::config::Config;
use relay::message::Message;
use relay::spool::Spool;
use relay_proto::address::ReversePath;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queued::{Egress, QueueId, Queued, Source, UnixMillis};
use tempfile::TempDir;

struct Kept {
    directory: TempDir,
    spool: Spool,
}

impl Kept {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let config = format!(
            r#"
name = "relay-1"
operator = "Example Hosting"
hostname = "relay-1.example.net"
help_url = "https://abuse.example.net/smtp"
state_dir = "{path}"
[message]
spill_dir = "{path}"
[[scanner]]
kind = "builtin"
[[authorised]]
listen = ["127.0.0.1:2526"]
from = ["192.0.2.0/24"]
destination = "so-original-dst"
[spool]
dir = "{path}/spool"
segment_octets = 1048576
large_octets = 4096
max_octets = 16777216
"#
        );
        fs::write(directory.path().join("relay.toml"), &config).unwrap();
        let config = Config::parse(&config).unwrap().spool.unwrap();
        let (spool, recovered) = Spool::open(&config).unwrap();
        assert_eq!(recovered.count(), 0);
        Self { directory, spool }
    }

    async fn store(&self, content: &'static [u8]) -> QueueId {
        let to = |path: &str| Recipient::new(path.parse().unwrap());
        let queued = Queued {
            id: self.spool.next_id(UnixMillis(1_790_000_000_000)),
            arrived: UnixMillis(1_790_000_000_000),
            source: Source::Customer {
                address: "2001:db8:a:a::10".parse().unwrap(),
                original_dst: "[2001:db8:b:1::10]:25".parse().ok(),
                ehlo: None,
                tls: true,
                flag_id: Some(17),
                user: None,
            },
            egress: Egress::Pool,
            mail: Mail::new(ReversePath::Null),
            recipients: vec![to("<a@b.example>"), to("<c@d.example>")],
            trace: "Received: by relay-1.example.net\r\n".into(),
            may_notify: false,
            held: None,
        };
        let content = Message::from(bytes::Bytes::from_static(content));
        self.spool.store(&queued, &content).await.unwrap().id
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
            .arg("--config")
            .arg(self.path("relay.toml"))
            .arg("spool")
            .args(words)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn says(&self, words: &[&str], code: i32) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}\n{errors}");
        said + &errors
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_spool_is_shown_to_people_and_programs() {
    let kept = Kept::new();
    let id = kept.store(b"Subject: x\r\n\r\nx\r\n").await;
    kept.spool.finish(id, &[0]);
    kept.spool.flush().await.unwrap();
    let table = kept.says(&["ls"], 0);
    let mut lines = table.lines();
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["ID", "ARRIVED", "OCTETS", "SOURCE", "FROM", "PENDING"]
    );
    assert_eq!(
        lines.next().unwrap().split_whitespace().collect::<Vec<_>>(),
        [
            &id.to_string(),
            "2026-09-21T14:13:20Z",
            "17",
            "2001:db8:a:a::10",
            "<>",
            "1/2"
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&kept.says(&["ls", "-j"], 0)).unwrap();
    assert_eq!(json[0]["id"], id.to_string());
    assert_eq!(json[0]["flag"], 17);
    assert_eq!(json[0]["recipients"][0]["pending"], false);
    assert_eq!(json[0]["recipients"][1]["address"], "<c@d.example>");
    let shown = kept.says(&["show", &id.to_string()], 0);
    assert!(
        shown.contains("to            <a@b.example>  done"),
        "{shown}"
    );
    assert!(
        shown.contains("to            <c@d.example>  pending"),
        "{shown}"
    );
    let absent = kept.says(&["show", "01K8Z3V5M0000"], 2);
    assert!(absent.contains("no such message"), "{absent}");
    let wrong = kept.says(&["show", "x"], 2);
    assert!(wrong.contains("not a queue id"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_exported_as_it_would_be_sent() {
    let kept = Kept::new();
    let id = kept.store(b"Subject: x\r\n\r\nx\r\n").await.to_string();
    let file = kept.path("message.eml");
    kept.says(&["export", &id, file.to_str().unwrap()], 0);
    let sent = "Received: by relay-1.example.net\r\nSubject: x\r\n\r\nx\r\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), sent);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = kept.says(&["export", &id, file.to_str().unwrap()], 1);
    assert!(again.contains("message.eml: File exists"), "{again}");
    assert_eq!(kept.says(&["export", &id, "-"], 0), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_fails() {
    let kept = Kept::new();
    kept.store(b"Subject: x\r\n\r\nx\r\n").await;
    let large = kept.store(&[b'x'; 5000]).await.to_string();
    assert_eq!(kept.says(&["verify"], 0), "2 messages are whole\n");
    let file = kept.path("spool/large").join(&large);
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(b"?", 100).unwrap();
    let said = kept.says(&["verify"], 1);
    let expected = format!("1 messages are whole\n{large}: the message is damaged on disk\n");
    assert!(said.starts_with(&expected), "{said}");
    let refused = kept.says(&["export", &large, "-"], 1);
    assert!(refused.contains("damaged"), "{refused}");
    let json = kept.says(&["verify", "-j"], 1);
    assert!(
        json.starts_with("{\"whole\":1,\"broken\":[{\"id\":"),
        "{json}"
    );
}
