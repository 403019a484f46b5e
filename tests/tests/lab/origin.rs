//! The relay serves what the gate diverted, and nobody else.

use anyhow::Result;
use lab::{Family, Host, dialogue::Dialogue, gate::RELAY_PORT, relay::Options};

use crate::{PATIENCE, lab_up, start};

#[test]
fn who_comes_to_the_relay_by_himself_is_refused() -> Result<()> {
    let lab = lab_up("ogtorigin")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        // Not even a flagged customer: the connection did not come by the gate.
        crate::flag(&gate, family, &[])?;
        for (from, code, enhanced) in [
            (Host::CustomerA, 421, "4.3.2 "),
            (Host::CustomerB, 421, "4.3.2 "),
            (Host::Mx1, 554, "5.7.1 "),
        ] {
            let to = (Host::Relay.address(family), RELAY_PORT).into();
            let own = (from.address(family), 0).into();
            let mut dialogue = Dialogue::open(&lab.namespace(from), own, to, PATIENCE)?;
            let greeting = dialogue.reply()?;
            assert_eq!(greeting.code, code, "{from:?}: {}", dialogue.transcript());
            assert!(
                greeting.text.starts_with(enhanced),
                "{from:?}: {}",
                dialogue.transcript()
            );
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
