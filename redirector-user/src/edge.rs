//! The edge: the kernel program on its interfaces, its pinned maps, and what they lean on.

use std::net::IpAddr;

use redirector_common::abi::Role;
use serde::{Deserialize, Serialize};

/// The kernel program, built from `redirector-ebpf` by `build.rs`.
pub static PROGRAM: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/outgate-xdp"));

/// Where and how large; from the configuration.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Directory on bpffs; a `v{ABI_VERSION}` below it holds maps and links.
    pub pin_dir: std::path::PathBuf,
    /// Entries of the flow table.
    pub flows_max: u32,
    /// New diverted connections a second of one customer.
    pub syn_rate: u32,
    /// Burst of the same.
    pub syn_burst: u32,
    /// Age in seconds at which a heartbeat is stale.
    pub heartbeat_limit_s: u32,
    /// Whether the kernel program writes debug lines.
    pub debug_lines: bool,
}

/// How a program is attached. Never changed silently: what was asked is tried, and what was got is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook; slower, works everywhere.
    Generic,
}

/// One interface with the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What the program would do with a new connection, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// `pass`, `drop`, `tx` or `redirect`.
    pub verdict: String,
    /// Counter that it would raise.
    pub counter: String,
    /// Prefix of the rule that matched.
    pub rule: Option<ipnetwork::IpNetwork>,
    /// Flag behind it.
    pub flag_id: Option<u32>,
    /// Action of the rule.
    pub action: Option<String>,
    /// Relay number and listener, if diverted.
    pub relay: Option<(u32, IpAddr)>,
}

const _: Option<Role> = None;
