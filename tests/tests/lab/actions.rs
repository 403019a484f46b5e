//! The actions of the dial that need no relay, as a client meets them.

use anyhow::Result;
use lab::{
    Family, Host,
    dialogue::{End, end_of},
    gate::Gate,
    peers::postfix::Postfix,
};

use crate::{MX1, connect, flag, greeter, lab_up, unflag};

#[test]
fn reset_and_drop_stop_new_connections_and_observe_does_not() -> Result<()> {
    let lab = lab_up("ogtactions")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let gate = Gate::start(&lab)?;
    for family in Family::ALL {
        let attempt = || connect(&lab, Host::CustomerA, Host::Mx1, family);

        let before = gate.counter("reset")?;
        flag(&gate, family, &["--action", "reset"])?;
        assert_eq!(
            attempt().map_err(|error| end_of(&error)).unwrap_err(),
            Some(End::Refused)
        );
        assert!(gate.counter("reset")? > before);
        unflag(&gate, family)?;

        let before = gate.counter("dropped")?;
        flag(&gate, family, &["--action", "drop"])?;
        assert_eq!(
            attempt().map_err(|error| end_of(&error)).unwrap_err(),
            Some(End::Silence)
        );
        assert!(gate.counter("dropped")? > before);
        unflag(&gate, family)?;

        for (action, counter) in [("observe", "observed"), ("pass", "passed")] {
            let before = gate.counter(counter)?;
            flag(&gate, family, &["--action", action])?;
            assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);
            assert!(gate.counter(counter)? > before, "{counter}");
            unflag(&gate, family)?;
        }
        // The bystander's connections were none of anybody's business.
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    Ok(())
}

#[test]
fn limit_lets_so_many_new_connections_through_and_leaves_open_ones_alone() -> Result<()> {
    let lab = lab_up("ogtlimit")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let gate = Gate::start(&lab)?;
    for family in Family::ALL {
        let mut open = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let counters = ["limited", "limit_passed"];
        let before = counters.map(|counter| gate.counter(counter));
        // Slow enough that no token comes back while the test runs.
        flag(
            &gate,
            family,
            &["--action", "limit", "--rate", "1/h", "--burst", "2"],
        )?;
        for _ in 0..2 {
            assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);
        }
        let third = connect(&lab, Host::CustomerA, Host::Mx1, family);
        assert_eq!(
            third.map_err(|error| end_of(&error)).unwrap_err(),
            Some(End::Silence)
        );
        for (counter, before) in counters.into_iter().zip(before) {
            assert!(gate.counter(counter)? > before?, "{counter}");
        }
        // A connection from before the flag, and a customer beside it.
        open.reply()?;
        assert_eq!(open.command("NOOP")?.code, 250);
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
        let address = Host::CustomerA.address(family).to_string();
        let shown = gate.json(&["flag", "show", &address])?;
        assert_eq!(
            (&shown["rate"], &shown["burst"]),
            (&"1/h".into(), &2.into())
        );
        unflag(&gate, family)?;
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);
    }
    Ok(())
}

#[test]
fn the_most_specific_prefix_wins() -> Result<()> {
    let lab = lab_up("ogtspecific")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let gate = Gate::start(&lab)?;
    gate.must(&[
        "flag",
        "add",
        "192.0.2.0/27",
        "--action",
        "reset",
        "--reason",
        "all of them",
    ])?;
    gate.must(&[
        "flag",
        "add",
        "192.0.2.20",
        "--action",
        "pass",
        "--reason",
        "but this one",
    ])?;
    let refused = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4);
    assert_eq!(
        refused.map_err(|error| end_of(&error)).unwrap_err(),
        Some(End::Refused)
    );
    assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, Family::V4)?, MX1);
    let why = gate.json(&["why", "192.0.2.20"])?;
    assert_eq!(why["rule"], "192.0.2.20/32", "{why:#}");
    let why = gate.json(&["why", "192.0.2.10"])?;
    assert_eq!(why["rule"], "192.0.2.0/27", "{why:#}");
    assert_eq!(why["action"], "reset", "{why:#}");
    Ok(())
}
