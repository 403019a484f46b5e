//! A relay that is steered to and is not adjacent: packets come to its host in tunnels, and go back in tunnels.

use std::{
    net::{IpAddr, SocketAddr},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE, send_all},
    edge_end::{EdgeEnd, INNER, ends_of, tunnelled},
    frames::Syn,
    gate::Gate,
    host::HOST_INTERFACE,
    message::Message,
    netns::Namespace,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    process::checked,
    relay::{Options, RelayNode},
    relay_host::{Ends, RelayHost},
    wait::until,
};

use crate::{RELAY, connect, flag, lab_up, start};

#[test]
fn a_relay_behind_a_router_serves_customers_by_a_tunnel_over_ipv4() -> Result<()> {
    a_relay_behind_a_router_serves_customers("hosttunv4", Family::V4, "native")
}

#[test]
fn a_relay_behind_a_router_serves_customers_by_a_tunnel_over_ipv6() -> Result<()> {
    a_relay_behind_a_router_serves_customers("hosttunv6", Family::V6, "native")
}

#[test]
fn tunnels_end_in_tcx_too() -> Result<()> {
    a_relay_behind_a_router_serves_customers("hosttuntcx", Family::V4, "tcx")
}

#[test]
fn tunnels_end_in_a_filter_too() -> Result<()> {
    a_relay_behind_a_router_serves_customers("hosttuncls", Family::V6, "clsact")
}

#[track_caller]
fn a_relay_behind_a_router_serves_customers(
    prefix: &str,
    outside: Family,
    mode: &str,
) -> Result<()> {
    let lab = lab_up(prefix)?;
    let ends = ends_of(outside, 1);
    let far = Far::before(&lab, ends)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    far.host.attach(&[ends], &["--mode", mode])?;
    if mode != "native" {
        // What comes in by a driver is merged before tc sees it, whatever is around it.
        lab.merge(Host::Relay)?;
    }
    let before = lab.received(Host::Relay)?;
    let (gate, _relay) = far.serve()?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        // More than a congestion window, and more than one super-packet, both ways through tunnels.
        for octets in [1_000, MESSAGE_OCTETS] {
            let message = Message::of_octets(octets);
            Submission {
                from: Host::CustomerA,
                to: exchanger(Host::Mx1, family),
                message: &message,
                tls: true,
            }
            .send(&lab)?
            .accepted()
            .with_context(|| format!("{:#?}, {}", far.end.faults(), far.status_text()))?;
            let stored = mx.delivered(&message.token)?;
            assert_eq!(stored.preserves(&message), Ok(()), "{family:?}");
            let customer = Host::CustomerA.address(family);
            assert!(stored.arrived_from(customer), "{}", far.status_text());
            assert!(stored.relayed_for(customer));
        }
        assert_eq!(gate.counter("spoof_blocked")?, 0);
    }
    assert_eq!(far.end.faults(), Vec::<String>::new());
    let status = far.host.status()?;
    assert_eq!(status["ingress"], mode);
    assert_eq!(
        status["egress"],
        if mode == "clsact" { mode } else { "tcx" }
    );
    assert_eq!(status["customers"], 2, "one of each family: {status:#}");
    let [put_in, taken_out] = far.end.carried();
    let counters = &status["counters"];
    let unwrapped = counters["unwrapped"].as_u64().context("no figure")?;
    assert!(lab.received(Host::Relay)? - before >= put_in, "{put_in}");
    // What was merged on the way in came out of its tunnel at once; how much that is, is the kernel's timing.
    let at_least = if mode == "native" { put_in } else { 1 };
    assert!(
        (at_least..=put_in).contains(&unwrapped),
        "{put_in}: {status:#}"
    );
    // What TCP hands to the kernel at once left in one header, and came out in many.
    let handed_over = counters["wrapped"].as_u64();
    assert!(handed_over < Some(taken_out), "{taken_out}, {status:#}");
    for none in ["stranger", "odd", "congested", "too_big", "failed"] {
        assert_eq!(counters[none], 0, "{none}: {status:#}");
    }
    Ok(())
}

#[test]
fn connections_outlive_the_loader_and_move_with_their_edge() -> Result<()> {
    let lab = lab_up("hosttunlive")?;
    let first = ends_of(Family::V4, 1);
    let far = Far::before(&lab, first)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    far.host.attach(&[first], &[])?;
    let (gate, _relay) = far.serve()?;
    let second = ends_of(Family::V6, 2);
    for family in Family::ALL {
        far.end.move_to(first);
        flag(&gate, family, OWN_ADDRESS)?;
        let mut dialogue = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert!(dialogue.reply()?.text.starts_with(RELAY));
        dialogue.expect(250, "EHLO client.example.org")?;
        dialogue.expect(250, "MAIL FROM:<sender@example.org>")?;

        // A loader that is killed wherever it may be, and one that comes after it, with one edge more.
        for _ in 0..5 {
            let mut loader = far
                .host
                .attaching(&[first, second], &[])?
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            dialogue.expect(250, "NOOP")?;
            loader.kill()?;
            loader.wait()?;
        }
        let attached = far.host.attach(&[first, second], &[])?;
        assert_eq!(attached["edges"].as_array().map(Vec::len), Some(2));
        dialogue.expect(250, "NOOP")?;

        // The customer comes by another edge now, over another family: answers follow it.
        far.end.move_to(second);
        dialogue.expect(250, "RCPT TO:<recipient@example.net>")?;
        dialogue.expect(250, "RSET")?;
        let message = Message::of_octets(100_000);
        let reply = dialogue.transaction(&message.content)?;
        ensure!(reply.code == 250, "{}", dialogue.transcript());
        let stored = mx.delivered(&message.token)?;
        assert!(stored.arrived_from(Host::CustomerA.address(family)));
    }
    // What was under way to the first edge when the customer moved was still put into its tunnel.
    let strays = far.end.faults();
    assert!(
        strays.iter().all(|fault| fault.contains("between others")),
        "{strays:#?}"
    );
    Ok(())
}

#[test]
fn detaching_leaves_nothing_behind() -> Result<()> {
    let lab = lab_up("hosttunoff")?;
    let ends = ends_of(Family::V4, 1);
    let far = Far::before(&lab, ends)?;
    for mode in ["native", "generic", "tcx", "clsact"] {
        let attached = far.host.attach(&[ends], &["--mode", mode])?;
        assert_eq!(attached["ingress"], mode);
        assert!(far.host.pins().exists());
        far.host.detach()?;
        assert!(
            !far.host.pins().exists(),
            "{mode}: something is pinned still"
        );
        let shown = far.shown(&["ip", "-d", "link", "show", "dev", HOST_INTERFACE])?;
        assert!(!shown.contains("xdp"), "{mode}: {shown}");
        for hook in ["ingress", "egress"] {
            let filters = far.shown(&["tc", "filter", "show", "dev", HOST_INTERFACE, hook])?;
            assert_eq!(filters, "", "{mode}");
        }
    }
    let refused = far
        .host
        .command(&["detach", "--interface", HOST_INTERFACE])?
        .output()?;
    assert_eq!(refused.status.code(), Some(2), "not found");
    assert_eq!(far.status_text(), "[]");
    Ok(())
}

#[test]
fn what_is_not_an_edges_passes_as_it_is() -> Result<()> {
    let lab = lab_up("hosttunby")?;
    let ends = ends_of(Family::V4, 1);
    let far = Far::before(&lab, ends)?;
    let gateway = far.end.gateway;
    let relay = lab.mac(Host::Relay, HOST_INTERFACE)?;
    for mode in ["native", "tcx"] {
        far.host.attach(&[ends], &["--mode", mode])?;
        let mut out = Vec::new();
        let mut into = Vec::new();
        for family in Family::ALL {
            let [own, mx, b] =
                [Host::Relay, Host::Mx1, Host::CustomerB].map(|host| host.address(family));
            // The host's own mail and its other traffic; and what nobody has come by an edge for.
            for (source, destination) in [
                ((own, 25), (mx, 40_000)),
                ((own, 61_500), (mx, 25)),
                ((own, 80), (mx, 40_001)),
                ((mx, 25), (b, 40_002)),
                ((b, 61_501), (mx, 25)),
            ] {
                out.push(frame([gateway, relay], source.into(), destination.into()));
            }
            for (source, destination) in [
                ((mx, 40_000), (own, 25)),
                ((mx, 25), (own, 61_500)),
                ((mx, 40_001), (own, 80)),
            ] {
                into.push(frame([relay, gateway], source.into(), destination.into()));
            }
            let inner = frame([relay, gateway], (b, 40_000).into(), (mx, 25).into());
            let inner = inner.get(14..).context("a packet")?;
            // A stranger's tunnel to us, and an edge's to somebody else.
            let stranger = Ends {
                edge: [192, 0, 2, 99].into(),
                ..ends
            };
            let elsewhere = Ends {
                relay: Host::Mx2.address(Family::V4),
                ..ends
            };
            for strange in [stranger, elsewhere, ends_of(Family::V6, 1)] {
                let frame = tunnelled([relay, gateway], strange, inner);
                into.push(frame.context("a tunnel")?);
            }
        }
        let ways = [
            (Host::Relay, HOST_INTERFACE, &far.router, &out),
            (Host::Edge, INNER, &lab.namespace(Host::Relay), &into),
        ];
        for (from, interface, to, frames) in ways {
            let from = match from {
                Host::Relay => lab.namespace(Host::Relay),
                _ => far.router.clone(),
            };
            let wire = Capture::start(to)?;
            send_all(&from, interface, frames)?;
            for frame in frames {
                until("the frame to arrive as it was", SETTLE, || {
                    let seen = wire.frames();
                    let arrived = seen.iter().any(|seen| seen.octets == *frame);
                    Ok(arrived.then_some(()))
                })
                .with_context(|| format!("{mode}: {frame:02x?}"))?;
            }
        }
        let status = far.host.status()?;
        let counters = &status["counters"];
        for none in ["wrapped", "unwrapped", "noted", "odd"] {
            assert_eq!(counters[none], 0, "{mode}, {none}: {status:#}");
        }
        far.host.detach()?;
    }
    Ok(())
}

#[test]
fn a_packet_too_big_for_the_way_to_an_edge_is_counted() -> Result<()> {
    let lab = lab_up("hosttunbig")?;
    let ends = ends_of(Family::V4, 1);
    let far = Far::before(&lab, ends)?;
    let attached = far.host.attach(&[ends], &[])?;
    assert_eq!(attached["edges"][0]["mtu"], 1480, "{attached:#}");
    assert!(attached["warnings"].is_null(), "{attached:#}");
    let relay = lab.namespace(Host::Relay);
    let stations = [far.end.gateway, lab.mac(Host::Relay, HOST_INTERFACE)?];
    for family in Family::ALL {
        let [customer, mx] = [Host::CustomerA, Host::Mx1].map(|host| host.address(family));
        let came = frame(stations, (customer, 40_000).into(), (mx, 25).into());
        let [gateway, own] = stations;
        let came = tunnelled([own, gateway], ends, came.get(14..).unwrap_or_default());
        send_all(&far.router, INNER, &[came.context("a tunnel")?])?;
        until("the customer to be noted", SETTLE, || {
            let customers = far.host.status()?["customers"].as_u64();
            Ok((customers >= Some(1)).then_some(()))
        })?;
        for (octets, fits) in [(1480, true), (1481, false), (1500, false)] {
            let answer = answer(stations, (mx, customer), octets);
            let before = far.host.status()?["counters"].clone();
            // A packet socket is told of what is dropped on its way out.
            let sent = send_all(&relay, HOST_INTERFACE, &[answer]);
            assert_eq!(sent.is_ok(), fits, "{octets} octets, {family:?}");
            until("it to be counted", SETTLE, || {
                let counters = far.host.status()?["counters"].clone();
                let counter = if fits { "wrapped" } else { "too_big" };
                Ok((counters[counter].as_u64() > before[counter].as_u64()).then_some(()))
            })
            .with_context(|| format!("{octets} octets, {family:?}"))?;
        }
    }
    Ok(())
}

/// The relay's host behind a router, and the far end of its tunnels.
struct Far<'lab> {
    lab: &'lab Lab,
    host: RelayHost<'lab>,
    router: Namespace,
    end: EdgeEnd,
}

impl<'lab> Far<'lab> {
    /// Puts a router between the edge and the relay's host. Customer and exchanger have smaller links, so that no
    /// segment of theirs is too long with an outer header: an edge would see to that, by their SYNs.
    fn before(lab: &'lab Lab, ends: Ends) -> Result<Self> {
        let router = lab.router_before(Host::Relay, 1500)?;
        for host in [Host::CustomerA, Host::Mx1] {
            let mut ip = lab.namespace(host).command("ip");
            checked(ip.args(["link", "set", HOST_INTERFACE, "mtu", "1400"]))?;
        }
        let end = EdgeEnd::start(lab, &router, ends)?;
        Ok(Self {
            lab,
            host: RelayHost::new(lab),
            router,
            end,
        })
    }

    /// The controller and the relay.
    fn serve(&self) -> Result<(Gate<'lab>, RelayNode<'lab>)> {
        start(
            self.lab,
            &Options {
                pool: Pool::STEER,
                ..Options::default()
            },
        )
    }

    fn status_text(&self) -> String {
        match self
            .host
            .command(&["status"])
            .and_then(|mut status| checked(&mut status))
        {
            Ok(said) => String::from_utf8_lossy(&said.stdout).trim().to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// What a command on the relay's host prints.
    fn shown(&self, command: &[&str]) -> Result<String> {
        let (program, arguments) = command.split_first().context("a program")?;
        let output = checked(
            self.lab
                .namespace(Host::Relay)
                .command(program)
                .args(arguments),
        )?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A SYN between two stations, destination first.
fn frame(stations: [[u8; 6]; 2], source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let [destination_mac, source_mac] = stations;
    Syn {
        source_mac,
        destination_mac,
        tags: Vec::new(),
        source,
        destination,
        sequence: 7,
    }
    .frame()
}

/// What the relay says to a customer in a server's name, in a packet of so many octets.
fn answer(stations: [[u8; 6]; 2], (from, to): (IpAddr, IpAddr), octets: u16) -> Vec<u8> {
    let mut answer = frame(stations, (from, 25).into(), (to, 40_000).into());
    answer.resize(14 + usize::from(octets), 0);
    match from {
        // Total length, and the payload's.
        IpAddr::V4(_) => answer[16..18].copy_from_slice(&octets.to_be_bytes()),
        IpAddr::V6(_) => answer[18..20].copy_from_slice(&(octets - 40).to_be_bytes()),
    }
    answer
}

const OWN_ADDRESS: &[&str] = &["--egress", "customer"];
/// Several times what TCP hands to the kernel at once.
const MESSAGE_OCTETS: usize = 3 << 20;
