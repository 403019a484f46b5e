//! No way around a flag: what reaches a real mail server of frames that hide their ports, and what does not.

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE, send},
    dialogue::smtp,
    frames::{Datagram, Syn},
    gate::Gate,
    host::HOST_INTERFACE,
    peers::postfix::Postfix,
    relay::Options,
    wait::until,
};

use crate::{change_mode, flag, lab_up, start};

#[test]
fn fragments_and_tags_hide_no_mail() -> Result<()> {
    nothing_is_hidden("ogthide", "native")
}

#[test]
fn nor_where_the_kernel_has_taken_the_outer_tag_off() -> Result<()> {
    nothing_is_hidden("ogthidetc", "tcx")
}

fn nothing_is_hidden(prefix: &str, mode: &str) -> Result<()> {
    let lab = lab_up(prefix)?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relay) = start(&lab, &Options::default())?;
    change_mode(&mut gate, mode)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let mut port = 40_000;
        // Tags without a VLAN: the edge's kernel takes them off, however many there are, and routes the rest.
        for count in 0..=DEEPEST {
            let tags = vec![0; count];
            // Ends inside the TCP header, in front of the flags or behind, or behind the header. In IPv6 Linux takes
            // a first fragment for what it must be, whole in its headers (RFC 7112).
            let cuts: &[u16] = match family {
                Family::V4 => &[8, 16, 24],
                Family::V6 => &[24],
            };
            for &octets in cuts {
                port += 1;
                let hidden = |from| {
                    let syn = syn(&lab, from, family, port, &tags)?;
                    Ok(syn.fragments(octets).to_vec())
                };
                judged(&lab, &gate, family, hidden, count)?;
            }
            if family == Family::V6 {
                port += 1;
                let hidden = |from| {
                    let syn = syn(&lab, from, family, port, &tags)?;
                    Ok(vec![syn.without_length()])
                };
                judged(&lab, &gate, family, hidden, TOO_MANY)?;
            }
            if count >= TOO_MANY {
                port += 1;
                let hidden = |from| Ok(vec![syn(&lab, from, family, port, &tags)?.frame()]);
                judged(&lab, &gate, family, hidden, count)?;
            }
        }
    }
    // More than that nobody has, so nobody is asked for.
    let before = gate.counter("chain_dropped")?;
    let bottomless = syn(&lab, Host::CustomerB, Family::V4, 50_000, &[0; 40])?;
    let from = lab.namespace(Host::CustomerB);
    send(&from, HOST_INTERFACE, &bottomless.frame())?;
    until("the frame to be counted", SETTLE, || {
        Ok((gate.counter("chain_dropped")? > before).then_some(()))
    })
}

/// Sends the same from the flagged customer and from another one, behind so many tags: a real server answers the
/// one, and what the other sent comes no further than to the edge.
fn judged(
    lab: &Lab,
    gate: &Gate<'_>,
    family: Family,
    hidden: impl Fn(Host) -> Result<Vec<Vec<u8>>>,
    tags: usize,
) -> Result<()> {
    let (dropped, passed) = if tags < TOO_MANY {
        ("fragment_dropped", "fragment_passed")
    } else {
        ("chain_dropped", "chain_passed")
    };
    let near_mx = Capture::start(&lab.namespace(Host::Mx1))?;
    let before = [gate.counter(dropped)?, gate.counter(passed)?];
    let flagged = hidden(Host::CustomerA)?;
    let others = hidden(Host::CustomerB)?;
    for (host, frames) in [(Host::CustomerA, &flagged), (Host::CustomerB, &others)] {
        for frame in frames {
            send(&lab.namespace(host), HOST_INTERFACE, frame)?;
        }
    }
    let mx = Host::Mx1.address(family);
    let [a, b] = [Host::CustomerA, Host::CustomerB].map(|host| host.address(family));
    let awaited = format!("the server to answer {b} behind {tags} tags");
    until(&awaited, SETTLE, || {
        let answers = near_mx.datagrams(mx, b);
        let opened = |answer: &Datagram| answer.tcp().is_some_and(|tcp| tcp.syn() && tcp.ack());
        Ok(answers.iter().any(opened).then_some(()))
    })?;
    // Untouched, in the same order.
    let arrived = near_mx.datagrams(b, mx);
    for (sent, arrived) in others.iter().zip(&arrived) {
        if let Some(sent) = Datagram::parse(sent) {
            assert!(sent.is_hop_before(arrived), "{sent}, {arrived}");
        }
    }
    // What is left of it is no connection.
    assert_eq!(near_mx.datagrams(mx, a), []);
    assert!(near_mx.datagrams(a, mx).len() < flagged.len());
    assert!(gate.counter(dropped)? > before[0], "{dropped}");
    assert!(gate.counter(passed)? > before[1], "{passed}");
    Ok(())
}

fn syn(lab: &Lab, from: Host, family: Family, port: u16, tags: &[u16]) -> Result<Syn> {
    Ok(Syn {
        source_mac: lab.mac(from, HOST_INTERFACE)?,
        destination_mac: lab.mac(Host::Edge, from.edge_interface())?,
        tags: tags.to_vec(),
        source: (from.address(family), port).into(),
        destination: smtp(Host::Mx1.address(family)),
        sequence: 1_000,
    })
}

/// Tags at most.
const DEEPEST: usize = 4;
/// From here on the edge sends nothing on.
const TOO_MANY: usize = 3;
