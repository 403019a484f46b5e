//! Customers' programs that nobody here wrote, beside swaks and Postfix, which other tests have.

use anyhow::{Context as _, Result};
use lab::{
    Family, Host,
    message::Message,
    peers::{client::Client, postfix::Postfix, swaks::exchanger},
    relay::Options,
};

use crate::{flag, lab_up, start};

#[test]
fn programs_and_libraries_that_send_mail_get_through_the_redirect() -> Result<()> {
    let lab = lab_up("ogtclients")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        for client in Client::ALL {
            let message = Message::awkward();
            let to = exchanger(Host::Mx1, family);
            client
                .send(&lab, Host::CustomerA, to, &message)
                .with_context(|| family.name())?;
            let stored = mx.delivered(&message.token)?;
            assert_eq!(stored.preserves(&message), Ok(()), "{client:?}");
            let text = stored.text();
            assert!(stored.arrived_by_tls(), "{client:?}: {text}");
            // Each insisted on STARTTLS, and it was the relay that it spoke to.
            assert!(
                stored.relayed_for(Host::CustomerA.address(family)),
                "{client:?}: {text}"
            );
            let relays = stored.received().into_iter().nth(1).unwrap_or_default();
            let wanted = match client {
                Client::SmtplibUtf8 => "with UTF8SMTPS ",
                Client::Msmtp
                | Client::Smtplib
                | Client::SmtplibEightBit
                | Client::SmtplibPipelined
                | Client::Nodemailer => "with ESMTPS ",
            };
            assert!(relays.contains(wanted), "{client:?}: {relays}");
        }
    }
    assert_eq!(mx.mailbox()?.len(), 2 * Client::ALL.len());
    Ok(())
}
