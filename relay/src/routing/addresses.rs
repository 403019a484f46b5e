//! The addresses of a host, and whether anybody could have forged them.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use crate::config::Families;
use crate::dns::{Dns, DnsName, Failure, Found, Kind};

/// What the DNS says of a host.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// In the order to try.
    pub(crate) list: Vec<IpAddr>,
    /// All of them are validated.
    pub(super) secure: bool,
    /// The host's name is an alias of this one.
    pub(super) alias_of: Option<DnsName>,
    /// A kind of addresses is not known, and there are no others.
    pub(super) failure: Option<Failure>,
    pub(super) until: Instant,
}

impl Addresses {
    /// Asks for both kinds at once.
    pub(crate) async fn look_up(dns: &Dns, host: &DnsName, families: Families) -> Self {
        let (four, six) = match families {
            Families::Ipv6First | Families::Ipv4First => {
                let (four, six) =
                    tokio::join!(dns.look_up(host, Kind::A), dns.look_up(host, Kind::Aaaa));
                (Some(four), Some(six))
            }
            Families::Ipv4Only => (Some(dns.look_up(host, Kind::A).await), None),
            Families::Ipv6Only => (None, Some(dns.look_up(host, Kind::Aaaa).await)),
        };
        let in_order = match families {
            Families::Ipv6First | Families::Ipv6Only => [six, four],
            Families::Ipv4First | Families::Ipv4Only => [four, six],
        };
        Self::of(in_order.into_iter().flatten())
    }

    fn of(results: impl Iterator<Item = Result<Found, Failure>>) -> Self {
        let mut this = Self {
            list: Vec::new(),
            secure: true,
            alias_of: None,
            failure: None,
            until: Instant::now() + FAILED_UNTIL,
        };
        let mut until = None;
        for result in results {
            match result {
                Ok(Found {
                    answer,
                    until: holds,
                }) => {
                    until = Some(until.map_or(holds, |until: Instant| until.min(holds)));
                    let mut addresses: Vec<IpAddr> = answer
                        .addresses()
                        .filter(|&address| is_somewhere(address))
                        .collect();
                    fastrand::shuffle(&mut addresses);
                    addresses.truncate(PER_FAMILY_MAX);
                    if !addresses.is_empty() {
                        this.secure &= answer.secure();
                        if answer.aliased() {
                            this.alias_of = answer.canonical().cloned();
                        }
                    }
                    this.list.extend(addresses);
                }
                Err(failure) => this.failure = Some(failure),
            }
        }
        // One kind is enough: some domains' servers cannot tell that they have no AAAA.
        if !this.list.is_empty() {
            this.failure = None;
        }
        this.secure &= !this.list.is_empty();
        this.until = until.unwrap_or(this.until);
        this
    }

    /// With a port.
    pub(super) fn at(&self, port: u16) -> Vec<SocketAddr> {
        self.list
            .iter()
            .map(|&address| SocketAddr::new(address, port))
            .collect()
    }
}

/// A stranger's DNS must not make us connect to ourselves, or to a whole network.
pub(super) fn is_somewhere(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !broadcast
}

const PER_FAMILY_MAX: usize = 8;
const FAILED_UNTIL: std::time::Duration = std::time::Duration::from_secs(30);
