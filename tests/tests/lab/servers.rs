//! Destinations that nobody here wrote, beside Postfix, which most tests have.

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    dialogue::Reply,
    message::Message,
    peers::{
        exchanger::Exchanger,
        maildir::Maildir,
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    relay::Options,
};

use crate::{connect, flag, lab_up, start};

#[test]
fn exim_takes_what_was_sent_and_is_heard() -> Result<()> {
    let lab = lab_up("ogtexim")?;
    let mx = Exchanger::exim(&lab, Host::Mx1)?;
    check(
        &lab,
        mx.maildir(),
        true,
        "550 no relaying to example.com, says mx1",
    )
}

#[test]
fn opensmtpd_takes_what_was_sent_and_is_heard() -> Result<()> {
    let lab = lab_up("ogtopensmtpd")?;
    let mx = Exchanger::opensmtpd(&lab, Host::Mx1)?;
    check(
        &lab,
        mx.maildir(),
        false,
        "550 Invalid recipient: <stranger@example.com>",
    )
}

#[test]
fn postfix_takes_what_was_sent_and_is_heard() -> Result<()> {
    let lab = lab_up("ogtpostfix")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let words = "554 5.7.1 <stranger@example.com>: Relay access denied";
    check(&lab, mx.maildir(), true, words)
}

/// Mail of a diverted customer arrives as it was sent, and who is refused hears the server's own words.
fn check(lab: &Lab, mx: &Maildir, starttls: bool, refusal: &str) -> Result<()> {
    let (gate, _relay) = start(lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        for tls in [true, false] {
            let message = Message::awkward();
            Submission {
                from: Host::CustomerA,
                to: exchanger(Host::Mx1, family),
                message: &message,
                tls,
            }
            .send(lab)?
            .accepted()?;
            let stored = mx.delivered(&message.token)?;
            assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
            assert_eq!(stored.arrived_by_tls(), starttls, "{}", stored.text());
            assert!(
                stored.arrived_from(Host::Relay.address(family)),
                "{}",
                stored.text()
            );
            assert!(
                stored.relayed_for(Host::CustomerA.address(family)),
                "{}",
                stored.text()
            );
        }
        // A bystander speaks to the server itself.
        let direct = to_a_stranger(lab, Host::CustomerB, family)?;
        assert_eq!(format!("{} {}", direct.code, direct.text), refusal);
        let heard = to_a_stranger(lab, Host::CustomerA, family)?;
        // Whoever is offered ENHANCEDSTATUSCODES is owed a code (RFC 2034 section 3): where the server gave none, one
        // that says no more than the reply's first digit stands before its words.
        let words = heard.text.strip_prefix("5.0.0 ").unwrap_or(&heard.text);
        assert_eq!((heard.code, words), (direct.code, direct.text.as_str()));
    }
    assert_eq!(mx.all()?.len(), 4);
    Ok(())
}

/// What is said to a recipient whom the server does not serve.
fn to_a_stranger(lab: &Lab, from: Host, family: Family) -> Result<Reply> {
    let mut dialogue = connect(lab, from, Host::Mx1, family)?;
    dialogue.reply()?;
    dialogue.expect(250, "EHLO client.example.org")?;
    dialogue.expect(250, "MAIL FROM:<sender@example.org>")?;
    dialogue.command("RCPT TO:<stranger@example.com>")
}
