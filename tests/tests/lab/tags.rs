//! Tagged customers, with frames made by hand: no device here would send them.

use anyhow::{Context as _, Result};
use lab::{
    Family, Host,
    capture::{Capture, SETTLE, send},
    dialogue::smtp,
    frames::Syn,
    host::HOST_INTERFACE,
    relay::Options,
    wait::until,
};

use crate::{change_mode, flag, lab_up, start};

#[test]
fn a_flagged_source_does_not_slip_through_by_tags() -> Result<()> {
    tags_hide_nothing("ogttags", "native")
}

#[test]
fn nor_where_the_kernel_has_taken_the_outer_tag_off() -> Result<()> {
    tags_hide_nothing("ogttagstc", "tcx")
}

fn tags_hide_nothing(prefix: &str, mode: &str) -> Result<()> {
    let lab = lab_up(prefix)?;
    let (mut gate, _relay) = start(&lab, &Options::default())?;
    change_mode(&mut gate, mode)?;
    let namespace = lab.namespace(Host::CustomerA);
    let source_mac = lab.mac(Host::CustomerA, HOST_INTERFACE)?;
    let destination_mac = lab.mac(Host::Edge, Host::CustomerA.edge_interface())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        for (tags, port) in [(vec![100], 40_001), (vec![100, 200], 40_002)] {
            let tap = Capture::start(&namespace)?;
            let opened = gate.counter("flow_opened")?;
            let source = (Host::CustomerA.address(family), port).into();
            let destination = smtp(Host::Mx1.address(family));
            let syn = Syn {
                source_mac,
                destination_mac,
                tags: tags.clone(),
                source,
                destination,
                sequence: 1_000,
            };
            send(&namespace, HOST_INTERFACE, &syn.frame())?;
            // The edge's kernel has no VLAN device: only the program can have answered this.
            // And the relay says it twice: had the answer come without a tag, the customer's
            // kernel would have taken it for its own and said RST, which ends the connection.
            let answers = until("two answers", SETTLE, || {
                let mut answers = tap.datagrams(destination.ip(), source.ip());
                answers.retain(|answer| answer.tcp().is_some_and(|tcp| tcp.dst_port() == port));
                Ok((answers.len() >= 2).then_some(answers))
            })?;
            let answer = answers.first().context("two, and no first")?;
            let tcp = answer.tcp().context("no TCP")?;
            assert!(tcp.syn() && tcp.ack(), "{answer}");
            assert_eq!(tcp.src_port(), 25, "{answer}");
            assert_eq!(tcp.ack_number().0, 1_001, "{answer}");
            assert!(answer.checksums_are_right, "{answer}");
            // A tap is shown a frame without its outermost tag; the inner one of two remains.
            assert_eq!(answer.tags, tags[1..], "{answer}");
            assert_eq!(gate.counter("flow_opened")?, opened + 1);
        }
    }
    Ok(())
}
