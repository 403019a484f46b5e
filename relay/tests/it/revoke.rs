//! `outgate-relay learnt` beside the running program, and what that program says of spliced sessions.

use std::net::{IpAddr, SocketAddr};
use std::process::Output;

use crate::flows::{FlowTable, PinDirectory};
use crate::host::wait_until;
use crate::namespace::{self, CUSTOMER, CUSTOMER6, MX, MX6, RELAY, RELAY6};
use crate::postfix::Postfix;
use crate::program::Home;
use crate::swaks::{Transcript, send};

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// A customer that sends only to who has the certificate in `trusted`.
struct Verifying<'a> {
    flows: FlowTable,
    trusted: &'a str,
    port: u16,
}

impl Verifying<'_> {
    fn mail(&mut self, customer: &str, relay: &str, mx: &str) -> Transcript {
        self.port += 1;
        let mx: IpAddr = mx.parse().unwrap();
        let relay = at(relay, 2525);
        self.flows.insert(at(customer, self.port), relay, mx);
        let port = self.port.to_string();
        let mut options = vec!["--local-interface", customer, "--local-port", &port];
        options.extend(["-tls", "--tls-verify", "--tls-ca-path", self.trusted]);
        if customer.contains(':') {
            options.push("-6");
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(send(relay, b"Subject: x\r\n\r\nx\r\n", &options))
    }
}

fn learnt(home: &Home, words: &[&str]) -> (Option<i32>, String) {
    let mut command = home.command(&[]);
    let Output { status, stdout, .. } = command.arg("learnt").args(words).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn what_the_program_has_learnt_is_shown_and_taken_back_while_it_runs() {
    namespace::inside("revoke", || {
        let pins = PinDirectory::create("revoke");
        let home = Home::new(&pins.0);
        let postfix = Postfix::at(at(MX, 25), Some(at(MX6, 25)));
        let mut snapshot = crate::gate::snapshot();
        let policy = snapshot.customers.remove(0);
        snapshot.customers = [format!("{CUSTOMER}/32"), format!("{CUSTOMER6}/128")]
            .map(|prefix| contract::CustomerPolicy {
                prefix: prefix.parse().unwrap(),
                ..policy.clone()
            })
            .into();
        relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot).unwrap();
        let trusted = postfix.certificate().display().to_string();
        let mut customer = Verifying {
            flows: pins.pin_flows(),
            trusted: &trusted,
            port: 40_000,
        };
        assert_eq!(learnt(&home, &["revoke", CUSTOMER]).0, Some(2));

        let program = home.start();
        let roads = [(CUSTOMER, RELAY, MX), (CUSTOMER6, RELAY6, MX6)];
        for (delivered, (address, relay, mx)) in roads.into_iter().enumerate() {
            let deferred = customer.mail(address, relay, mx);
            deferred.assert_heard("TLS startup failed");
            wait_until("what is learnt", || learnt(&home, &["ls"]).1.contains(mx));
            customer.mail(address, relay, mx).assert_accepted();
            wait_until("the delivery", || {
                postfix.delivered().len() == delivered + 1
            });
        }
        // One line of metadata for each, and the rest is the customer's own business.
        wait_until("the events", || {
            home.log().matches("spliced session ended").count() == 2
        });
        let log = home.log();
        let event = log.lines().find(|line| line.contains("spliced session"));
        for field in [
            "why=\"verifies\"",
            "octets.up=",
            "octets.down=",
            "elapsed_ms=",
            "customer.addr=192.0.2.10",
            "original.dst=203.0.113.10:25",
        ] {
            assert!(event.unwrap().contains(field), "{field}: {event:?}");
        }
        // swaks closes after QUIT. If the destination's last record is in its buffer by then, that is a reset, and
        // told as one; which end is which is tested with sockets that can wait.
        let ends = ["end=\"closed\"", "end=\"customer lost\""];
        assert!(
            ends.iter().any(|end| event.unwrap().contains(end)),
            "{event:?}"
        );

        // The program keeps what it knows, and hears of what a person does.
        assert!(program.stop().success(), "{}", home.log());
        let program = home.start();
        customer.mail(CUSTOMER, RELAY, MX).assert_accepted();
        let (code, told) = learnt(&home, &["revoke", CUSTOMER6]);
        let expected = "2001:db8:a:a::/64 [2001:db8:b:1::10]:25: revoked\n";
        assert_eq!((code, told.as_str()), (Some(0), expected));
        assert_eq!(learnt(&home, &["revoke", CUSTOMER6, MX6]).0, Some(2));
        for _ in 0..2 {
            let deferred = customer.mail(CUSTOMER6, RELAY6, MX6);
            deferred.assert_heard("TLS startup failed");
        }
        customer.mail(CUSTOMER, RELAY, MX).assert_accepted();

        let (_, listed) = learnt(&home, &["ls"]);
        let states: Vec<Vec<&str>> = listed
            .lines()
            .map(|line| line.split_whitespace().take(3).collect())
            .collect();
        let expected = [
            ["CUSTOMER", "DESTINATION", "STATE"],
            ["192.0.2.10", "203.0.113.10:25", "verifies"],
            ["2001:db8:a:a::/64", "[2001:db8:b:1::10]:25", "revoked"],
        ];
        assert_eq!(states, expected);
        let (_, json) = learnt(&home, &["ls", "-j"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[1]["customer"], "2001:db8:a:a::/64");
        assert_eq!(json[1]["state"], "revoked");
        assert!(program.stop().success(), "{}", home.log());
    });
}
