//! Submission through the whole gate: a blocked customer is made a user, and its mail arrives; disabled, it does not.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    peers::{postfix::Postfix, resolver::Resolver},
    relay::Options,
    wait::until,
};

use crate::{flag, lab_up, start};

#[test]
fn a_blocked_customer_submits_until_its_user_is_disabled() -> Result<()> {
    let lab = lab_up("submit")?;
    let mx = Postfix::start(&lab, Host::Mx2)?;
    let _resolver = Resolver::start(&lab, Host::Relay, Host::Mx2)?;
    let (gate, relay) = start(&lab, &options(&lab))?;
    let added = gate.json(&["user", "add", "ann", "--customer", "account 4711"])?;
    let password = added["password"]
        .as_str()
        .context("no password")?
        .to_owned();
    for family in Family::ALL {
        flag(&gate, family, &["--treatment", "walled"])?;
        for (port, tls, mechanism) in [("587", "-tls", "PLAIN"), ("465", "-tlsc", "LOGIN")] {
            let token = format!("submitted-{}-{port}", family.name());
            // The relay asks for the next generation at once, but not before it has the last one on disk.
            until("the message to be taken", PATIENCE, || {
                let said = submit(&lab, family, &[port, tls, mechanism], &password, &token)?;
                Ok(said.contains("250 2.0.0 queued as ").then_some(()))
            })
            .with_context(|| relay.log())?;
            let stored = mx.delivered(&token).with_context(|| relay.log())?;
            let text = stored.text();
            ensure!(text.contains("with ESMTPSA id"), "{text}");
            ensure!(
                stored.relayed_for(Host::CustomerA.address(family)),
                "{text}"
            );
        }
    }
    gate.must(&["user", "disable", "ann", "--reason", "stolen"])?;
    until("the user to be refused", PATIENCE, || {
        let arguments = ["587", "-tls", "PLAIN"];
        let said = submit(&lab, Family::V4, &arguments, &password, "disabled")?;
        Ok(said.contains("535 5.7.8 ").then_some(()))
    })
    .with_context(|| relay.log())?;
    ensure!(
        !relay.log().contains(&password),
        "the password is in the log"
    );
    Ok(())
}

/// What swaks says that submits a message from customer-a.
fn submit(
    lab: &Lab,
    family: Family,
    [port, tls, mechanism]: &[&str; 3],
    password: &str,
    token: &str,
) -> Result<String> {
    let relay = Host::Relay.address(family);
    let mut command = lab.namespace(Host::CustomerA).command("swaks");
    command
        .args(["--server", &relay.to_string(), "--port", port, tls])
        .args([
            "--auth",
            mechanism,
            "--auth-user",
            "Ann",
            "--auth-password",
            password,
        ])
        .args(["--from", "sender@example.org", "--to", "one@v4.example.net"])
        .args(["--ehlo", "customer-a.example.org", "--timeout", "20"])
        .args(["--header", &format!("Subject: {token}"), "--body", token]);
    if family == Family::V6 {
        command.arg("-6");
    }
    let output = command
        .output()
        .context("starting swaks: is it installed?")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn options(lab: &Lab) -> Options {
    let spool = lab.dir().join("spool").display().to_string();
    let [v4, v6] = Family::ALL.map(|family| Host::Relay.address(family));
    Options {
        more: format!(
            "\n[spool]\ndir = {spool:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n\
             [dns]\nservers = [\"127.0.0.1:53\"]\n\
             [submission]\nlisten = [\"{v4}:587\", \"[{v6}]:587\"]\nlisten_tls = [\"{v4}:465\", \"[{v6}]:465\"]\n"
        ),
        ..Options::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
