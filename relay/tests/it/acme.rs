//! The relay's own certificate from pebble, an authority for tests, by its real challenges.
//!
//! Customers' connections are translated to the relay inside of the namespace; they are walled, because they need no
//! destination then.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, RELAY, RELAY6, STRANGER};
use crate::openssl::{TlsSession, handshake};
use crate::program::Home;

mod authority;
mod front;

use authority::{Authority, EXTERNAL_KEY, Terms};
use front::Front;

/// Where customers believe that they are going.
const MX: &str = "203.0.113.200:25";
const OWN: &str = "relay-1.example.net";

/// A relay that gets its certificate as these lines of `[acme]` say.
fn home(acme: &str, more: &str) -> Home {
    translate();
    Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [\"{RELAY}:2525\"]\nfrom = [\"{CUSTOMER}/32\"]\ndestination = \"so-original-dst\"\n\
             treatment = \"walled\"\n[metrics]\nlisten = \"127.0.0.1:9125\"\n{more}\n\
             [acme]\naccept_terms = true\nlisten = [\"{RELAY}:80\", \"[{RELAY6}]:80\"]\n{acme}"
        ),
    )
}

/// Customers' connections to [`MX`] become connections to the relay.
fn translate() {
    run("ip", &["route", "add", "203.0.113.200/32", "dev", "lo"]);
    let rules = format!(
        "table ip it {{ chain c {{ type nat hook output priority -100; ip saddr {CUSTOMER} ip daddr 203.0.113.200 \
         tcp dport 25 dnat to {RELAY}:2525;\n}}\n}}\n"
    );
    run("nft", &[&rules]);
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; is it installed?"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    output
}

fn mx() -> SocketAddr {
    MX.parse().unwrap()
}

const FROM: &[&str] = &["-bind", "192.0.2.10:0"];

/// What openssl says of the certificate that customers are shown: issuer, serial number, names.
fn shown() -> String {
    let said = handshake(mx(), FROM);
    let mut x509 = Command::new("openssl");
    x509.args([
        "x509",
        "-noout",
        "-serial",
        "-issuer",
        "-ext",
        "subjectAltName",
    ]);
    let mut x509 = x509
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let written = x509.stdin.take().unwrap().write_all(said.as_bytes());
    let output = x509.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether that is one of pebble's.
fn is_pebbles(shown: &str) -> bool {
    shown.contains("issuer=CN = Pebble Intermediate CA")
}

/// Waits until customers are shown one of pebble's that is not this one.
#[track_caller]
fn next_certificate(home: &Home, before: &str) -> String {
    let mut now = String::new();
    let what = format!("another certificate than {before}");
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(&what, || {
            now = shown();
            is_pebbles(&now) && now != before
        });
    }));
    assert!(waited.is_ok(), "{what}: {now}\n{}", home.log());
    now
}

/// What `outgate-relay acme status` says.
fn status(home: &Home) -> Value {
    let output = home
        .command(&[])
        .args(["acme", "status", "--json"])
        .output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Tells the relay that something has changed.
fn hang_up(home: &Home, program: &crate::program::Program) {
    let before = home.log().matches("configuration read again").count();
    program.hang_up();
    wait_until("the configuration to be read again", || {
        home.log().matches("configuration read again").count() > before
    });
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {OWN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A value of the metrics.
fn metric(name: &str) -> u64 {
    let answer = get("127.0.0.1:9125", "/metrics");
    let name = format!("outgate_relay_{name} ");
    let line = answer.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name}: {answer}"))
        .parse()
        .unwrap()
}

#[test]
fn a_certificate_is_got_and_a_running_session_goes_on() {
    namespace::inside("acme-got", || {
        let mut authority = Authority::prepare(Terms::default());
        let domains = format!("domains = [\"{OWN}\", \"bücher.example\"]\n");
        let home = home(&(authority.acme() + &domains), "");
        let program = home.start();
        // The authority is not there yet, so nobody vouches for this one.
        let mut running = TlsSession::open(mx(), FROM);
        let self_signed = shown();
        assert!(self_signed.contains("O = Example Hosting"), "{self_signed}");
        wait_until("the failure", || metric("certificates_failed_total") == 1);
        assert!(metric("certificate_failed_seconds") > 0);
        assert_eq!(status(&home)["certificate"], Value::Null);

        authority.start();
        hang_up(&home, &program);
        let certificate = next_certificate(&home, "");
        let names = format!("DNS:{OWN}, DNS:xn--bcher-kva.example");
        let other = format!("DNS:xn--bcher-kva.example, DNS:{OWN}");
        assert!(
            certificate.contains(&names) || certificate.contains(&other),
            "{certificate}"
        );
        running.expect("NOOP", "250 ");
        running.expect("QUIT", "221 ");
        // Whoever verifies names finds the right one.
        let root = home.path("root.pem");
        fs::write(&root, authority.root()).unwrap();
        let root = root.display().to_string();
        for name in [OWN, "xn--bcher-kva.example"] {
            let options = [FROM, &["-CAfile", &root, "-verify_hostname", name]].concat();
            let said = handshake(mx(), &options);
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        }

        let told = status(&home);
        assert_eq!(told["failure"], Value::Null);
        assert_eq!(told["certificate"]["names"][0], OWN);
        assert!(told["certificate"]["renewal_due"].is_string(), "{told}");
        assert_eq!(metric("certificates_obtained_total"), 1);
        assert_eq!(metric("certificate_failed_seconds"), 0);
        let ends: jiff::Timestamp = told["certificate"]["not_after"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(
            i64::try_from(metric("certificate_expiry_seconds")).unwrap(),
            ends.as_second()
        );
        let kept = home.path("acme.json");
        let mode = fs::metadata(&kept).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The key is there and nowhere else.
        let kept: Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
        let key = kept["certificate"]["key"]
            .as_str()
            .unwrap()
            .lines()
            .nth(1)
            .unwrap();
        assert!(!home.log().contains(key) && !told.to_string().contains(key));
        // Strangers find nothing on the port, and the relay has given up what it was bound with.
        for address in [format!("{RELAY}:80"), format!("[{RELAY6}]:80")] {
            for path in [
                "/",
                "/.well-known/acme-challenge/",
                "/.well-known/acme-challenge/x",
            ] {
                let answer = get(&address, path);
                assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
            }
        }
        let process = fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        assert!(process.contains("CapEff:\t0000000000000000"), "{process}");
        assert!(program.stop().success());
    });
}

#[test]
fn a_renewal_that_fails_leaves_the_old_certificate_also_over_a_restart() {
    namespace::inside("acme-fails", || {
        let terms = Terms {
            life_seconds: 12,
            ..Terms::default()
        };
        let mut authority = Authority::prepare(terms);
        authority.start();
        let home = home(&authority.acme(), "");
        let program = home.start();
        let first = next_certificate(&home, "");
        let account = status(&home)["account"].clone();
        assert!(account.is_string());
        // The name leads to where nobody answers.
        authority.lead(STRANGER);
        let failed = || metric("certificates_failed_total") > 0;
        wait_until("the failed renewal", failed);
        let last = shown();
        assert!(is_pebbles(&last), "{last}");
        let told = status(&home);
        let error = told["failure"]["error"].as_str().unwrap();
        assert!(
            error.contains(OWN) && error.contains("connection"),
            "{told}"
        );
        let at = |key: &str| -> jiff::Timestamp {
            told["failure"][key].as_str().unwrap().parse().unwrap()
        };
        assert!(
            at("next").duration_since(at("at")).as_secs() >= 15 * 60,
            "{told}"
        );
        assert!(program.stop().success());

        let program = home.start();
        assert_eq!(shown(), last);
        assert_eq!(metric("certificates_failed_total"), 0);
        assert_eq!(status(&home), told);
        authority.lead(RELAY);
        hang_up(&home, &program);
        let renewed = next_certificate(&home, &last);
        assert_ne!(renewed, first);
        assert_eq!(status(&home)["account"], account);
        assert!(program.stop().success());
    });
}

#[test]
fn renewal_needs_nobody_even_if_the_authority_has_forgotten_us() {
    namespace::inside("acme-renewed", || {
        let terms = Terms {
            life_seconds: 12,
            external: true,
        };
        let mut authority = Authority::prepare(terms);
        // By IPv6 alone.
        authority.lead6(RELAY6);
        authority.start();
        let key = authority.path("hmac");
        fs::write(&key, EXTERNAL_KEY).unwrap();
        let acme = authority.acme_by_name()
            + &format!(
                "contact = [\"mailto:hostmaster@example.net\"]\nexternal_account = {{ kid = \"kid-1\", hmac_file = {key:?} }}\n"
            );
        let resolver =
            crate::resolver::Resolver::start(&format!("acme.example.net. A {RELAY}\n"), "");
        let home = home(&acme, "[dns]\nservers = [\"127.0.0.1\"]\n");
        let program = home.start();
        let first = next_certificate(&home, "");
        let account = status(&home)["account"].clone();
        // What pebble knows is in its memory.
        authority.stop();
        authority.start();
        let renewed = next_certificate(&home, &first);
        assert_ne!(status(&home)["account"], account);
        assert!(
            home.log().contains("knows the relay's account no more"),
            "{}",
            home.log()
        );
        let again = next_certificate(&home, &renewed);
        assert_ne!(again, first);
        assert!(program.stop().success());
        drop(resolver);
    });
}

#[test]
fn an_authority_is_asked_only_when_it_wants_and_renewed_when_it_says() {
    namespace::inside("acme-wishes", || {
        let terms = Terms {
            life_seconds: 90,
            ..Terms::default()
        };
        let mut authority = Authority::prepare(terms);
        authority.start();
        let front = Front::start(&authority);
        front.turn_away(true);
        let mut home = home(&authority.acme().replace(":14000", ":14001"), "");
        let program = home.start();
        wait_until("the failure", || metric("certificates_failed_total") == 1);
        let told = status(&home);
        assert!(
            told["failure"]["error"]
                .as_str()
                .unwrap()
                .starts_with("rateLimited: "),
            "{told}"
        );
        let at = |key: &str| -> jiff::Timestamp {
            told["failure"][key].as_str().unwrap().parse().unwrap()
        };
        let waits = at("next").duration_since(at("at")).as_secs();
        assert!((7100..=7200).contains(&waits), "{told}");
        // A person's impatience is not the authority's.
        front.turn_away(false);
        hang_up(&home, &program);
        wait_until("the refusal", || {
            home.log().contains("the authority itself wants no request")
        });
        assert_eq!(status(&home), told);
        assert!(program.stop().success());

        // The operator asks for something else. The authority wants that to be renewed long before two thirds of its life.
        home.add_table("domains = [\"relay-1.example.net\", \"other.example.net\"]\n");
        let program = home.start();
        let first = next_certificate(&home, "");
        let renewed = next_certificate(&home, &first);
        assert_ne!(first, renewed);
        assert!(front.replaced() > 0);
        assert!(program.stop().success());
    });
}

#[test]
fn an_authority_for_which_nobody_vouches_is_told_nothing() {
    namespace::inside("acme-unknown", || {
        let mut authority = Authority::prepare(Terms::default());
        authority.start();
        let acme = authority.acme();
        let acme = acme.lines().filter(|line| !line.starts_with("authorities"));
        let home = home(&acme.collect::<Vec<_>>().join("\n"), "");
        let program = home.start();
        wait_until("the failure", || metric("certificates_failed_total") == 1);
        let told = status(&home);
        assert!(
            told["failure"]["error"]
                .as_str()
                .unwrap()
                .contains("UnknownIssuer"),
            "{told}"
        );
        assert_eq!(told["account"], Value::Null);
        assert!(shown().contains("O = Example Hosting"));
        assert!(program.stop().success());
    });
}
