//! The relay's own certificate from pebble, an authority for tests, by its real challenges.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::host::wait_until;
use crate::namespace::{self, RELAY, RELAY6, STRANGER};
use crate::openssl::{TlsSession, handshake};

mod authority;
mod front;
mod scene;

use authority::{Authority, EXTERNAL_KEY, Terms};
use front::Front;
use scene::{
    FROM, OWN, get, hang_up, home, is_pebbles, metric, mx, next_certificate, shown, status,
};

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
        let certificate = next_certificate("");
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
        // The keys are there and nowhere else.
        let kept: Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
        let key = kept["certificate"]["key"].as_str().unwrap();
        let account = kept["account"]["credentials"]["key_pkcs8"]
            .as_str()
            .unwrap();
        for secret in [key.lines().nth(1).unwrap(), account] {
            assert!(!home.log().contains(secret) && !told.to_string().contains(secret));
        }
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
        // Which names they are is decided at the start.
        let file = home.path("relay.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("bücher.example", "other.example")).unwrap();
        hang_up(&home, &program);
        wait_until("what stays", || home.log().contains("keys=\"acme\""));
        assert_eq!(shown(), certificate);
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
        let first = next_certificate("");
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
        let renewed = next_certificate(&last);
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
        let first = next_certificate("");
        let account = status(&home)["account"].clone();
        // What pebble knows is in its memory.
        authority.stop();
        authority.start();
        // In case the renewal fell between the two.
        hang_up(&home, &program);
        let renewed = next_certificate(&first);
        assert_ne!(status(&home)["account"], account);
        assert!(
            home.log().contains("knows the relay's account no more"),
            "{}",
            home.log()
        );
        let again = next_certificate(&renewed);
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
        let first = next_certificate("");
        let renewed = next_certificate(&first);
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
