//! Act (j): mail that is filtered and still leaves from the customer's own address.

use anyhow::{Context as _, ensure};

use super::{REASON, text};
use crate::{
    capture::Capture,
    demo::{
        cast::{Cast, intact},
        report::{Act, Report},
    },
    host::{Family, Host},
    message::{Message, Stored},
    pool::Pool,
};

pub(super) fn steered(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(j) filtered, and still from the customer's own address");
    for family in Family::ALL {
        let address = Host::CustomerA.address(family).to_string();
        act.check(
            &format!("outgate flag add {address} --pool own-address --egress customer"),
            || {
                let flag = cast.gate.json(&[
                    "flag",
                    "add",
                    &address,
                    "--reason",
                    REASON,
                    "--pool",
                    Pool::SECOND.name,
                    "--egress",
                    "customer",
                ])?;
                ensure!(flag["state"] == "active", "it is not in force: {flag:#}");
                Ok(format!("flag {} on {}", flag["id"], text(&flag["prefix"])))
            },
        );
        mail(cast, &mut act, family);
        act.check(&format!("outgate flag rm {address}"), || {
            cast.gate
                .must(&["flag", "rm", &address, "--reason", "cleaned up"])?;
            Ok(String::new())
        });
    }
    act.check("the kernel program counted both ways of that leg", || {
        let counters = cast.gate.json(&["counters"])?;
        let count = |name: &str| counters[name].as_u64().context("no such counter");
        let (out, back) = (count("customer_egress")?, count("return_steered")?);
        ensure!(
            out > 0 && back > 0 && count("spoof_blocked")? == 0,
            "{counters:#}"
        );
        Ok(format!("{out} frames out, {back} back to the relay"))
    });
}

fn mail(cast: &Cast<'_>, act: &mut Act<'_>, family: Family) {
    let customer = Host::CustomerA.address(family);
    let message = Message::awkward();
    let mut near_customer = None;
    let sent = act.check(
        "customer-a mails mx1 over STARTTLS, which the relay offers in its own name",
        || {
            near_customer = Some(Capture::start(&cast.lab.namespace(Host::CustomerA))?);
            let outcome = cast.mail(Host::CustomerA, family, &message)?.accepted()?;
            let shown = outcome.certificate().unwrap_or_default();
            ensure!(
                shown.contains("relay-2.example.net"),
                "the client was shown {shown:?}\n{}",
                outcome.transcript
            );
            Ok(String::new())
        },
    );
    if !sent {
        return;
    }
    let mut stored: Option<Stored> = None;
    act.check(
        "mx1's log has the customer's own address as its client, over STARTTLS again",
        || {
            let found = stored.insert(cast.mx1.delivered(&message.token)?);
            ensure!(
                found.arrived_from(customer) && found.arrived_by_tls(),
                "not from {customer} over TLS:\n{}",
                found.text()
            );
            let line = format!("client=unknown[{customer}]");
            ensure!(cast.mx1.log().contains(&line), "no {line} in mx1's log");
            Ok(line)
        },
    );
    act.check(
        "it was filtered on its way, and is octet-identical under the trace fields",
        || {
            let stored = stored.as_ref().context("it did not arrive")?;
            ensure!(
                stored.relayed_for(customer),
                "no trace field names {customer}:\n{}",
                stored.text()
            );
            intact(stored, &message)?;
            Ok(format!("{} octets", message.content.len()))
        },
    );
    act.check("nothing of the relay's leg came near customer-a", || {
        let near_customer = near_customer.as_ref().context("no tap")?;
        let mx1 = Host::Mx1.address(family);
        let frames = [
            near_customer.datagrams(customer, mx1),
            near_customer.datagrams(mx1, customer),
        ]
        .concat();
        let stray = frames.iter().find(|frame| {
            frame
                .tcp()
                .is_some_and(|tcp| tcp.src_port() >= LEG_PORT || tcp.dst_port() >= LEG_PORT)
        });
        ensure!(
            stray.is_none(),
            "{}",
            stray.map_or_else(String::new, ToString::to_string)
        );
        ensure!(!frames.is_empty(), "the tap saw nothing");
        Ok(format!(
            "{} frames, all of its own connection",
            frames.len()
        ))
    });
}

/// The first of the ports that the relay uses of a customer's address.
const LEG_PORT: u16 = 61_000;
