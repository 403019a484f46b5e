//! Rules and real packets: a flood turns the dial up by itself, and its end leads into probation.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    dialogue::{End, end_of},
    gate::Gate,
    wait::until,
};
use serde_json::Value;

use crate::{connect, lab_up};

/// Refuses who opens more than thirty connections in two minutes, until nothing of the flood is in that time any more
/// but a few; then one tenth is enough.
const RULES: &str = r#"
[[rule]]
name = "flood"
window = "20s"
when = { all = ["syns > 30"] }
probation = "1h"
probation_factor = 0.1
[rule.then]
action = "refuse"
ttl = "5s"
reason = "{syns} connections in {window}"
"#;

#[test]
fn a_flood_is_refused_by_a_rule_and_then_watched_more_closely() -> Result<()> {
    for (prefix, family, customer) in [
        ("ogtrulesa", Family::V4, "192.0.2.10/32"),
        ("ogtrulesb", Family::V6, "2001:db8:a:a::/64"),
    ] {
        let lab = lab_up(prefix)?;
        let mut gate = Gate::start(&lab)?;
        gate.stop()?;
        let file = lab.dir().join("rules.toml");
        fs::write(&file, RULES)?;
        let named = format!("rules = {file:?}\ncustomer_prefixes =");
        gate.configure("customer_prefixes =", &named)?;
        gate.launch()?;

        // A few are nobody's business.
        attempts(&lab, family, 5)?;
        seen(&gate, customer, 5)?;
        ensure!(flags(&gate)?.is_empty(), "a few connections were enough");

        attempts(&lab, family, 40)?;
        let flag = rule_flag(&gate, 1)?;
        ensure!(
            flag["prefix"] == customer && flag["action"] == "refuse",
            "{flag:#}"
        );
        ensure!(flag["cause"]["compared"][0]["figure"] == "syns", "{flag:#}");
        // The edge answers for itself now.
        until("the edge refuses", LIMIT, || {
            let mut refused = match connect(&lab, Host::CustomerA, Host::Mx1, family) {
                Ok(refused) => refused,
                // Nothing listens there: until the kernel has the flag, its RST comes through.
                Err(_closed) => return Ok(None),
            };
            Ok((refused.reply()?.code == 554).then_some(()))
        })?;

        // It ends by itself, and the customer is on probation.
        let rules = until("probation", LIMIT, || {
            let rules = gate.json(&["rules", "ls"])?;
            let on_probation = rules["probation"][0]["customer"] == customer;
            Ok(on_probation.then_some(rules))
        })?;
        ensure!(rules["probation"][0]["rule"] == "flood", "{rules:#}");
        // A tenth of the limit is enough now, and what is left of the flood in the window is more than that.
        let again = rule_flag(&gate, 2)?;
        ensure!(again["cause"]["probation_factor"] == 0.1, "{again:#}");

        let path = file.to_str().context("a path")?;
        let replay = gate.json(&["replay", "--rules", path, "--from", "1h"])?;
        let first = &replay["would"][0];
        ensure!(
            first["customer"] == customer && first["at"] == flag["cause"]["at"],
            "{replay:#}"
        );
    }
    Ok(())
}

/// Opens connections that mx1's kernel refuses, one after the other.
fn attempts(lab: &Lab, family: Family, count: usize) -> Result<()> {
    for _ in 0..count {
        match connect(lab, Host::CustomerA, Host::Mx1, family) {
            // The rule may have come first.
            Ok(_answered) => {}
            Err(error) => ensure!(end_of(&error) == Some(End::Refused), "{error:#}"),
        }
    }
    Ok(())
}

/// Until the radar has counted that many.
fn seen(gate: &Gate<'_>, customer: &str, syns: u64) -> Result<()> {
    until("the radar", LIMIT, || {
        let radar = gate.json(&["radar", "--window", "2m"])?;
        let sources = radar["sources"].as_array().context("sources")?;
        let seen = sources.iter().find(|seen| seen["source"] == customer);
        Ok(seen.filter(|seen| seen["syns"] == syns).map(|_seen| ()))
    })
}

fn flags(gate: &Gate<'_>) -> Result<Vec<Value>> {
    let flags = gate.json(&["flag", "ls", "--all"])?;
    Ok(flags.as_array().context("flags")?.clone())
}

/// The flag of that number, once there is one; it must be the rule's.
fn rule_flag(gate: &Gate<'_>, number: usize) -> Result<Value> {
    let flag = until("a rule flags", LIMIT, || {
        Ok(flags(gate)?.into_iter().nth(number - 1))
    })?;
    ensure!(flag["actor"] == "rule:flood", "{flag:#}");
    Ok(flag)
}

/// Some windows of a second, and a life of five.
const LIMIT: Duration = Duration::from_secs(30);
