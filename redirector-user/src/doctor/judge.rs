//! What follows from what is so. Pure.

use redirector_common::abi::{Role, Via};

use super::{
    Finding, Level,
    facts::{Host, Seen, Way},
};
use crate::{
    config::{Config, Interface},
    edge::{AttachMode, Attachment, interface::Interface as Link},
};

pub(super) fn host(host: &Host) -> Vec<Finding> {
    let mut findings = vec![
        kernel(&host.release),
        match host.pin_dir_is_bpffs {
            true => good(
                "pin directory",
                format!("{} is on a BPF file system", host.pin_dir),
            ),
            false => fault(
                "pin directory",
                format!("{} is not on a BPF file system", host.pin_dir),
                "mount -t bpf bpf /sys/fs/bpf, or set edge.pin_dir",
            ),
        },
        match host.missing_capabilities.as_slice() {
            [] => good("privileges", "all that outgated needs"),
            missing => warning(
                "privileges",
                format!("this process lacks {}", missing.join(", ")),
                "outgated needs them; deploy/systemd/outgated.service grants them",
            ),
        },
    ];
    if host.jit == Some(false) {
        findings.push(fault(
            "kernel",
            "the BPF compiler is off: every packet would be interpreted",
            "sysctl -w net.core.bpf_jit_enable=1",
        ));
    }
    // What is not diverted takes the kernel's forwarding, the relay's own leg too.
    let families = [
        ("IPv4", host.forwards4, true, "net.ipv4.ip_forward"),
        (
            "IPv6",
            host.forwards6,
            host.uses_ipv6,
            "net.ipv6.conf.all.forwarding",
        ),
    ];
    for (family, forwards, used, key) in families {
        match forwards {
            Some(true) if used => {
                findings.push(good("forwarding", format!("{family} is forwarded")));
            }
            Some(false) if used => findings.push(warning(
                "forwarding",
                format!(
                    "{family} is not forwarded: customers, and the relay's own leg, go nowhere"
                ),
                &format!("sysctl -w {key}=1, unless this host only bridges"),
            )),
            Some(_) | None => {}
        }
    }
    findings
}

pub(super) fn controller(attached: Option<&[Attachment]>) -> Finding {
    match attached {
        Some(all) => good(
            "controller",
            format!("answers; {} interfaces attached", all.len()),
        ),
        None => warning(
            "controller",
            "does not answer on its socket",
            "start outgated; until then what is pinned stays in force, new connections for edge.heartbeat_limit",
        ),
    }
}

pub(super) fn interface(
    configured: &Interface,
    seen: &Seen,
    ours: Option<&Attachment>,
) -> Vec<Finding> {
    let about = configured.name.as_str();
    let link = match &seen.link {
        Ok(Some(link)) => link,
        Ok(None) => {
            return vec![fault(
                about,
                "no such interface",
                "`ip link` lists them; outgated attaches it when it appears",
            )];
        }
        Err(error) => {
            return vec![fault(
                about,
                format!("the kernel does not tell about it: {error}"),
                "look at `ip link show` by hand",
            )];
        }
    };
    let mut findings = vec![program(configured, link, ours)];
    if !link.running {
        findings.push(fault(
            about,
            "it is down, or its other end is",
            &format!("ip link set {about} up; look at the cable and the other end"),
        ));
    }
    let mode = ours.map_or_else(|| configured.modes.first(), |ours| ours.mode);
    if mode == AttachMode::Native && link.mtu > NATIVE_MTU {
        findings.push(warning(
            about,
            format!(
                "its MTU of {} is more than most drivers take with XDP",
                link.mtu
            ),
            &format!("ip link set {about} mtu {NATIVE_MTU}, or mode = \"tcx\""),
        ));
    }
    if link.veth && mode.is_xdp() {
        findings.push(warning(
            about,
            "it is a veth: frames sent on into it arrive only if its other end has an XDP program or GRO, RST answers only with an XDP program; and what its other end leaves to a network card to sum (tx-checksumming) is diverted with a wrong checksum",
            "attach an XDP program that passes everything to the other end and switch tx-checksumming off there; or use mode = \"tcx\", which needs neither",
        ));
    }
    let offloads = seen.offloads.iter().flatten();
    for (name, why) in offloads.filter_map(|name| {
        let harmful = HARMFUL.iter().find(|harmful| harmful.0 == name)?;
        (mode.is_xdp() || harmful.1 == Hurts::Everywhere).then_some((name, harmful.2))
    }) {
        findings.push(warning(
            about,
            format!("{name} is on: {why}"),
            &format!("ethtool -K {about} {name} off"),
        ));
    }
    findings
}

/// Whose program is on the interface.
fn program(configured: &Interface, link: &Link, ours: Option<&Attachment>) -> Finding {
    let about = configured.name.as_str();
    let wanted = configured.role.name();
    let is_ours = |ours: &&Attachment| {
        let in_xdp = link.xdp.map(|xdp| xdp.program_id);
        !ours.mode.is_xdp() || in_xdp == Some(ours.program_id)
    };
    match (link.xdp, ours.filter(is_ours)) {
        (_, Some(ours)) => {
            let how = ours.mode.name();
            if ours.role == wanted {
                let beside = match link.xdp.filter(|_| !ours.mode.is_xdp()) {
                    Some(xdp) => format!(", behind XDP program {}", xdp.program_id),
                    None => String::new(),
                };
                good(about, format!("attached as {wanted}, {how}{beside}"))
            } else {
                warning(
                    about,
                    format!("attached as {}, configured as {wanted}", ours.role),
                    &format!("outgate attach {about} --role {wanted}"),
                )
            }
        }
        (Some(xdp), None) => warning(
            about,
            format!(
                "XDP program {} is on it, which this controller does not name as its own",
                xdp.program_id
            ),
            &format!(
                "`bpftool prog show id {}` says whose it is; two cannot share an interface in XDP: mode = \"tcx\" goes behind it",
                xdp.program_id
            ),
        ),
        (None, _) => warning(
            about,
            "no program is on it: its traffic is not looked at",
            &format!("outgate attach {about} --role {wanted}"),
        ),
    }
}

pub(super) fn relay(config: &Config, name: &str, way: &Way) -> Vec<Finding> {
    let about = format!("relay {name}");
    let address = way.address;
    let found = config.relays().find(|(_, relay)| relay.name == name);
    let tunnelled = found.is_some_and(|(_, relay)| relay.tunnel.is_some());
    let pool = found.map(|(pool, _)| pool);
    let mut findings = vec![match &way.interface {
        Err(reason) => fault(
            &about,
            reason,
            "diverted connections to it are dropped until there is a way",
        ),
        Ok(interface) => {
            let configured = config.interfaces.iter().find(|one| &one.name == interface);
            match configured.map(|one| one.role) {
                Some(Role::Relay) => good(&about, format!("{address} is reached by {interface}")),
                // A destination that is rewritten, or the end of a tunnel, may be anywhere, as long as its answers come
                // back here.
                Some(Role::Uplink)
                    if tunnelled || pool.is_some_and(|pool| pool.via == Via::Rewrite) =>
                {
                    good(
                        &about,
                        format!("{address} is reached by {interface}, beyond the uplink"),
                    )
                }
                // Without the role the program takes what the relay sends for somebody else's.
                Some(Role::Customer | Role::Uplink) => fault(
                    &about,
                    format!("{address} is reached by {interface}, which has another role"),
                    &format!(
                        "outgate attach {interface} --role relay, or put the relay behind an interface of its own"
                    ),
                ),
                None => warning(
                    &about,
                    format!(
                        "{address} is reached by {interface}, which is not in the configuration"
                    ),
                    &format!("add an [[interface]] {interface} with role = \"relay\""),
                ),
            }
        }
    }];
    findings.push(match &way.probe {
        Ok(()) => good(&about, format!("{address} greets with 220")),
        Err(reason) => fault(
            &about,
            format!("{address}: {reason}"),
            match pool {
                Some(pool) if pool.third_party => "ask whoever runs it",
                Some(_) | None => "start outgate-relay there, and look at its log",
            },
        ),
    });
    findings
}

fn kernel(release: &str) -> Finding {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let version = (numbers.next(), numbers.next());
    match version {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= KERNEL => {
            good("kernel", format!("Linux {release}"))
        }
        _ => fault(
            "kernel",
            format!("Linux {release}"),
            &format!("run Linux {}.{} or later", KERNEL.0, KERNEL.1),
        ),
    }
}

pub(super) fn good(about: &str, found: impl Into<String>) -> Finding {
    finding(Level::Good, about, found, None)
}

pub(super) fn warning(about: &str, found: impl Into<String>, remedy: &str) -> Finding {
    finding(Level::Warning, about, found, Some(remedy))
}

pub(super) fn fault(about: &str, found: impl Into<String>, remedy: &str) -> Finding {
    finding(Level::Fault, about, found, Some(remedy))
}

fn finding(level: Level, about: &str, found: impl Into<String>, remedy: Option<&str>) -> Finding {
    Finding {
        level,
        about: about.to_owned(),
        found: found.into(),
        remedy: remedy.map(str::to_owned),
    }
}

/// Oldest kernel that the program is meant for.
const KERNEL: (u32, u32) = (6, 1);

/// A page less XDP's headroom, the tail room and an Ethernet header with two tags (net/core/xdp.c; drivers
/// differ by some octets).
const NATIVE_MTU: u32 = 3498;

/// Where an offload hurts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurts {
    /// In XDP; in tc the kernel says beside the octets what the card did.
    InXdp,
    Everywhere,
}

/// Offloads that hide from the program what it must see.
const HARMFUL: [(&str, Hurts, &str); 3] = [
    (
        "rx-lro",
        Hurts::Everywhere,
        "merged segments are longer than the frames that they came in, and cannot be sent on",
    ),
    (
        "rx-gro-hw",
        Hurts::InXdp,
        "merged segments are longer than the frames that they came in, and cannot be sent on",
    ),
    (
        "rx-vlan-hw-parse",
        Hurts::InXdp,
        "the card takes VLAN tags off before the program sees them, so roles by tag and tagged answers fail",
    ),
];

#[cfg(test)]
mod tests;
