//! Customers' servers that verify whom they speak to: they would defer for ever on the relay's own certificate.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    message::Message,
    peers::{postfix::Postfix, resolver::Resolver},
    relay::Options,
    wait::until,
};

use crate::{flag, lab_up, start, unflag};

#[test]
fn a_sender_with_dane_delivers_to_its_destinations_own_certificate() -> Result<()> {
    let scene = Scene::set("ogtdane")?;
    let (gate, _relay) = start(&scene.lab, &Options::default())?;
    for family in Family::ALL {
        // Nobody is in between: the certificate is the one that the signed zone names.
        let message = scene.hand(family)?;
        scene.mx.delivered(&message.token)?;
        assert_eq!(scene.verified(family), 1, "{}", scene.sender.log());

        // The relay shows its own, honestly named, and learns from how the sender turns away. The sender's next try
        // goes through untouched.
        flag(&gate, family, &[])?;
        let message = scene.hand(family)?;
        scene.turned_away(family)?;
        let stored = scene.mx.delivered(&message.token)?;
        assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
        assert!(stored.arrived_by_tls(), "{}", stored.text());
        assert!(stored.outgate_id().is_none(), "{}", stored.text());
        assert_eq!(scene.verified(family), 2, "{}", scene.sender.log());
        // Over the relay all the same: the policy is in force.
        let relay = Host::Relay.address(family);
        assert!(stored.arrived_from(relay), "{}", stored.text());

        // What has been learnt holds for the next message at once.
        let message = scene.hand(family)?;
        scene.mx.delivered(&message.token)?;
        assert_eq!(scene.verified(family), 3, "{}", scene.sender.log());
        assert_eq!(scene.times_turned_away(family), 1);
        unflag(&gate, family)?;
    }
    Ok(())
}

#[test]
fn a_confirmed_customer_verifies_in_vain() -> Result<()> {
    let scene = Scene::set("ogtdanesure")?;
    let (gate, _relay) = start(&scene.lab, &Options::default())?;
    flag(&gate, Family::V4, &["--confirmed"])?;
    let message = scene.hand(Family::V4)?;
    // The sender tries every three seconds, and nothing is learnt from it.
    until("the sender to try again", Duration::from_secs(60), || {
        Ok((scene.times_turned_away(Family::V4) >= 3).then_some(()))
    })?;
    assert!(scene.mx.find(&message.token)?.is_none());
    assert_eq!(scene.verified(Family::V4), 0);
    Ok(())
}

#[test]
fn opaque_is_end_to_end_from_the_first_connection() -> Result<()> {
    let scene = Scene::set("ogtdaneend")?;
    let (gate, _relay) = start(&scene.lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &["--treatment", "opaque"])?;
        let message = scene.hand(family)?;
        let stored = scene.mx.delivered(&message.token)?;
        assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
        assert!(stored.outgate_id().is_none(), "{}", stored.text());
        assert_eq!(scene.verified(family), 1, "{}", scene.sender.log());
        assert_eq!(scene.times_turned_away(family), 0);
    }
    Ok(())
}

/// A customer's Postfix that asks a validating resolver, and the exchanger that the signed zone is about.
struct Scene {
    // In the order in which they end.
    sender: Postfix,
    mx: Postfix,
    _resolver: Resolver,
    lab: Lab,
}

impl Scene {
    fn set(prefix: &str) -> Result<Self> {
        let lab = lab_up(prefix)?;
        let mx = Postfix::start(&lab, Host::Mx1)?;
        let resolver = Resolver::start(&lab, Host::CustomerA, Host::Mx1)?;
        let sender = Postfix::start_verifier(&lab, Host::CustomerA, &resolver)?;
        Ok(Self {
            sender,
            mx,
            _resolver: resolver,
            lab,
        })
    }

    /// Gives the sender a message for the exchanger's address of that family.
    fn hand(&self, family: Family) -> Result<Message> {
        let recipient = match family {
            Family::V4 => "recipient@v4.example.net",
            Family::V6 => "recipient@v6.example.net",
        };
        let message = Message::awkward();
        self.sender.hand(&self.lab, recipient, &message.content)?;
        Ok(message)
    }

    /// How many handshakes the sender ended by verifying the exchanger's certificate by its TLSA record.
    fn verified(&self, family: Family) -> usize {
        let line = format!(
            "Verified TLS connection established to {}",
            exchanger(family)
        );
        self.logged(|log| log.contains(&line))
    }

    /// How many messages it deferred because the certificate was another's.
    fn times_turned_away(&self, family: Family) -> usize {
        self.logged(|log| {
            log.contains("status=deferred")
                && log.contains(exchanger(family))
                && log.contains("Server certificate not")
        })
    }

    fn turned_away(&self, family: Family) -> Result<()> {
        until("the sender to turn away", Duration::from_secs(15), || {
            Ok((self.times_turned_away(family) > 0).then_some(()))
        })
    }

    fn logged(&self, is_one: impl Fn(&str) -> bool) -> usize {
        self.sender.log().lines().filter(|log| is_one(log)).count()
    }
}

fn exchanger(family: Family) -> &'static str {
    match family {
        Family::V4 => "mx-v4.example.net[",
        Family::V6 => "mx-v6.example.net[",
    }
}
