//! What the program would do with a new connection, by the host's copy of the packet core.

use std::net::IpAddr;

use super::{Edge, EdgeError, Judgement};

impl Edge {
    /// Judges a SYN from `source` to port 25 of `destination`.
    pub fn judge(&self, source: IpAddr, destination: IpAddr) -> Result<Judgement, EdgeError> {
        Err(EdgeError::Impossible(format!(
            "judging {source} to {destination}: the packet core is not there yet"
        )))
    }
}
