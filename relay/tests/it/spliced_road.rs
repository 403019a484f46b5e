//! Spliced sessions on a road of real links: from the customer's own address, IPv4 and IPv6.

use contract::{Egress, Treatment};

use crate::host::wait_until;
use crate::namespace::{CUSTOMER, CUSTOMER6, MX, MX6};
use crate::postfix::Postfix;
use crate::program::Home;
use crate::road::{Place, Road};
use crate::steer::{at, snapshot};
use crate::swaks::send;

#[test]
fn a_steered_session_is_spliced_from_the_customers_own_address() {
    let road = Road::build("splice");
    let home = Home::steered();
    let mut snapshot = snapshot(Egress::Customer);
    for policy in &mut snapshot.customers {
        policy.treatment = Treatment::Opaque;
    }
    relay::snapshot::cache::store(&home.path("snapshot.json"), &snapshot).unwrap();
    let postfix = road.inside(Place::Mx, || Postfix::at(at(MX, 25), Some(at(MX6, 25))));
    let program = road.inside(Place::Relay, || home.start());
    // More than the buffers on the way hold at once.
    let body = "0123456789abcdef\r\n".repeat(50_000);
    let content = format!("Subject: from end to end\r\n\r\n{body}");
    for (customer, mx) in [(CUSTOMER, MX), (CUSTOMER6, MX6)] {
        let options = ["-tls", "--local-interface", customer];
        let sent = road.inside(Place::Customer, || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(send(at(mx, 25), content.as_bytes(), &options))
        });
        sent.assert_accepted();
        sent.assert_heard("TLS peer DN=\"/CN=mx.example\"");
        wait_until("the delivery", || {
            let delivered = postfix.delivered();
            delivered.iter().any(|message| message.contains(customer))
        });
    }
    for delivered in postfix.delivered() {
        assert!(delivered.contains(&body.replace("\r\n", "\n")));
        assert!(!delivered.contains("X-Outgate-Id"));
    }
    assert!(program.stop().success(), "{}", home.log());
    let log = home.log();
    let ends = |how: &str| log.matches(how).count();
    assert_eq!(ends("spliced session ended why=\"opaque\""), 2, "{log}");
    // swaks resets a connection that it closes before it has read the destination's last octets.
    let by_the_customer = ends("end=\"closed\"") + ends("end=\"customer lost\"");
    assert_eq!(by_the_customer, 2, "{log}");
}
