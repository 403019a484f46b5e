//! From a delivered message, or what a complaint makes of it, back to the customer.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::flows::PinDirectory;
use crate::namespace::{self, CUSTOMER, MX, RELAY};
use crate::program::Home;
use crate::sink::Sink;
use crate::steer::{at, mail, snapshot};

/// What the program says about a complaint, and its exit code.
fn resolve(home: &Home, complaint: &[u8], more: &[&str]) -> (Option<i32>, String, String) {
    let mut child = home
        .command(&[])
        .args(["token", "resolve", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(complaint).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn a_complaint_leads_to_the_customer_and_to_nobody_without_the_keys() {
    namespace::inside("token", || {
        let pins = PinDirectory::create("token");
        let home = Home::new(&pins.0);
        let mut flows = pins.pin_flows();
        let policy = snapshot(contract::Egress::Pool);
        relay::snapshot::cache::store(&home.path("snapshot.json"), &policy).unwrap();
        let program = home.start();
        let sink = Sink::at(at(MX, 25), &[]);
        flows.insert(at(CUSTOMER, 40_001), at(RELAY, 2525), MX.parse().unwrap());
        let from = ["--local-interface", CUSTOMER, "--local-port", "40001"];
        mail(at(RELAY, 2525), &from).assert_accepted();
        let taken = sink.only();
        let message = String::from_utf8(taken.message.clone()).unwrap();
        let (_, id) = taken.trace().rsplit_once("X-Outgate-Id: ").unwrap();

        // The relay runs, and is not asked.
        let (code, told, _) = resolve(&home, message.as_bytes(), &["-j"]);
        assert_eq!(code, Some(0), "{told}");
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told[0]["customer"], CUSTOMER);
        assert_eq!(told[0]["flag"], 1);
        assert_eq!(told[0]["treatment"], "filter");
        assert_eq!(told[0]["id"], id.trim_end());
        assert!(program.stop().success(), "{}", home.log());
        assert!(home.log().contains(id.trim_end()), "{}", home.log());

        // Nor does it have to; and people quote.
        let quoted: String = message.lines().map(|line| format!("> {line}\n")).collect();
        let (code, told, _) = resolve(&home, quoted.as_bytes(), &[]);
        assert_eq!(code, Some(0));
        assert!(told.contains(&format!("CUSTOMER   {CUSTOMER}\n")), "{told}");

        let (code, _, error) = resolve(&home, b"Subject: unsubscribe\n\nstop it\n", &[]);
        assert_eq!(code, Some(1));
        assert!(error.contains("no X-Outgate-Token is in it"), "{error}");

        // Whoever has not the keys has nothing.
        std::fs::remove_file(home.path("token.keys")).unwrap();
        let (code, told, error) = resolve(&home, message.as_bytes(), &[]);
        assert_eq!((code, &*told), (Some(2), ""));
        assert!(error.contains("another relay's, or too old"), "{error}");
        let help = Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
            .args(["token", "--help"])
            .output()
            .unwrap();
        assert!(
            String::from_utf8(help.stdout)
                .unwrap()
                .contains("complaint.eml")
        );
    });
}
