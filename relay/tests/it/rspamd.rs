//! The real rspamd as scanner: a private instance with three rules of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use relay::metrics::Counter;
use tempfile::TempDir;

use crate::gate::{Gate, Options};
use crate::host::{Running, free_address, wait_until};
use crate::sink::Sink;
use crate::swaks;

/// A running rspamd.
pub(crate) struct Rspamd {
    pub(crate) address: SocketAddr,
    _directory: TempDir,
    _process: Running,
}

impl Rspamd {
    fn start() -> Self {
        Self::with(configuration)
    }

    /// With what `configuration` makes of a directory for its files, and the address to listen at.
    pub(crate) fn with(configuration: impl FnOnce(&str, SocketAddr) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let config = directory.path().join("rspamd.conf");
        fs::write(
            &config,
            configuration(&directory.path().display().to_string(), address),
        )
        .unwrap();
        let process = Running::start(
            Command::new("rspamd")
                .args(["--no-fork", "--insecure", "--config"])
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        // It compiles its list of top-level domains first, which takes ten seconds, and minutes on a machine that is busy.
        let started = std::time::Instant::now();
        while started.elapsed().as_secs() < 240 && !answers(address) {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let log = || fs::read_to_string(directory.path().join("rspamd.log"));
        assert!(answers(address), "rspamd does not answer: {:?}", log());
        Self {
            address,
            _directory: directory,
            _process: process,
        }
    }
}

/// The whole of `127.0.0.0/8` is trusted the way an operator trusts its own networks.
fn configuration(directory: &str, address: SocketAddr) -> String {
    format!(
        r#"
options {{
    pidfile = "{directory}/rspamd.pid";
    temp_dir = "{directory}";
    hs_cache_dir = "{directory}";
    stats_file = "{directory}/stats.ucl";
    control_socket = "{directory}/control.sock mode=0600";
    filters = "regexp";
    local_addrs = ["127.0.0.0/8"];
    dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "{address}"; count = 1; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
modules {{ path = "/usr/share/rspamd/plugins/settings.lua"; }}
regexp {{
    PRETEND_SPAM {{ re = "Subject=/pretend-spam/H"; score = 20; }}
    PRETEND_GREY {{ re = "Subject=/pretend-grey/H"; score = 5; }}
    PRETEND_HEADER {{ re = "Subject=/pretend-header/H"; score = 8; }}
}}
settings {{
    own_networks {{ priority = low; ip = "127.0.0.0/8"; want_spam = yes; }}
}}
"#
    )
}

fn answers(address: SocketAddr) -> bool {
    post(address, "GET /ping HTTP/1.0\r\n\r\n").is_some_and(|answer| answer.contains("pong"))
}

pub(crate) fn post(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn rspamds_actions_decide() {
    let rspamd = tokio::task::spawn_blocking(Rspamd::start).await.unwrap();
    let scanners = format!(
        "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{}/checkv2\"\non_error = \"defer\"\n",
        rspamd.address
    );
    // The same message, asked without settings, is not even looked at: it comes from a trusted
    // network. Flagged customers do, too, and must not profit from it.
    let message = "Subject: pretend-spam\r\n\r\nx\r\n";
    let plain = format!(
        "POST /checkv2 HTTP/1.0\r\nIP: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    );
    let answer = post(rspamd.address, &plain).unwrap();
    assert!(answer.contains("\"is_skipped\":true"), "{answer}");

    let sink = Sink::start();
    // A small memory, so that one message comes out of the spill file.
    let gate = Gate::start(Options {
        scanners,
        memory_octets: 2000,
        ..Options::to(sink.address)
    });
    let large = "x".repeat(70) + "\r\n";
    for (subject, body, expected) in [
        ("hello", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("pretend-header", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("pretend-spam", "x\r\n".to_owned(), "550 5.7.1 "),
        ("pretend-grey", "x\r\n".to_owned(), "451 4.7.1 "),
        ("large pretend-spam", large.repeat(5000), "550 5.7.1 "),
        ("large", large.repeat(5000), "250 2.0.0 Ok"),
    ] {
        let content = format!("Subject: {subject}\r\nFrom: a@customer.example\r\n\r\n{body}");
        let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
        transcript.assert_heard(expected);
    }
    gate.wait_for_count(Counter::Delivered, 3).await;
    gate.wait_for_count(Counter::Rejected, 2).await;
    gate.wait_for_count(Counter::Deferred, 1).await;
    gate.assert_counted(Counter::ScannerFailed, 0);
    let taken = sink.taken();
    assert_eq!(taken.len(), 3);
    // rspamd proposed a header field for the second one; it is not ours to add.
    assert_eq!(
        taken[1].content(),
        b"Subject: pretend-header\r\nFrom: a@customer.example\r\n\r\nx\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_rspamd_costs_its_deadline_and_no_more() {
    // A listener that accepts into its backlog and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scanners = format!(
        "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{}/checkv2\"\ndeadline = \"300ms\"\non_error = \"open\"\n",
        silent.local_addr().unwrap()
    );
    let sink = Sink::start();
    let gate = Gate::start(Options {
        scanners,
        ..Options::to(sink.address)
    });
    let started = std::time::Instant::now();
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[]).await;
    transcript.assert_accepted();
    assert!(started.elapsed().as_secs() < 10);
    gate.assert_counted(Counter::ScannerFailed, 1);
    wait_until("the message", || sink.written() == 1);
}
