//! What a route is looked for.

use core::net::SocketAddr;

/// A recipient domain, and where the customer's connection was going: both decide about the servers to try, and what is
/// waived about what these must show.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Recipient domain in lower case, as [`domain_text`](super::domain_text) writes it; empty for `<postmaster>`, which
    /// is for whoever the customer was speaking to.
    pub domain: String,
    /// Where the customer's connection was going, if it was diverted.
    pub original_dst: Option<SocketAddr>,
    /// What the domain demands of its servers' TLS counts for nothing.
    pub policies_waived: bool,
}
