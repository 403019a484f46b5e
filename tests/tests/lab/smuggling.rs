//! SMTP smuggling: content that one server ends elsewhere than the next one (the sequences of the public scanners).
//!
//! A bystander shows that each real server would be fooled, or not; through the gate none ever is.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    dialogue::{Dialogue, End, end_of},
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
fn nothing_is_smuggled_into_postfix() -> Result<()> {
    let lab = lab_up("ogtsmugpf")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    ensure!(fooled_directly(&lab, mx.maildir())?, "Postfix has learnt");
    check(&lab, mx.maildir())
}

#[test]
fn nothing_is_smuggled_into_exim() -> Result<()> {
    let lab = lab_up("ogtsmugex")?;
    let mx = Exchanger::exim(&lab, Host::Mx1)?;
    check(&lab, mx.maildir())
}

#[test]
fn nothing_is_smuggled_into_opensmtpd() -> Result<()> {
    let lab = lab_up("ogtsmugos")?;
    let mx = Exchanger::opensmtpd(&lab, Host::Mx1)?;
    ensure!(fooled_directly(&lab, mx.maildir())?, "OpenSMTPD has learnt");
    check(&lab, mx.maildir())
}

/// Ends of data that are none. Whoever takes one for the end reads the rest as commands.
const SEQUENCES: [&[u8]; 13] = [
    b"\n.\n",
    b"\n.\r",
    b"\n.\r\n",
    b"\r.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\n\n.\r\n",
];

/// Whether the server takes one of them for an end, from somebody who speaks to it directly.
fn fooled_directly(lab: &Lab, mx: &Maildir) -> Result<bool> {
    let mut dialogue = connect(lab, Host::CustomerB, Host::Mx1, Family::V4)?;
    dialogue.reply()?;
    dialogue.begin_data()?;
    dialogue.send_octets(b"Subject: direct\r\n\r\nhonest\r\n.\n")?;
    let fooled = dialogue.reply()?.code == 250;
    mx.delivered("Subject: direct")?;
    Ok(fooled)
}

fn check(lab: &Lab, mx: &Maildir) -> Result<()> {
    let (gate, _relay) = start(lab, &Options::default())?;
    let before = mx.all()?.len();
    let mut taken = 0;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        for (number, sequence) in SEQUENCES.iter().enumerate() {
            let shown = sequence.escape_ascii();
            let mut dialogue = connect(lab, Host::CustomerA, Host::Mx1, family)?;
            ensure!(dialogue.reply()?.text.starts_with(crate::RELAY));
            let token = format!("{}-{number}", family.name());
            smuggle(&mut dialogue, sequence, &token).with_context(|| shown.to_string())?;
            let reply = dialogue.reply().with_context(|| shown.to_string())?;
            if sequence.contains(&0) {
                // NUL is content; the line that it is in ends nothing, and the destination says what it makes of it.
                taken += usize::from(reply.code == 250);
                continue;
            }
            assert_eq!(reply.code, 554, "{shown}: {}", dialogue.transcript());
            assert!(reply.text.starts_with("5.6.0 bare "), "{shown}: {reply:?}");
            let closed = dialogue.reply().expect_err("the session goes on");
            let end = end_of(&closed);
            assert!(
                matches!(end, Some(End::Closed | End::Reset)),
                "{shown}: {closed:#}"
            );
        }
        taken += 1;
        chunk(lab, family)?;
    }
    // What was sent before it would have come before it.
    let last = Message::awkward();
    Submission {
        from: Host::CustomerA,
        to: exchanger(Host::Mx1, Family::V4),
        message: &last,
        tls: true,
    }
    .send(lab)?
    .accepted()?;
    mx.delivered(&last.token)?;
    for family in Family::ALL {
        // What would have been commands is in the message that it was sent in.
        let stored = mx.delivered(&format!("Subject: chunk-{}", family.name()))?;
        assert!(stored.holds("Subject: smuggled-chunk"), "{}", stored.text());
    }
    lab::wait::until("what was taken to be delivered", crate::PATIENCE, || {
        Ok((mx.all()?.len() > before + taken).then_some(()))
    })?;
    assert_eq!(mx.all()?.len(), before + taken + 1);
    Ok(())
}

/// A message in a chunk (RFC 3030), where an end of data is content: the destination may be told by DATA.
fn chunk(lab: &Lab, family: Family) -> Result<()> {
    let mut dialogue = connect(lab, Host::CustomerA, Host::Mx1, family)?;
    dialogue.reply()?;
    let offer = dialogue.expect(250, "EHLO client.example.org")?;
    ensure!(offer.text.contains("CHUNKING"), "{offer:?}");
    let name = family.name();
    for (sequence, code) in [("\r\n.\r\n", 250), ("\n.\n", 554)] {
        dialogue.expect(250, "MAIL FROM:<sender@example.org>")?;
        dialogue.expect(250, "RCPT TO:<recipient@example.net>")?;
        let message = format!(
            "Subject: chunk-{name}\r\n\r\nhonest{sequence}{}",
            second("chunk")
        );
        dialogue.send_octets(format!("BDAT {} LAST\r\n{message}", message.len()).as_bytes())?;
        let reply = dialogue.reply()?;
        assert_eq!(reply.code, code, "{}", dialogue.transcript());
    }
    Ok(())
}

/// One message, a sequence, and a second message that is one only to who takes the sequence for an end.
fn smuggle(dialogue: &mut Dialogue, sequence: &[u8], token: &str) -> Result<()> {
    dialogue.begin_data()?;
    let message = format!("Subject: honest-{token}\r\n\r\nhonest");
    let smuggled = second(token);
    dialogue.send_octets(&[message.as_bytes(), sequence, smuggled.as_bytes()].concat())
}

/// A second message, for who reads it as one.
fn second(token: &str) -> String {
    format!(
        "MAIL FROM:<smuggled@example.org>\r\nRCPT TO:<recipient@example.net>\r\nDATA\r\n\
         Subject: smuggled-{token}\r\n\r\nsmuggled\r\n.\r\n"
    )
}
