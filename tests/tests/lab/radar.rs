//! What the radar says about customers that really connect.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, Shutdown, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    dialogue::{Dialogue, End, any_port, end_of, smtp},
    gate::Gate,
    process::checked,
    relay::Options,
    wait::until,
};
use serde_json::Value;

use crate::{PATIENCE, connect, flag, lab_up, start};

#[test]
fn a_spray_of_connections_stands_out_with_its_reasons() -> Result<()> {
    let lab = lab_up("ogtradar")?;
    far_networks(&lab)?;
    refuse_politely(&lab, Host::Mx1)?;
    let gate = Gate::start(&lab)?;

    for number in 0..NETWORKS {
        let to = IpAddr::from(Ipv6Addr::new(
            0x2001,
            0xdb8,
            0xc000 + number,
            0,
            0,
            0,
            0,
            25,
        ));
        assert_eq!(refused(&lab, Host::CustomerA, to)?, 554, "{to}");
    }
    // Nothing listens on mx2, whose kernel says so by RST; it has two networks.
    for to in ["203.0.113.20", "198.51.100.200"] {
        for _ in 0..6 {
            let error = open(&lab, Host::CustomerA, to.parse()?).expect_err("a closed port");
            assert_eq!(end_of(&error), Some(End::Refused), "{to}");
        }
    }
    assert_eq!(
        refused(&lab, Host::CustomerB, Host::Mx1.address(Family::V4))?,
        554
    );

    let radar = eventually(&gate, |radar| {
        let seen = |source, syns| figure(radar, source, "syns") == Some(syns);
        let ended = |source, ended| figure(radar, source, "ended") == Some(ended);
        seen(A6, NETWORKS.into())
            && seen(A4, 12)
            && seen(B4, 1)
            && ended(A6, NETWORKS.into())
            && ended(A4, 12)
            && ended(B4, 1)
    })?;
    assert_eq!(radar["sources"][0]["source"], A6, "{radar:#}");
    assert_eq!(radar["seen"], 3, "{radar:#}");

    // The sketch is an estimate, within 9 % in two cases of three; this one is always the same.
    let networks = figure(&radar, A6, "destinations").context("networks")?;
    assert!((30..=50).contains(&networks), "{networks} of {NETWORKS}");
    assert_eq!(figure(&radar, A6, "reset"), Some(0));
    assert_eq!(figure(&radar, A6, "short"), Some(NETWORKS.into()));
    assert_eq!(figure(&radar, A4, "destinations"), Some(2));
    assert_eq!(figure(&radar, A4, "reset"), Some(12));
    // A refused SYN is one frame each way: 14 octets of Ethernet, 20 of IPv4, 20 of TCP, and the
    // options of the SYN.
    assert_eq!(figure(&radar, A4, "packets_out"), Some(12));
    assert_eq!(figure(&radar, A4, "packets_in"), Some(12));
    assert_eq!(figure(&radar, A4, "octets_in"), Some(12 * 54));
    assert_eq!(figure(&radar, A4, "octets_out"), Some(12 * 74));
    let score = |source| {
        source_of(&radar, source)
            .and_then(|seen| seen["score"].as_f64())
            .context("a score")
    };
    assert!(score(A6)? > 3.0 * score(B4)?, "{radar:#}");
    assert!(score(A4)? > 3.0 * score(B4)?, "{radar:#}");

    let shown = gate.json(&["radar", "show", "192.0.2.10", "--window", "2m"])?;
    let course = shown["course"].as_array().context("a course")?;
    let syns: u64 = course
        .iter()
        .filter_map(|window| window["syns"].as_u64())
        .sum();
    assert_eq!(syns, 12, "{shown:#}");
    let reasons = gate
        .must(&["radar", "show", "192.0.2.10", "--window", "2m"])?
        .out;
    assert!(
        reasons.contains("100 % of 12 ended connections reset (limit 50 %)"),
        "{reasons}"
    );
    let table = gate.must(&["radar", "--window", "2m", "--limit", "1"])?.out;
    assert!(
        table.contains(A6) && table.contains("2 more sources below"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "colour into a pipe: {table}");
    Ok(())
}

#[test]
fn a_diverted_customer_is_seen_both_ways() -> Result<()> {
    let lab = lab_up("ogtradarb")?;
    refuse_politely(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let mut diverted = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        diverted.reply()?;
        // EHLO would be about the exchanger, which refuses.
        diverted.expect(250, "NOOP")?;
        diverted.expect(221, "QUIT")?;
    }
    let radar = eventually(&gate, |radar| {
        [A4, A6]
            .iter()
            .all(|source| figure(radar, source, "ended") == Some(1))
    })?;
    for source in [A4, A6] {
        assert_eq!(figure(&radar, source, "syns"), Some(1), "{radar:#}");
        // SYN-ACK, greeting, two replies, FIN: acknowledgements may come on top.
        let packets = figure(&radar, source, "packets_in").context("packets")?;
        assert!(packets >= 4, "{radar:#}");
        assert_eq!(figure(&radar, source, "reset"), Some(0), "{radar:#}");
    }
    // The relay's own connections are no customer's.
    assert_eq!(radar["seen"], 2, "{radar:#}");
    Ok(())
}

#[test]
fn what_cannot_be_shown_is_said() -> Result<()> {
    let lab = lab_up("ogtradarc")?;
    let gate = Gate::start_detached(&lab)?;
    let silent = gate.outgate(&["radar", "show", "192.0.2.99"])?;
    assert_eq!(silent.code, 2, "{silent}");
    assert!(
        silent.err.contains("192.0.2.99/32 has sent nothing"),
        "{silent}"
    );
    let stranger = gate.outgate(&["radar", "show", "203.0.113.10"])?;
    assert_eq!(stranger.code, 1, "{stranger}");
    assert!(stranger.err.contains("in no customer prefix"), "{stranger}");
    let endless = gate.outgate(&["radar", "--window", "3h"])?;
    assert_eq!(endless.code, 1, "{endless}");
    assert!(endless.err.contains("allowed are 1s to 2h"), "{endless}");
    Ok(())
}

/// Leads networks beyond the lab's own to mx1 and mx2, which answer for every address of them.
fn far_networks(lab: &Lab) -> Result<()> {
    let via = |host: Host, family| host.address(family).to_string();
    let (mx1, mx2) = (via(Host::Mx1, Family::V6), via(Host::Mx2, Family::V4));
    for (host, line) in [
        (
            Host::Edge,
            format!("-6 route add 2001:db8:c000::/36 via {mx1}"),
        ),
        (
            Host::Mx1,
            "-6 route add local 2001:db8:c000::/36 dev lo".to_owned(),
        ),
        (Host::Edge, format!("route add 198.51.100.128/25 via {mx2}")),
        (
            Host::Mx2,
            "route add local 198.51.100.128/25 dev lo".to_owned(),
        ),
    ] {
        let mut ip = lab.namespace(host).command("ip");
        checked(ip.args(line.split(' ')))?;
    }
    Ok(())
}

/// A mail server that wants no mail: `554`, and the end. Its thread ends with this process.
fn refuse_politely(lab: &Lab, host: Host) -> Result<()> {
    let listener = lab
        .namespace(host)
        .inside(|| Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, 25))?))?;
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            stream.write_all(b"554 5.7.1 go away\r\n")?;
            stream.shutdown(Shutdown::Write)?;
            // Until the client has gone, so that the end is a FIN and no RST.
            stream.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    });
    Ok(())
}

/// Opens a connection to an address that is no host's own.
fn open(lab: &Lab, from: Host, to: IpAddr) -> Result<Dialogue> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let namespace = lab.namespace(from);
    Dialogue::open(
        &namespace,
        any_port(from.address(family)),
        smtp(to),
        PATIENCE,
    )
}

/// The code of a greeting that refuses, read up to the end of the connection.
fn refused(lab: &Lab, from: Host, to: IpAddr) -> Result<u16> {
    let mut dialogue = open(lab, from, to)?;
    let code = dialogue.reply()?.code;
    let end = dialogue.reply().err().and_then(|error| end_of(&error));
    ensure!(end == Some(End::Closed), "{end:?} after {code}");
    Ok(code)
}

/// The radar over the whole test, once it says so.
fn eventually(gate: &Gate<'_>, said: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let found = until("the radar", LIMIT, || {
        last = gate.json(&["radar", "--window", "2m"])?;
        Ok(said(&last).then_some(()))
    });
    found.with_context(|| format!("{last:#}"))?;
    Ok(last)
}

fn source_of<'a>(radar: &'a Value, source: &str) -> Option<&'a Value> {
    let sources = radar["sources"].as_array()?;
    sources.iter().find(|seen| seen["source"] == source)
}

fn figure(radar: &Value, source: &str, name: &str) -> Option<u64> {
    source_of(radar, source)?[name].as_u64()
}

/// How many networks customer-a tries.
const NETWORKS: u16 = 40;
const A4: &str = "192.0.2.10/32";
const A6: &str = "2001:db8:a:a::/64";
const B4: &str = "192.0.2.20/32";
/// A window of one second has ended, and was taken out.
const LIMIT: Duration = Duration::from_secs(15);
