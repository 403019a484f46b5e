//! swaks as the customer's mail server.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// What swaks did and saw.
#[derive(Debug)]
pub(crate) struct Transcript {
    /// 0 = the message was accepted.
    pub(crate) exit: i32,
    /// The dialogue; `<-`, `<~` before what the relay said, `<*` when it refused.
    pub(crate) text: String,
}

/// Sends `content` (CRLF line ends, not dot-stuffed) through `relay`, with more options.
pub(crate) async fn send(relay: SocketAddr, content: &[u8], options: &[&str]) -> Transcript {
    let mut data = stuffed(content);
    data.extend_from_slice(b".\r\n");
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    tokio::task::spawn_blocking(move || run(relay, &data, &options))
        .await
        .unwrap()
}

/// As on the wire, without the end of data.
pub(crate) fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    data
}

impl Transcript {
    /// Asserts that the relay said `reply` somewhere.
    #[track_caller]
    pub(crate) fn assert_heard(&self, reply: &str) {
        assert!(
            self.text.contains(reply),
            "not heard: {reply}\n{}",
            self.text
        );
    }

    #[track_caller]
    pub(crate) fn assert_accepted(&self) {
        assert_eq!(self.exit, 0, "{}", self.text);
    }
}

fn run(relay: SocketAddr, data: &[u8], options: &[String]) -> Transcript {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(data).unwrap();
    let output = Command::new("swaks")
        .args([
            "--server",
            &relay.ip().to_string(),
            "--port",
            &relay.port().to_string(),
        ])
        .args([
            "--helo",
            "client.example",
            "--timeout",
            "60",
            "--no-data-fixup",
        ])
        .arg("--data")
        .arg(format!("@{}", file.path().display()))
        .args(["--from", "sender@customer.example"])
        .args(if options.iter().any(|option| option == "--to") {
            vec![]
        } else {
            vec!["--to", "recipient@mx.example"]
        })
        .args(options)
        // Not the configuration of whoever runs the test.
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .expect("swaks is not installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Transcript {
        exit: output.status.code().unwrap_or(-1),
        text,
    }
}
