//! What domains demand of their servers' TLS, over the queue: what does not show it gets nothing, and everything once it
//! does.

use std::fs;

use anyhow::{Result, ensure};
use lab::{
    Family, Host, Lab,
    peers::{
        self, authority::Authority, policy_host::PolicyHost, postfix::Postfix, resolver,
        resolver::Resolver,
    },
};

use super::{deferred, delivered_later, impatient, queue};
use crate::{connect, flag, lab_up, start};

#[test]
fn dane_is_demanded_of_the_server_that_the_customer_has_chosen() -> Result<()> {
    let lab = lab_up("quedane")?;
    // The zone names another certificate than the server shows at first.
    let named = lab.dir().join("named");
    fs::create_dir_all(&named)?;
    peers::certificate(&named, Host::Mx1)?;
    let tlsa = resolver::tlsa(&named.join("cert.pem"))?;
    let mx = Postfix::start_for(&lab, Host::Mx1, &[DOMAIN], "")?;
    let zone = addresses() + &format!("_25._tcp.mx-policy TLSA {tlsa}\n");
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &impatient(&lab))?;
    let mut waiting = Vec::new();
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("dane-over-{}", family.name());
        let id = queue(&mut customer, &["recipient@policy.example.net"], &token)?;
        let reason = deferred(&relay, &id)?;
        ensure!(reason.contains("TLSA"), "{reason}");
        waiting.push(token);
    }
    let mx = shows_another(&lab, mx, &named)?;
    ensure!(mx.mailbox()?.is_empty(), "it went to a server of no proof");
    for token in waiting {
        let stored = delivered_later(&relay, &mx, &token)?;
        ensure!(stored.arrived_by_tls(), "{}", stored.text());
    }
    Ok(())
}

#[test]
fn mta_sts_is_demanded_of_the_server_that_the_customer_has_chosen() -> Result<()> {
    let lab = lab_up("quests")?;
    let authority = Authority::new(&lab)?;
    let policy =
        "version: STSv1\r\nmode: enforce\r\nmx: mx-policy.example.net\r\nmax_age: 86400\r\n";
    let _policies = PolicyHost::start(&lab, Host::Mx2, &authority, DOMAIN, policy)?;
    let [v4, v6] = Family::ALL.map(|family| Host::Mx2.address(family));
    let zone = addresses()
        + &format!(
            "_mta-sts.policy TXT \"v=STSv1; id=1;\"\nmta-sts.policy A {v4}\nmta-sts.policy AAAA {v6}\n"
        );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    // Nobody vouches for what it shows at first.
    let mx = Postfix::start_for(&lab, Host::Mx1, &[DOMAIN], "")?;
    let mut options = impatient(&lab);
    options.more += &format!(
        "\n[mta_sts]\nauthorities = {:?}\n",
        authority.certificate().display().to_string()
    );
    let (gate, relay) = start(&lab, &options)?;
    let mut waiting = Vec::new();
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("sts-over-{}", family.name());
        let id = queue(&mut customer, &["recipient@policy.example.net"], &token)?;
        let reason = deferred(&relay, &id)?;
        ensure!(reason.contains("certificate"), "{reason}");
        waiting.push(token);
    }
    let vouched = lab.dir().join("vouched");
    authority.issue(&vouched, "mx-policy.example.net")?;
    let mx = shows_another(&lab, mx, &vouched)?;
    ensure!(mx.mailbox()?.is_empty(), "it went to a server of no proof");
    for token in waiting {
        let stored = delivered_later(&relay, &mx, &token)?;
        ensure!(stored.arrived_by_tls(), "{}", stored.text());
    }
    Ok(())
}

/// Starts the server again, with the certificate of that directory.
fn shows_another(lab: &Lab, mx: Postfix, certificate: &std::path::Path) -> Result<Postfix> {
    drop(mx);
    let conf = lab.dir().join(Host::Mx1.name()).join("conf");
    for name in ["cert.pem", "key.pem"] {
        fs::copy(certificate.join(name), conf.join(name))?;
    }
    Postfix::start_for(lab, Host::Mx1, &[DOMAIN], "")
}

/// Records of the domain and its only server, on mx1.
fn addresses() -> String {
    let [v4, v6] = Family::ALL.map(|family| Host::Mx1.address(family));
    format!("policy MX 10 mx-policy\nmx-policy A {v4}\nmx-policy AAAA {v6}\n")
}

const DOMAIN: &str = "policy.example.net";
