//! What was seen from outside: the wires (g), and what the kernel program counted (i).

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    capture::{SETTLE, differences},
    demo::{cast::Cast, report::Report},
    host::{Family, Host},
    wait::until,
};

/// Compares what the bystander sent with what arrived, and the other way round.
pub(super) fn untouched(cast: &Cast<'_>, family: Family) -> Result<String> {
    let (customer, mx) = (Host::CustomerB.address(family), Host::Mx1.address(family));
    let compare = || {
        let out = (
            cast.near_bystander.datagrams(customer, mx),
            cast.near_mx1.datagrams(customer, mx),
        );
        let back = (
            cast.near_mx1.datagrams(mx, customer),
            cast.near_bystander.datagrams(mx, customer),
        );
        let differences = [differences(&out.0, &out.1), differences(&back.0, &back.1)].concat();
        (out.0.len() + back.0.len(), differences)
    };
    let settled = until("the wires to agree", SETTLE, || {
        Ok(compare().1.is_empty().then_some(()))
    });
    let (frames, differences) = compare();
    if settled.is_err() {
        let dir = std::env::temp_dir();
        let files = [
            dir.join("outgate-demo-customer-b.pcap"),
            dir.join("outgate-demo-mx1.pcap"),
        ];
        cast.near_bystander.write_pcap(&files[0])?;
        cast.near_mx1.write_pcap(&files[1])?;
        bail!(
            "{} of {frames} differ (see {} and {}):\n{}",
            differences.len(),
            files[0].display(),
            files[1].display(),
            differences.join("\n")
        );
    }
    // Six messages with STARTTLS cannot be fewer.
    ensure!(
        frames >= 60,
        "only {frames} frames seen: the taps saw less than what was sent"
    );
    Ok(format!(
        "{frames} frames, all but hop limits and MAC addresses octet-identical"
    ))
}

pub(super) fn figures(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(i) what the kernel program counted");
    act.check("the counters agree with the story", || {
        let counters = cast.gate.json(&["counters"])?;
        let at_least = |name: &str, least: u64| {
            let value = counters[name].as_u64().with_context(|| format!("no counter {name} in {counters:#}"))?;
            ensure!(value >= least, "{name} is {value}, at least {least} expected: {counters:#}");
            Ok::<u64, anyhow::Error>(value)
        };
        // Two messages a family, and two connections of one port a family.
        let opened = at_least("flow_opened", 8)?;
        let changed = at_least("port_changed", 2)?;
        let (to_relay, to_customer) = (at_least("to_relay", 80)?, at_least("to_customer", 80)?);
        at_least("unflagged", 60)?;
        for name in ["flow_table_full", "candidates_exhausted", "failed_open", "failed_closed", "reply_without_entry"] {
            ensure!(counters[name].as_u64() == Some(0), "{name} is not zero: {counters:#}");
        }
        Ok(format!(
            "{opened} connections diverted ({changed} under another port), {to_relay} frames to the relay, {to_customer} back"
        ))
    });
    match cast.gate.json(&["counters"]) {
        Ok(counters) => act.figure("counters", counters, "all of them: see --json"),
        Err(error) => act.note(&format!("{error:#}")),
    }
    act.check(
        "the exchangers hold every clean message once, and none of the others",
        || {
            let [at_mx1, at_mx2] =
                [&cast.mx1, &cast.mx2].map(|mx| mx.mailbox().map(|mailbox| mailbox.len()));
            let (at_mx1, at_mx2) = (at_mx1?, at_mx2?);
            // At mx1: four before the flag, one a family over the relay, one a family from the shared
            // port, two from the bystander, four after the flag.
            ensure!(
                (at_mx1, at_mx2) == (14, 2),
                "{at_mx1} at mx1 and {at_mx2} at mx2 instead of 14 and 2"
            );
            Ok(format!("{at_mx1} at mx1, {at_mx2} at mx2"))
        },
    );
}
