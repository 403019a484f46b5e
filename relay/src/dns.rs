//! Look-ups in the DNS by the resolvers of this host.

mod name;

pub use name::{DnsName, NotAName};
