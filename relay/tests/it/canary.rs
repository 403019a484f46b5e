//! A password that a customer says is nowhere afterwards.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::binary::{divert, snapshot};
use crate::dialogue::Dialogue;
use crate::flows::PinDirectory;
use crate::host::{Running, free_address};
use crate::namespace::{self, CUSTOMER, MX, RELAY};
use crate::program::Home;
use crate::sink::Sink;

const PASSWORD: &str = "C4nary-pa55w0rd-4711";
/// The password alone, in base64, as AUTH LOGIN says it.
const PASSWORD_BASE64: &str = "QzRuYXJ5LXBhNTV3MHJkLTQ3MTE=";
/// NUL, `user`, NUL, password, in base64, as AUTH PLAIN says it.
const PLAIN_BASE64: &str = "AHVzZXIAQzRuYXJ5LXBhNTV3MHJkLTQ3MTE=";

#[test]
fn a_password_is_not_logged_kept_or_passed_on() {
    namespace::inside("canary", || {
        let pins = PinDirectory::create("canary");
        let home = Home::new(&pins.0);
        let sink = Sink::at(SocketAddr::new(MX.parse().unwrap(), 25), &[]);
        let mut flows = pins.pin_flows();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot(1)).unwrap();
        let program = home.start();
        divert(&mut flows, CUSTOMER, 40_001, RELAY, MX);
        divert(&mut flows, CUSTOMER, 40_002, RELAY, MX);
        divert(&mut flows, CUSTOMER, 40_003, RELAY, MX);

        let heard = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(say_passwords());
        let absent = |place: &str, octets: &[u8]| assert_absent(place, octets, &secrets());
        absent("what was heard in clear text", heard.as_bytes());
        let heard = say_password_under_tls(40_003);
        assert!(heard.contains("port 587"), "{heard}");
        absent("what was heard under TLS", heard.as_bytes());

        // With every counter in the log.
        assert!(program.stop().success(), "{}", home.log());
        assert!(home.log().contains("messages_delivered_total"));
        // Both sessions were looked at with all the detail that there is.
        assert!(home.log().contains("DEBUG"), "{}", home.log());
        absent("what the destination heard", sink.dialogue().as_bytes());
        absent("what the destination took", &sink.only().message);
        assert_absent_below(home.path("relay.toml").parent().unwrap(), &secrets());
    });
}

#[test]
fn a_crash_writes_no_memory_to_disk() {
    let address = free_address();
    let table = format!(
        "[[authorised]]\nlisten = [\"{address}\"]\nfrom = [\"192.0.2.0/24\"]\n\
         destination = \"proxy-v2\"\nproxies = [\"127.0.0.1/32\"]\n"
    );
    let home = Home::authorised(false, &table);
    let unlimited = ["prlimit", "--core=unlimited"];
    let ends_with_core = |mut process: Running| {
        kill_process(Pid::from_child(&process.0), Signal::ABORT).unwrap();
        process.0.wait().unwrap().core_dumped()
    };
    let other = tempfile::tempdir().unwrap();
    let mut control = Command::new(unlimited[0]);
    control.args([unlimited[1], "sh", "-c", "echo; exec sleep 60"]);
    control.current_dir(&other).stdout(Stdio::piped());
    let mut control = Running::start(&mut control);
    control
        .0
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut [0])
        .unwrap();
    assert!(
        ends_with_core(control),
        "this host writes no cores, so this test would prove nothing"
    );

    let program = home.start_under(&unlimited);
    assert!(!ends_with_core(program.into_process()));
}

/// In every form and place, right and wrong; all that was heard.
async fn say_passwords() -> String {
    let relay = SocketAddr::new(RELAY.parse().unwrap(), 2525);
    let at = |port| SocketAddr::new(CUSTOMER.parse().unwrap(), port);
    let forms = [
        format!("AUTH PLAIN {PLAIN_BASE64}\r\n"),
        format!("auth login {PASSWORD_BASE64}\r\n"),
        format!("AUTH {PASSWORD}\r\n"),
        format!("AUTH  PLAIN  {PASSWORD}\r\n"),
        format!("AUTH PLAIN={PLAIN_BASE64} {PASSWORD}\r\n"),
        // The second half of a LOGIN whose first half was refused, which some clients say all the same.
        format!("{PASSWORD_BASE64}\r\n"),
        format!("AUTH PLAIN {}{PASSWORD}\r\n", "A".repeat(3000)),
    ];
    let mut heard = String::new();
    let (mut customer, _) = Dialogue::open_at(relay, at(40_001)).await;
    heard += &customer.expect(&forms[0], "503").await;
    heard += &customer.expect("EHLO client.example\r\n", "250").await;
    for form in &forms {
        heard += &customer.expect(form, "5").await;
    }
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "250")
        .await;
    heard += &customer.expect(&forms[0], "503").await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250").await;
    heard += &customer.expect(&forms[1], "503").await;
    customer.expect("DATA\r\n", "354").await;
    // More than stays in memory.
    let content = "0123456789abcdef\r\n".repeat(1000);
    customer
        .say(format!("Subject: x\r\n\r\n{content}.\r\n").as_bytes())
        .await;
    customer.expect_reply("250").await;

    // A password with a framing error in it ends the session.
    let (mut customer, _) = Dialogue::open_at(relay, at(40_002)).await;
    customer.expect("EHLO client.example\r\n", "250").await;
    let line = format!("AUTH PLAIN {PASSWORD}\n{PLAIN_BASE64}\r\n");
    heard += &customer.expect(&line, "5").await;
    customer.expect_close().await;
    heard
}

fn say_password_under_tls(port: u16) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-starttls", "smtp"])
        .args(["-connect", &format!("{RELAY}:2525")])
        .args(["-bind", &format!("{CUSTOMER}:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is not installed");
    let said = format!("EHLO client.example\r\nAUTH PLAIN {PLAIN_BASE64}\r\nQUIT\r\n");
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(said.as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8(output.stdout).unwrap()
}

fn secrets() -> [String; 3] {
    [PASSWORD, PASSWORD_BASE64, PLAIN_BASE64].map(str::to_owned)
}

/// That none of these stands in any file there.
#[track_caller]
pub(crate) fn assert_absent_below(directory: &Path, secrets: &[String]) {
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_absent_below(&path, secrets);
        } else if path.is_file() {
            let octets = fs::read(&path).unwrap();
            assert_absent(&path.display().to_string(), &octets, secrets);
            files += 1;
        }
    }
    // At the least the log, the snapshot and the configuration were there to be looked at.
    let is_top = directory.join("relay.toml").exists();
    assert!(files >= 3 || !is_top, "{directory:?}");
}

#[track_caller]
pub(crate) fn assert_absent(place: &str, octets: &[u8], secrets: &[String]) {
    // Without the padding: what is cut off may still be told.
    for secret in secrets {
        let secret = secret.trim_end_matches('=');
        let found = memchr::memmem::find(octets, secret.as_bytes());
        assert!(
            found.is_none(),
            "{secret} in {place}: {}",
            octets.escape_ascii()
        );
    }
}
