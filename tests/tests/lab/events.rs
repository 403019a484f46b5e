//! What a relay sees reaches the controller, once, whoever is killed in between.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab, gate::Gate, message::Message, peers::postfix::Postfix, relay::Options,
    wait::until,
};
use serde_json::Value;

use crate::{connect, flag, lab_up, start};

/// Sends spam, which must be refused; the relay's name of the message.
fn spam(lab: &Lab, family: Family) -> Result<String> {
    let mut dialogue = connect(lab, Host::CustomerA, Host::Mx1, family)?;
    dialogue.reply()?;
    let refused = dialogue.transaction(&Message::gtube().content)?;
    ensure!(refused.code == 550, "{}", dialogue.transcript());
    let id = refused
        .text
        .split(' ')
        .find_map(|word| word.strip_prefix("id="));
    Ok(id.context("no id in the reply")?.to_owned())
}

/// Verdicts that the controller has, by message: how often, and the last.
fn verdicts(gate: &Gate<'_>) -> Result<BTreeMap<String, Vec<Value>>> {
    let events = gate.json(&["events", "--kind", "verdict", "--limit", "1000"])?;
    let mut verdicts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for event in events.as_array().context("no list")? {
        let id = event["detail"]["id"].as_str().context("no id")?;
        verdicts
            .entry(id.to_owned())
            .or_default()
            .push(event.clone());
    }
    Ok(verdicts)
}

fn arrived(gate: &Gate<'_>, ids: &[(String, Family)]) -> Result<()> {
    until("the verdicts to arrive", Duration::from_secs(20), || {
        let verdicts = verdicts(gate)?;
        Ok(ids
            .iter()
            .all(|(id, _)| verdicts.contains_key(id))
            .then_some(()))
    })
}

#[test]
fn a_refused_message_is_told_once_whoever_is_killed() -> Result<()> {
    let lab = lab_up("ogtevents")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let options = Options {
        more: String::from("\n[verdict]\nspam = \"reject\"\n"),
        ..Options::default()
    };
    let (mut gate, mut relay) = start(&lab, &options)?;
    let mut ids = Vec::new();
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        ids.push((spam(&lab, family)?, family));
    }
    arrived(&gate, &ids)?;

    // The controller is killed; the relay goes on, and is killed as soon as its journal has the event.
    gate.kill()?;
    for family in Family::ALL {
        ids.push((spam(&lab, family)?, family));
    }
    let (last, _) = ids.last().context("some")?;
    let journal = lab
        .dir()
        .join(format!("{}.state/events.journal", options.pool.relay));
    until("the journal to have it", Duration::from_secs(10), || {
        let journal = String::from_utf8_lossy(&fs::read(&journal)?).into_owned();
        Ok(journal.contains(last.as_str()).then_some(()))
    })?;
    relay.kill()?;
    relay.launch()?;
    gate.launch()?;
    arrived(&gate, &ids)?;

    // Both are killed while events are on their way.
    gate.wait_for_relay()?;
    for round in 0..4 {
        for family in Family::ALL {
            ids.push((spam(&lab, family)?, family));
        }
        if round % 2 == 0 {
            gate.kill()?;
            gate.launch()?;
        } else {
            arrived(&gate, &ids)?;
            relay.kill()?;
            relay.launch()?;
        }
        gate.wait_for_relay()?;
    }
    arrived(&gate, &ids)?;
    let verdicts = verdicts(&gate)?;
    assert_eq!(verdicts.len(), ids.len());
    for (id, family) in &ids {
        let told = &verdicts[id];
        assert_eq!(told.len(), 1, "{told:?}");
        let event = &told[0];
        let length = if *family == Family::V4 { 32 } else { 128 };
        let customer = format!("{}/{length}", Host::CustomerA.address(*family));
        assert_eq!(event["customer"], customer.as_str(), "{event}");
        assert_eq!(event["relay"], options.pool.relay, "{event}");
        assert_eq!(event["detail"]["verdict"], "rejected", "{event}");
        assert_eq!(event["detail"]["concern"], "spam", "{event}");
        assert!(event["flag"].is_u64(), "{event}");
    }

    // What a relay has counted when it is stopped is told by the next one. One that is killed loses a minute of it.
    spam(&lab, Family::V4)?;
    relay.stop()?;
    relay.launch()?;
    let target = Host::CustomerA.address(Family::V4).to_string();
    until("the figures to arrive", Duration::from_secs(20), || {
        let seen = &gate.json(&["flag", "show", &target])?["seen"]["day"];
        let spam = seen["spam"].as_u64().context("no figures")?;
        Ok((spam > 0 && seen["refused"] == spam && seen["messages"] == spam).then_some(()))
    })
}
