//! Queued mail handed over to another relay, or taken from one: nothing of it is lost, and nothing is changed.
//!
//! [`Peers`] is whom this relay knows and what it shows to them. The giver's side is [`giver`] over what can be given
//! ([`source`]); [`desk`] is it in a relay that runs, one hand-over at a time, and [`transfer`] without one. The
//! taker's side is [`taker`], one connection at a time for each spool. What is said is `relay_proto::handover`.
//!
//! A message is the giver's until the taker has said that it is on its disk; then it is the taker's, and the giver
//! writes down that it does not deliver it. When the answer is lost, the giver asks before it does anything else with
//! the message: what is in [`doubts`] is not attempted until the taker has said whether it has it. Only when nobody
//! answers for an hour the giver delivers it all the same, and says so: that is the one way to a second copy. The taker
//! remembers what it has [`taken`] until the giver has written it down, so that nothing is stored twice.
//!
//! A name is unique within a spool for ever, and what is on disk relies on it. So a message keeps its name where the
//! taker's spool has no later one, and is given a new one otherwise; both relays log both.
//!
//! # Diagnostics
//! Returned: [`TransferError`]. Logged: each message that is taken or given (`info`), and what a person must act upon.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use relay_proto::handover::SpoolName;
use relay_proto::queued::QueueId;
use serde::{Deserialize, Serialize};

use crate::config::PeersConfig;
use crate::durable;

mod cancelling;
mod desk;
mod doubts;
mod giver;
pub mod listener;
mod source;
mod taken;
mod taker;
mod tls;
mod transfer;
mod wire;

pub use cancelling::Cancelling;
pub(crate) use desk::Desk;
pub(crate) use source::Source;
pub(crate) use taken::Taken;
pub(crate) use taker::Taker;
pub use tls::Peers;
pub use transfer::{Directly, TransferError};

/// To whom mail is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, or how else a person has named it.
    pub name: String,
    /// Where it takes mail, in the order to try.
    pub addresses: Vec<SocketAddr>,
}

impl Target {
    /// The relay of that name in the configuration, if it takes mail anywhere.
    #[must_use]
    pub fn named(peers: &PeersConfig, name: &str) -> Option<Self> {
        let relay = peers.relays.iter().find(|relay| relay.name == name)?;
        let addresses = relay.addresses.clone();
        (!addresses.is_empty()).then(|| Self {
            name: name.to_owned(),
            addresses,
        })
    }
}

/// How far a hand-over has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// To whom.
    pub to: String,
    /// Nothing is handed over; it was only asked whether it could be.
    pub dry_run: bool,
    /// Messages that were there.
    pub total: u64,
    /// Those that are the other's now.
    pub handed_over: u64,
    /// Octets of their contents.
    pub octets: u64,
    /// Those that stay here because they cannot be handed over; the log says why.
    pub kept: u64,
    /// Octets that the other's spool has room for, as it said first.
    pub room_octets: Option<u64>,
    /// It has ended.
    pub ended: bool,
    /// Why it has ended early.
    pub error: Option<String>,
}

/// What watches a hand-over.
pub(crate) type Watched = tokio::sync::watch::Sender<Progress>;

/// The name of the spool in `dir`, made if it has none yet. Blocks on the disk.
fn spool_name(dir: &Path) -> io::Result<SpoolName> {
    let path = dir.join("name");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|problem| {
            let text = format!("{}: {problem}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut octets = [0; 16];
            aws_lc_rs::rand::fill(&mut octets)
                .map_err(|_unspecified| io::Error::other("the system has no random numbers"))?;
            let name = SpoolName(octets);
            durable::replace(&path, format!("{name}\n").as_bytes())?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}

/// The error names the file.
fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A task on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Ids as the log has them.
fn shown(ids: &[QueueId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(" ")
}

/// What several tasks have of one thing.
type Shared<T> = Arc<tokio::sync::Mutex<T>>;

#[cfg(test)]
mod tests;
