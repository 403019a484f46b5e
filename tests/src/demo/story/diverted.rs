//! Acts (c) to (f): the flagged customer's mail.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::millis;
use crate::{
    demo::{
        cast::{Cast, intact},
        report::{Act, Report},
    },
    dialogue::{Dialogue, any_port, smtp},
    gate::HELP_URL,
    host::{Family, Host},
    message::Message,
};

pub(super) fn clean_mail(cast: &Cast<'_>, act: &mut Act<'_>, family: Family) {
    let customer = Host::CustomerA.address(family);
    let message = Message::awkward();
    let scanned = cast.rspamd.scanned();
    let mut taken = Duration::ZERO;
    let sent = act.check(
        "customer-a mails mx1 over STARTTLS, which the relay offers in its own name",
        || {
            let outcome = cast.mail(Host::CustomerA, family, &message)?.accepted()?;
            taken = outcome.elapsed;
            let shown = outcome
                .certificate()
                .context("the client saw no certificate")
                .with_context(|| outcome.transcript.clone())?;
            ensure!(
                shown.contains("relay-1.example.net"),
                "the client was shown {shown}\n{}",
                outcome.transcript
            );
            Ok(format!(
                "answer of mx1: {}",
                outcome
                    .server_said(" 250 2.0.0 ")
                    .unwrap_or("<- 250")
                    .trim()
            ))
        },
    );
    if !sent {
        act.note(&format!("relay's log:\n{}", cast.relay.log_tail()));
        return;
    }
    let key = format!("message_{}_ms", family.name());
    act.figure(
        &key,
        millis(taken),
        &format!("from starting the client to its exit: {} ms", millis(taken)),
    );
    let mut stored = None;
    act.check("it arrives, from the relay, over STARTTLS again", || {
        let found = stored.insert(cast.mx1.delivered(&message.token)?);
        let relay = Host::Relay.address(family);
        ensure!(
            found.arrived_from(relay) && found.arrived_by_tls(),
            "not from {relay} over TLS:\n{}",
            found.text()
        );
        ensure!(
            found.relayed_for(customer),
            "no trace field names {customer}:\n{}",
            found.text()
        );
        found
            .outgate_id()
            .map(|id| format!("X-Outgate-Id: {id}"))
            .context("no X-Outgate-Id")
    });
    act.check(
        "its header and body are octet-identical under the trace fields",
        || {
            intact(stored.as_ref().context("it did not arrive")?, &message)?;
            Ok(format!("{} octets", message.content.len()))
        },
    );
    act.check("rspamd has scanned it", || {
        ensure!(
            cast.rspamd.scanned() > scanned,
            "its log ends in\n{}",
            cast.rspamd.log_tail()
        );
        Ok(String::new())
    });
}

pub(super) fn spam(cast: &Cast<'_>, act: &mut Act<'_>, family: Family) {
    let message = Message::gtube();
    act.check(
        "its GTUBE mail is refused in-session, and it can read why",
        || {
            let outcome = cast.mail(Host::CustomerA, family, &message)?;
            ensure!(outcome.code != 0, "it was taken:\n{}", outcome.transcript);
            let refusal = outcome.server_said("550 5.7.1")?.to_owned();
            outcome.server_said(HELP_URL)?;
            Ok(refusal)
        },
    );
    act.check("mx1 has not seen it", || {
        // A mail sent after it has arrived before this asks; the exchanger keeps the order.
        ensure!(
            cast.mx1.find(&message.token)?.is_none(),
            "it is in the mailbox"
        );
        Ok(String::new())
    });
}

pub(super) fn one_port(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(f) two connections from one source port, to mx1 and to mx2");
    for family in Family::ALL {
        act.check(&format!("both deliver, {}", family.name()), || {
            let namespace = cast.lab.namespace(Host::CustomerA);
            let own = Host::CustomerA.address(family);
            let exchangers = [(&cast.mx1, Host::Mx1), (&cast.mx2, Host::Mx2)];
            let mut first = Dialogue::open(
                &namespace,
                any_port(own),
                smtp(exchangers[0].1.address(family)),
                PATIENCE,
            )?;
            let source = first.local()?;
            let mut second = Dialogue::open(
                &namespace,
                source,
                smtp(exchangers[1].1.address(family)),
                PATIENCE,
            )
            .context("the second connection")?;
            // Both are open at once: the first has said nothing yet.
            let messages = [Message::awkward(), Message::awkward()];
            for (dialogue, message) in [(&mut first, &messages[0]), (&mut second, &messages[1])] {
                dialogue.reply()?;
                let reply = dialogue.transaction(&message.content)?;
                ensure!(reply.code == 250, "{}", dialogue.transcript());
            }
            for ((exchanger, host), message) in exchangers.iter().zip(&messages) {
                let stored = exchanger.delivered(&message.token)?;
                ensure!(
                    stored.relayed_for(own),
                    "{}: not by the relay:\n{}",
                    host.name(),
                    stored.text()
                );
                intact(&stored, message)?;
            }
            Ok(format!("port {}", source.port()))
        });
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
