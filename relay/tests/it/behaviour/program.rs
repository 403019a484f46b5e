//! The real program: what it shows of its customers, whom it locks, and what it remembers.

use std::process::{Command, Output};

use relay::behaviour::shapes::{CustomerShown, HourShown};
use serde_json::Value;

use crate::namespace::{self, CUSTOMER, CUSTOMER6, RELAY, RELAY6};
use crate::program::Home;
use crate::steer::{at, mail_of};
use crate::swaks::Transcript;

const NEIGHBOUR6: &str = "2001:db8:a:a:ffff::77";
const MESSAGE: &[u8] = b"X-Site: bad\r\nSubject: x\r\n\r\nx\r\n";

fn home() -> Home {
    let mut home = Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [\"{RELAY}:2526\", \"[{RELAY6}]:2526\"]\n\
             from = [\"{CUSTOMER}/32\", \"2001:db8:a:a::/64\"]\ndestination = \"mx\"\ndelivery = \"queue\"\n"
        ),
    );
    let spool = home.path("spool");
    home.add_table(&format!(
        "[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n\
         [[route]]\ndomain = \"*\"\nto = [\"192.0.2.1\"]\n\
         [behaviour.limits]\nmessages_per_day = 4\n\
         [[identity]]\nby = \"header\"\nheader = \"X-Site\"\n"
    ));
    home
}

fn from(customer: &str) -> Transcript {
    let relay = if customer.contains(':') {
        RELAY6
    } else {
        RELAY
    };
    mail_of(MESSAGE, at(relay, 2526), &["--local-interface", customer])
}

fn ask(home: &Home, words: &[&str], code: i32) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = home.command(&[]).args(words).output().unwrap();
    let said = String::from_utf8(stdout).unwrap();
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{words:?}: {said}{error}");
    said + &error
}

#[test]
fn a_64_shares_its_limits_and_people_see_and_lock() {
    namespace::inside("behave", || {
        let neighbour = format!("{NEIGHBOUR6}/128");
        let add = ["address", "add", &neighbour, "dev", "lo", "nodad"];
        let done = Command::new("ip").args(add).status().unwrap();
        assert!(done.success());
        let home = home();
        let program = home.start();
        for customer in [CUSTOMER6, NEIGHBOUR6, CUSTOMER6, NEIGHBOUR6, CUSTOMER] {
            from(customer).assert_heard("250 2.0.0 queued as ");
        }
        let limit = "451 4.7.1 2001:db8:a:a::/64 sent more than 4 messages in a day (limit messages_per_day)";
        from(CUSTOMER6).assert_heard(limit);
        from(NEIGHBOUR6).assert_heard(limit);

        let busiest: Vec<HourShown> =
            serde_json::from_str(&ask(&home, &["behaviour", "-j"], 0)).unwrap();
        let messages: Vec<_> = busiest
            .iter()
            .map(|hour| (hour.customer.as_str(), hour.messages, hour.limited))
            .collect();
        assert_eq!(messages, [("2001:db8:a:a::/64", 4, 2), (CUSTOMER, 1, 0)]);
        let table = ask(&home, &["behaviour"], 0);
        assert!(table.starts_with("CUSTOMER "), "{table}");
        let one = ask(&home, &["behaviour", NEIGHBOUR6], 0);
        let words = one.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        for figure in ["messages 4", "messages_per_day 4 4", "bad 4 4"] {
            assert!(words.contains(figure), "{figure} is not in\n{one}");
        }
        ask(&home, &["behaviour", "192.0.2.99"], 2);
        let error = ask(&home, &["behaviour", "example.org"], 1);
        assert!(error.contains("not a customer, as 192.0.2.10"), "{error}");

        let reason = "spam, ticket 4711";
        let of = ["--customer", CUSTOMER, "--reason", reason, "--for", "7d"];
        ask(&home, &[&["identity", "lock", "bad"][..], &of].concat(), 0);
        from(CUSTOMER).assert_heard(
            "550 5.7.1 identity bad on 192.0.2.10 is locked: spam, ticket 4711; see ",
        );
        let locks: Value = serde_json::from_str(&ask(&home, &["identity", "ls", "-j"], 0)).unwrap();
        assert_eq!(
            (&locks[0]["identity"], &locks[0]["reason"]),
            (&"bad".into(), &reason.into())
        );

        // What was used up, and who is locked, is so after a restart.
        assert!(program.stop().success(), "{}", home.log());
        let error = ask(&home, &["identity", "ls"], 1);
        assert!(error.contains("no relay answers"), "{error}");
        let program = home.start();
        from(CUSTOMER6).assert_heard(limit);
        from(CUSTOMER).assert_heard("550 5.7.1 identity bad");
        let unlock = ["identity", "unlock", "bad", "--customer", CUSTOMER];
        ask(&home, &unlock, 0);
        ask(&home, &unlock, 2);
        from(CUSTOMER).assert_heard("250 2.0.0 queued as ");
        let shown: CustomerShown =
            serde_json::from_str(&ask(&home, &["behaviour", CUSTOMER, "-j"], 0)).unwrap();
        assert_eq!(shown.identities.len(), 1, "{shown:?}");
        assert!(program.stop().success(), "{}", home.log());
    });
}

#[test]
fn a_relay_without_a_queue_is_asked_at_the_same_door() {
    namespace::inside("behavedoor", || {
        let home = Home::authorised(
            false,
            &format!(
                "[[authorised]]\nlisten = [\"{RELAY}:2526\"]\nfrom = [\"{CUSTOMER}/32\"]\n\
                 destination = \"so-original-dst\"\n"
            ),
        );
        let program = home.start();
        let nobody = ask(&home, &["behaviour"], 0);
        assert!(nobody.contains("no customer did anything"), "{nobody}");
        ask(&home, &["identity", "lock", "bad", "--reason", "spam"], 0);
        assert!(ask(&home, &["identity", "ls"], 0).contains("bad"));
        let error = ask(&home, &["queue", "ls"], 1);
        assert!(error.contains("no queue"), "{error}");
        assert!(program.stop().success(), "{}", home.log());
    });
}
