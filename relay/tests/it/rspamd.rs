//! The real rspamd as scanner: a private instance with a few rules of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use relay::metrics::Counter;
use tempfile::TempDir;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::host::{Running, free_address, wait_until};
use crate::scan;
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

/// The whole of `127.0.0.0/8` is trusted the way an operator trusts its own networks, and so are its users; one domain is
/// so much that nothing else that is said changes it.
fn configuration(directory: &str, address: SocketAddr) -> String {
    // Its own list of top-level domains takes it half a minute to compile.
    let written = fs::write(format!("{directory}/suffixes"), "com\nexample\nnet\norg\n")
        .and_then(|()| fs::write(format!("{directory}/rules.lua"), RULES));
    written.unwrap();
    format!(
        r#"
options {{
    pidfile = "{directory}/rspamd.pid";
    temp_dir = "{directory}";
    hs_cache_dir = "{directory}";
    stats_file = "{directory}/stats.ucl";
    control_socket = "{directory}/control.sock mode=0600";
    filters = "regexp";
    url_tld = "{directory}/suffixes";
    disable_hyperscan = true;
    local_addrs = ["127.0.0.0/8"];
    dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "info"; }}
worker "normal" {{ bind_socket = "{address}"; count = 1; }}
actions {{ discard = 1000; reject = 15; add_header = 6; greylist = 4; }}
modules {{ path = "/usr/share/rspamd/plugins/settings.lua"; }}
regexp {{
    PRETEND_SPAM {{ re = "Subject=/pretend-spam/H"; score = 20; }}
    PRETEND_GREY {{ re = "Subject=/pretend-grey/H"; score = 5; }}
    PRETEND_HEADER {{ re = "Subject=/pretend-header/H"; score = 8; }}
}}
settings {{
    own_networks {{ priority = low; ip = "127.0.0.0/8"; want_spam = yes; }}
    own_users {{ priority = medium; authenticated = yes; want_spam = yes; }}
    own_domain {{ priority = high; from = "@trusted.example"; want_spam = yes; }}
}}
lua = "{directory}/rules.lua";
"#
    )
}

/// Wants a message changed, or dropped in silence, if its subject says so; and says what it has been told of who sends it.
const RULES: &str = r#"
local id = rspamd_config:register_symbol({
  name = 'PRETEND_CHANGES', type = 'callback', score = 1.0,
  callback = function(task)
    local subject = task:get_header('Subject') or ''
    if subject:find('changes', 1, true) then
      task:set_milter_reply({
        add_headers = {['X-Spam'] = 'yes'}, remove_headers = {['From'] = 0}, change_from = 'other@customer.example',
      })
      task:insert_result('PRETEND_CHANGES', 1.0)
    end
    if subject:find('discard', 1, true) then
      task:set_pre_result('discard', 'gone')
    end
    local ip, from, to = task:get_from_ip(), task:get_from('smtp')[1], task:get_recipients('smtp')[1]
    local told = table.concat({tostring(ip), task:get_helo(), from.addr, to.addr, task:get_queue_id()}, ' ')
    if told == '127.0.0.1 client.example a@customer.example b@mx.example scan' then
      task:insert_result('TOLD_RIGHTLY', 1.0)
    end
    if task:get_user() or task:get_settings_id() then
      task:insert_result('TRUSTED', -100.0)
    end
  end
})
rspamd_config:register_symbol({name = 'TOLD_RIGHTLY', type = 'virtual', parent = id, score = 0.25})
rspamd_config:register_symbol({name = 'TRUSTED', type = 'virtual', parent = id, score = 1.0})
"#;

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
        scanners: scanners.clone(),
        memory_octets: 2000,
        ..Options::to(sink.address)
    });
    let large = "x".repeat(70) + "\r\n";
    for (subject, body, expected) in [
        ("hello", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("pretend-header", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("pretend-spam", "x\r\n".to_owned(), "550 5.7.1 "),
        ("pretend-grey", "x\r\n".to_owned(), "451 4.7.1 "),
        ("changes", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("discard", "x\r\n".to_owned(), "550 5.7.1 "),
        ("large pretend-spam", large.repeat(5000), "550 5.7.1 "),
        ("large", large.repeat(5000), "250 2.0.0 Ok"),
    ] {
        let content = format!("Subject: {subject}\r\nFrom: a@customer.example\r\n\r\n{body}");
        let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
        transcript.assert_heard(expected);
    }
    gate.wait_for_count(Counter::Delivered, 4).await;
    gate.wait_for_count(Counter::Rejected, 3).await;
    gate.wait_for_count(Counter::Deferred, 1).await;
    gate.assert_counted(Counter::ScannerFailed, 0);
    let taken = sink.taken();
    assert_eq!(taken.len(), 4);
    // rspamd proposed a header field for the one, and for the other to take fields away and to change its sender; neither is
    // ours to do.
    for (index, subject) in [(1, "pretend-header"), (2, "changes")] {
        let sent = format!("Subject: {subject}\r\nFrom: a@customer.example\r\n\r\nx\r\n");
        assert_eq!(taken[index].content(), sent.as_bytes());
        let envelope = &taken[index].envelope;
        assert!(envelope.contains("sender@customer.example"), "{envelope}");
    }

    // What its score says adds up with what others say: at 8.25 points the odds are e to 2.4.
    let gate = Gate::start(Options {
        scanners: scanners.clone(),
        more: "[verdict]\nspam_log_odds = 2.0\n".into(),
        ..Options::to(sink.address)
    });
    let content = b"Subject: pretend-header\r\n\r\nx\r\n";
    let transcript = swaks::send(gate.address, content, &[]).await;
    transcript.assert_heard("550 5.7.1 ");
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[]).await;
    transcript.assert_accepted();

    // What it will not look at is not clean.
    let gate = Gate::start(Options {
        scanners: scanners.clone(),
        ..Options::to(sink.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer
        .expect("MAIL FROM:<a@trusted.example>\r\n", "250")
        .await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250").await;
    customer.expect("DATA\r\n", "354").await;
    let message = "Subject: pretend-spam\r\n\r\nx\r\n.\r\n";
    customer.expect(message, "451 4.7.1 ").await;
    gate.wait_for_count(Counter::ScannerFailed, 1).await;

    let told = tokio::task::spawn_blocking(move || scan::json(&scanners, "pretend-header"));
    let told = told.await.unwrap();
    let rspamd = &told["scanners"][0];
    assert_eq!(rspamd["score"], 8.25);
    assert_eq!(rspamd["log_odds"], 2.4375);
    let reasons = rspamd["reasons"].as_array().unwrap();
    assert_eq!(reasons, &["PRETEND_HEADER(8.00)", "TOLD_RIGHTLY(0.25)"]);
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
