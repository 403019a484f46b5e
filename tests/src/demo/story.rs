//! The acts, in order.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{cast::Cast, report::Report};
use crate::{
    gate::{INTERFACES, RELAY_NAME},
    host::{Family, Host},
};

mod diverted;
mod evidence;
mod own_address;

use diverted::{clean_mail, one_port, spam};
use evidence::{figures, untouched};
use own_address::steered;

/// Plays all of it.
pub(crate) fn play(cast: &Cast<'_>, report: &mut Report) {
    stage(cast, report);
    before(cast, report);
    flag(cast, report);
    for (family, title) in [
        (Family::V4, "(c, d) its mail takes the relay, IPv4"),
        (Family::V6, "(e) the same over IPv6"),
    ] {
        let mut act = report.act(title);
        clean_mail(cast, &mut act, family);
        spam(cast, &mut act, family);
    }
    one_port(cast, report);
    bystander(cast, report);
    unflag(cast, report);
    figures(cast, report);
    steered(cast, report);
}

fn stage(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report
        .act("The stage: customer-a, customer-b - edge - mx1, mx2, and a relay beside the edge");
    act.check(
        "the XDP program is attached in native mode on every interface of the edge",
        || {
            let status = cast.gate.json(&["status"])?;
            let attachments = status["interfaces"]
                .as_array()
                .context("status has no interfaces")?;
            for (host, role) in INTERFACES {
                let name = host.edge_interface();
                let native = attachments.iter().any(|one| {
                    one["interface"] == name && one["role"] == role && one["mode"] == "native"
                });
                ensure!(
                    native,
                    "{name} is not attached natively as {role}: {status:#}"
                );
            }
            // Not only what the controller says: what the kernel says.
            let links = cast
                .lab
                .namespace(Host::Edge)
                .command("ip")
                .args(["link", "show"])
                .output()?;
            let links = String::from_utf8_lossy(&links.stdout).into_owned();
            let attached = links.matches("prog/xdp").count();
            ensure!(
                attached == INTERFACES.len() && !links.contains("xdpgeneric"),
                "the kernel has {attached}:\n{links}"
            );
            Ok(format!("{attached} interfaces"))
        },
    );
    act.check(
        "the relay is up and holds the controller's snapshot",
        || {
            let relay = &cast.gate.json(&["status"])?["pools"][0]["relays"][0];
            ensure!(relay["state"] == "up", "{relay:#}");
            Ok(format!(
                "{RELAY_NAME}, generation {}",
                relay["acknowledged"]
            ))
        },
    );
}

fn before(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(a) nobody is flagged");
    for family in Family::ALL {
        cast.mails_directly(&mut act, Host::CustomerB, family);
        cast.mails_directly(&mut act, Host::CustomerA, family);
    }
}

fn flag(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(b) the abuse desk flags customer-a");
    for family in Family::ALL {
        let address = Host::CustomerA.address(family).to_string();
        let mut taken = Duration::ZERO;
        act.check(&format!("outgate flag add {address}"), || {
            let answer = cast.gate.must(&[
                "flag", "add", &address, "--reason", REASON, "--ticket", "AB-1", "-j",
            ])?;
            taken = answer.elapsed;
            let flag = answer.json()?;
            ensure!(flag["state"] == "active", "it is not in force: {flag:#}");
            Ok(format!(
                "flag {} on {}, in force",
                flag["id"],
                text(&flag["prefix"])
            ))
        });
        let key = format!("toggle_{}_ms", family.name());
        act.figure(
            &key,
            millis(taken),
            &format!(
                "from starting the command to its exit: {} ms",
                millis(taken)
            ),
        );
    }
    act.check("outgate why names the rule and the relay", || {
        let (source, destination) = (
            Host::CustomerA.address(Family::V4),
            Host::Mx1.address(Family::V4),
        );
        let why = cast
            .gate
            .json(&["why", &source.to_string(), &destination.to_string()])?;
        ensure!(
            why["verdict"] == "redirect" && why["rule"] == format!("{source}/32"),
            "{why:#}"
        );
        ensure!(
            why["relay_name"] == RELAY_NAME && why["flag"]["reason"] == REASON,
            "{why:#}"
        );
        Ok(text(&why["explanation"]))
    });
    act.check("outgate why says that customer-b is left alone", || {
        let why = cast
            .gate
            .json(&["why", &Host::CustomerB.address(Family::V4).to_string()])?;
        ensure!(why["verdict"] == "pass" && why["flag"].is_null(), "{why:#}");
        Ok(text(&why["explanation"]))
    });
}

fn bystander(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(g) customer-b, meanwhile");
    for family in Family::ALL {
        cast.mails_directly(&mut act, Host::CustomerB, family);
    }
}

fn unflag(cast: &Cast<'_>, report: &mut Report) {
    let mut act = report.act("(h) the flags are lifted");
    for family in Family::ALL {
        let address = Host::CustomerA.address(family).to_string();
        act.check(&format!("outgate flag rm {address}"), || {
            let answer = cast
                .gate
                .must(&["flag", "rm", &address, "--reason", "cleaned up"])?;
            Ok(format!("{} ms", millis(answer.elapsed)))
        });
        cast.mails_directly(&mut act, Host::CustomerA, family);
        cast.mails_directly(&mut act, Host::CustomerB, family);
    }
    for family in Family::ALL {
        let name = format!(
            "(g) every frame between customer-b and mx1 crossed the edge as it was, {}",
            family.name()
        );
        act.check(&name, || untouched(cast, family));
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const REASON: &str = "spam run since 03:12, see AB-1";
