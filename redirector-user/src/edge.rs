//! The edge: the kernel program on its interfaces, its pinned maps, and what they lean on.
//!
//! [`Edge`] is blocking throughout: system calls on maps and links can wait for the kernel, so an
//! async caller keeps it on a thread where that does no harm. All state is in the kernel, pinned:
//! dropping an [`Edge`] changes nothing for a packet, and the next [`Edge::open`] finds everything.
//!
//! [`nexthop`], [`health`] and [`probe`] are the async half: the way to a relay, and whether it answers.
//!
//! # Diagnostics
//!
//! [`EdgeError`], sorted by who can mend it; each message says what to do next. Nothing panics.

pub(crate) mod attach;
mod batch;
mod capture;
mod clock;
mod counters;
pub(crate) mod error;
mod events;
mod flows;
pub mod health;
pub(crate) mod interface;
mod judge;
pub(crate) mod ladder;
pub(crate) mod maps;
mod memory;
pub mod nexthop;
pub(crate) mod pins;
mod policies;
pub mod probe;
pub(crate) mod program;
mod radar;
mod refusals;
mod sets;
mod state;
mod tunnels;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use redirector_common::abi::Settings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    capture::{CaptureReader, CaptureTerms},
    clock::{boot_time, monotonic_s},
    counters::{Capacities, PerInterface},
    error::{Blame, EdgeError},
    events::{DebugLines, EventReader},
    flows::SweepReport,
    judge::{
        Entrance, Ingress, Judgement, Unjudgeable, headers, interface_name, sockets, verdict_name,
    },
    ladder::{AttachMode, Ladder, LadderError, RefusedMode},
    pins::Shape,
    radar::Sighted,
    sets::make_places,
};
use self::{maps::Maps, pins::Pins, sets::Sets};

/// The kernel program, built from `redirector-ebpf` by `build.rs`.
pub static PROGRAM: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/outgate-xdp"));

/// Where and how large; from the configuration.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Directory on bpffs; a `v{ABI_VERSION}` below it holds maps and links.
    pub pin_dir: std::path::PathBuf,
    /// Entries of the flow table.
    pub flows_max: u32,
    /// Policies of each kind (hosts, prefixes) and family.
    pub policies_max: u32,
    /// New diverted connections a second of one customer.
    pub syn_rate: u32,
    /// Burst of the same.
    pub syn_burst: u32,
    /// Age in seconds at which a heartbeat is stale.
    pub heartbeat_limit_s: u32,
    /// Whether the kernel program writes debug lines.
    pub debug_lines: bool,
    /// Sources that the radar remembers in one window.
    pub radar_sources_max: u32,
}

/// One interface with the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// Name.
    pub interface: String,
    /// Index.
    pub ifindex: u32,
    /// Role, as `Role::name` spells it.
    pub role: String,
    /// How it is attached.
    pub mode: AttachMode,
    /// Kernel's number of the program.
    pub program_id: u32,
    /// Modes that stood before this one in the ladder, and why they were not got. Known as long as the
    /// controller that tried them runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedMode>,
}

/// The pinned maps and links of one pin directory.
pub struct Edge {
    config: EdgeConfig,
    pins: Pins,
    maps: Maps,
    sets: Sets,
    /// The object that owns the ring of debug lines, until somebody reads them.
    debug: Option<aya::Ebpf>,
    /// What the instances on the interfaces count.
    counts: counters::Arrays,
    /// What judges without consequences.
    dry_runs: judge::DryRuns,
    /// The flow table as it was counted last.
    counted: Option<judge::Counted>,
}

impl Edge {
    /// Opens the pin directory, and makes it and its maps where they are missing.
    ///
    /// # Errors
    ///
    /// [`EdgeError::NotBpffs`], [`EdgeError::NotPermitted`], [`EdgeError::ShapeDiffers`] if a map was
    /// pinned by another build or with another `flows_max`.
    pub fn open(config: EdgeConfig) -> Result<Self, EdgeError> {
        let pins = Pins::prepare(&config)?;
        make_places(&pins.dir())?;
        let object = program::open(&config, &pins, None)?;
        pins.share_with_group()?;
        let maps = Maps::open(&pins)?;
        let sets = Sets::open(&pins, config.policies_max, maps.settings()?.policy_set)?;
        let debug = config.debug_lines.then_some(object);
        let counts = counters::Arrays::open(&pins)?;
        let mut edge = Self {
            config,
            counts,
            pins,
            maps,
            sets,
            debug,
            dry_runs: judge::DryRuns::default(),
            counted: None,
        };
        edge.mend_listeners()?;
        // Whoever asked for frames has gone with the last controller.
        edge.end_capture()?;
        edge.ensure_cookie_key()?;
        edge.fit_policies()?;
        Ok(edge)
    }

    /// Shows every program instance that the controller lives, and tells it the configured limits.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn heartbeat(&mut self) -> Result<(), EdgeError> {
        let settings = Settings {
            heartbeat_s: monotonic_s(),
            heartbeat_limit_s: self.config.heartbeat_limit_s,
            syn_rate: self.config.syn_rate,
            syn_burst: self.config.syn_burst,
            ..self.maps.settings()?
        };
        self.maps.put_settings(&settings)
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The local address that this host would use towards another one, by its routing table. Nothing is sent.
///
/// # Errors
///
/// `ENETUNREACH` without a route.
pub fn local_source_towards(address: IpAddr) -> io::Result<IpAddr> {
    let unspecified: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0))?;
    // Connecting a datagram socket only looks up the route; any port will do.
    socket.connect((address, 9))?;
    socket.local_addr().map(|local| local.ip())
}
