//! Turning the dial while connections are open.

use anyhow::Result;
use lab::{
    Family, Host,
    dialogue::{Dialogue, End, end_of},
    message::Message,
    peers::postfix::Postfix,
    relay::Options,
};

use crate::{MX1, RELAY, connect, flag, greeter, lab_up, start, unflag};

/// Reads the greeting and goes as far as a recipient.
fn halfway(dialogue: &mut Dialogue) -> Result<String> {
    let greeting = dialogue.reply()?;
    dialogue.expect(250, "EHLO client.example.org")?;
    Ok(greeting.text)
}

#[test]
fn a_connection_older_than_its_flag_is_left_to_finish() -> Result<()> {
    let lab = lab_up("ogtgrace")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        let mut older = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert!(halfway(&mut older)?.starts_with(MX1));
        let before = gate.counter("grace")?;
        flag(&gate, family, &[])?;
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, RELAY);
        let message = Message::awkward();
        let reply = older.transaction(&message.content)?;
        assert_eq!(reply.code, 250, "{}", older.transcript());
        assert!(
            mx.delivered(&message.token)?
                .arrived_from(Host::CustomerA.address(family))
        );
        assert!(gate.counter("grace")? > before);
        unflag(&gate, family)?;
    }
    Ok(())
}

#[test]
fn cut_resets_what_is_older_than_the_flag() -> Result<()> {
    let lab = lab_up("ogtcut")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        let mut older = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        halfway(&mut older)?;
        flag(&gate, family, &["--cut"])?;
        let cut = older.command("NOOP").map_err(|error| end_of(&error));
        assert_eq!(cut.unwrap_err(), Some(End::Reset), "{}", older.transcript());
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, RELAY);
        unflag(&gate, family)?;
    }
    Ok(())
}

#[test]
fn a_diverted_connection_outlives_its_flag() -> Result<()> {
    let lab = lab_up("ogtlinger")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let mut diverted = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert!(halfway(&mut diverted)?.starts_with(RELAY));
        unflag(&gate, family)?;
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);
        let message = Message::awkward();
        let reply = diverted.transaction(&message.content)?;
        assert_eq!(reply.code, 250, "{}", diverted.transcript());
        let stored = mx.delivered(&message.token)?;
        assert!(
            stored.relayed_for(Host::CustomerA.address(family)),
            "{}",
            stored.text()
        );
    }
    Ok(())
}
