//! The relay serves what the gate diverted, and nobody else.

use anyhow::Result;
use lab::{
    Family, Host,
    dialogue::{Dialogue, End, Reply, any_port, end_of},
    gate::RELAY_PORT,
    relay::Options,
};

use crate::{PATIENCE, flag, lab_up, start};

#[test]
fn who_comes_to_the_relay_undiverted_is_refused() -> Result<()> {
    let lab = lab_up("ogtorigin")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    // Addresses of a customer prefix, on the relay's own host: a connection from a customer that
    // comes without a flow entry, as after a race or through another edge.
    let strays = ["192.0.2.66", "2001:db8:a:66::1"];
    for (family, stray) in Family::ALL.into_iter().zip(strays) {
        let stray = stray.parse()?;
        lab.add_address(Host::Relay, stray)?;
        let greeting = |from: Host, own| -> Result<Reply> {
            let to = (Host::Relay.address(family), RELAY_PORT).into();
            Dialogue::open(&lab.namespace(from), any_port(own), to, PATIENCE)?.reply()
        };
        let inside = greeting(Host::Relay, stray)?;
        assert_eq!(inside.code, 421, "{inside:?}");
        assert!(inside.text.starts_with("4.3.2 "), "{inside:?}");
        let outside = greeting(Host::Mx1, Host::Mx1.address(family))?;
        assert_eq!(outside.code, 554, "{outside:?}");
        assert!(outside.text.starts_with("5.7.1 "), "{outside:?}");

        // Through the edge a customer does not even get that far: what a relay says to a customer
        // outside of a diverted connection stays at the edge, flag or no flag.
        flag(&gate, family, &[])?;
        for customer in [Host::CustomerA, Host::CustomerB] {
            let before = gate.counter("reply_without_entry")?;
            let attempt = greeting(customer, customer.address(family));
            assert_eq!(
                attempt.map_err(|error| end_of(&error)).unwrap_err(),
                Some(End::Silence)
            );
            assert!(gate.counter("reply_without_entry")? > before);
        }
    }
    Ok(())
}

#[test]
fn a_health_check_gets_a_banner_and_nothing_more() -> Result<()> {
    let lab = lab_up("ogtprobe")?;
    let (_gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        let to = (Host::Relay.address(family), RELAY_PORT).into();
        let own = (Host::Edge.address(family), 0).into();
        let mut dialogue = Dialogue::open(&lab.namespace(Host::Edge), own, to, PATIENCE)?;
        assert_eq!(dialogue.reply()?.code, 220, "{}", dialogue.transcript());
        dialogue.expect(554, "EHLO edge.example.net")?;
        let mut dialogue = Dialogue::open(&lab.namespace(Host::Edge), own, to, PATIENCE)?;
        dialogue.reply()?;
        dialogue.expect(250, "NOOP")?;
        dialogue.expect(221, "QUIT")?;
    }
    Ok(())
}
