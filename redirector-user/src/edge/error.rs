//! What goes wrong at the edge, sorted by who can mend it.

use std::{error::Error, io, path::PathBuf};

use rustix::io::Errno;

use super::{AttachMode, RefusedMode, pins::Shape, radar::RADAR};

/// Why the edge could not do what was asked. Every message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    // What the operator asked for does not fit this host.
    /// The pin directory is not on a BPF file system.
    #[error(
        "{}: not on a BPF file system: run `mount -t bpf bpf /sys/fs/bpf`, or set edge.pin_dir to a directory on one",
        path.display()
    )]
    NotBpffs {
        /// The configured directory.
        path: PathBuf,
    },
    /// The process lacks a capability.
    #[error(
        "{what}: not permitted: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root), and a BPF file system that it may write"
    )]
    NotPermitted {
        /// What was tried.
        what: String,
    },
    /// A pinned map has another shape than the program expects.
    #[error(
        "{}: the pinned map {map} is {found}, this program needs {expected}: {}",
        path.display(),
        mend_shape(map, path, found, expected)
    )]
    ShapeDiffers {
        /// The map.
        map: String,
        /// Its pin.
        path: PathBuf,
        /// What stands there.
        found: Shape,
        /// What the program needs.
        expected: Shape,
    },
    /// No interface of that name in this network namespace.
    #[error(
        "{interface}: no such interface in the controller's network namespace; `ip link` lists them"
    )]
    NoSuchInterface {
        /// Name asked for.
        interface: String,
    },
    /// The interface has no program of ours.
    #[error("{interface}: Outgate's program is not attached; `outgate status` lists where it is")]
    NotAttached {
        /// Name asked for.
        interface: String,
    },
    /// Another XDP program owns the interface.
    #[error(
        "{interface}: busy: XDP program {program_id} ({program_name}) is attached; attach behind it (mode = \"{beside}\", --mode {beside}), detach it first (its own tool, or `ip link set dev {interface} xdp off`), or choose another interface",
        beside = beside.name()
    )]
    Busy {
        /// Name asked for.
        interface: String,
        /// Kernel's number of the other program.
        program_id: u32,
        /// Its name, or `unnamed`.
        program_name: String,
        /// The mode of this kernel that goes beside it.
        beside: AttachMode,
    },
    /// An interface that is not ours has a name that we need.
    #[error(
        "{interface}: there is an interface of this name that is no veth, and the controller needs the name for probes; rename or remove it, or set health.through = \"direct\""
    )]
    NameTaken {
        /// The name.
        interface: String,
    },

    /// A connection between an IPv4 and an IPv6 address.
    #[error("{source_address} and {destination}: a connection has two addresses of one family")]
    MixedFamilies {
        /// The source asked for.
        source_address: std::net::IpAddr,
        /// The destination asked for.
        destination: std::net::IpAddr,
    },

    /// More policies than fit.
    #[error(
        "the policies do not fit: edge.policies_max is {policies_max} (hosts and prefixes, IPv4 and IPv6 are counted apart); raise it and restart outgated"
    )]
    PoliciesFull {
        /// What is configured.
        policies_max: u32,
    },

    // The host cannot do it.
    /// The driver or kernel refuses this way of attaching.
    #[error("{interface}: cannot attach in {} mode: {reason}", mode.name())]
    AttachRefused {
        /// The interface.
        interface: String,
        /// The mode that was asked for.
        mode: AttachMode,
        /// Meaning of the kernel's answer, and what to do.
        reason: String,
    },
    /// No mode of a ladder could be had.
    #[error("{interface}: cannot attach in any mode: {}", each(refused))]
    EveryModeRefused {
        /// The interface.
        interface: String,
        /// What was tried, in this order.
        refused: Vec<RefusedMode>,
    },
    /// The kernel answered something else with an error.
    #[error("{what}: {answer}; the kernel log (`dmesg`) may say more")]
    Kernel {
        /// What was tried.
        what: String,
        /// The kernel's answer, with all its causes.
        answer: String,
    },

    // Our own fault.
    /// The embedded program is not what this binary expects, or the verifier refuses it.
    #[error("{what}: {answer}; this is a fault of Outgate: please report it with `uname -r`")]
    Program {
        /// What was tried.
        what: String,
        /// The loader's or verifier's answer, with all its causes.
        answer: String,
    },
    /// The caller asked for something that no map can hold.
    #[error("{0}; this is a fault of Outgate: please report it")]
    Impossible(String),
}

/// Who can mend an [`EdgeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Whoever configured or asked.
    Operator,
    /// The machine, its kernel or driver.
    Host,
    /// Outgate itself.
    Outgate,
}

impl EdgeError {
    /// Who can mend it.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotBpffs { .. }
            | Self::NotPermitted { .. }
            | Self::ShapeDiffers { .. }
            | Self::NoSuchInterface { .. }
            | Self::NotAttached { .. }
            | Self::Busy { .. }
            | Self::NameTaken { .. }
            | Self::MixedFamilies { .. }
            | Self::PoliciesFull { .. } => Blame::Operator,
            Self::AttachRefused { .. } | Self::EveryModeRefused { .. } | Self::Kernel { .. } => {
                Blame::Host
            }
            Self::Program { .. } | Self::Impossible(_) => Blame::Outgate,
        }
    }

    /// Whether another way of attaching may fare better.
    pub(crate) const fn is_of_mode(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::AttachRefused { .. })
    }

    /// Wraps what the kernel answered; a lack of privilege becomes [`EdgeError::NotPermitted`].
    pub(crate) fn kernel(what: impl Into<String>, source: impl Error + 'static) -> Self {
        let what = what.into();
        if matches!(errno(&source), Some(Errno::PERM | Errno::ACCESS)) {
            Self::NotPermitted { what }
        } else {
            Self::Kernel {
                what,
                answer: with_causes(&source),
            }
        }
    }

    /// Wraps what the loader or verifier answered, likewise. `EACCES` is not about privilege here: the
    /// verifier says so of a program that it refuses.
    pub(crate) fn program(what: impl Into<String>, source: impl Error + 'static) -> Self {
        let what = what.into();
        if errno(&source) == Some(Errno::PERM) {
            Self::NotPermitted { what }
        } else {
            Self::Program {
                what,
                answer: with_causes(&source),
            }
        }
    }
}

/// The kernel's error number, somewhere in a chain of errors.
pub(crate) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let number = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(number) = number {
            return Some(Errno::from_raw_os_error(number));
        }
        cause = error.source();
    }
    None
}

/// An error with all its causes on one line. aya's own messages often only repeat what was tried.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !line.contains(&said) {
            line.push_str(": ");
            line.push_str(&said);
        }
        cause = error.source();
    }
    line
}

fn each(refused: &[RefusedMode]) -> String {
    let reasons = refused
        .iter()
        .map(|RefusedMode { reason, .. }| reason.as_str());
    reasons.collect::<Vec<_>>().join("; ")
}

fn mend_shape(map: &str, path: &std::path::Path, found: &Shape, expected: &Shape) -> String {
    let dir = path.parent().unwrap_or(path).display();
    let again = format!(
        "stop outgated, `rm -r {dir}` (this detaches the program from every interface and forgets the diverted connections) and start it again"
    );
    let key = match map {
        redirector_common::abi::map::FLOWS => Some("edge.flows_max"),
        _ if RADAR.contains(&map) => Some("radar.sources_max"),
        _ => None,
    };
    let resized = *found
        == Shape {
            max_entries: found.max_entries,
            ..*expected
        };
    match key.filter(|_| resized) {
        Some(key) => format!("set {key} = {} back, or {again}", found.max_entries),
        None => again,
    }
}
