//! The resolvers to ask, and whose word about DNSSEC counts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::config::DnsConfig;

/// Those of resolv.conf(5), or those of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// In the order to try.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether their AD bit is believed.
    pub(super) trusted: bool,
}

impl Servers {
    /// What `config` says now. The AD bit is believed only from loopback, where nobody is in between, and from
    /// where the operator says so. Where some are trusted, only these are asked: falling back to the others would
    /// mean that a policy vanishes whenever the first is away.
    ///
    /// An error means that the file cannot be read, which is not the same as that there is none: whoever knows resolvers
    /// from before goes on with them.
    pub(super) fn of(config: &DnsConfig) -> io::Result<Self> {
        let all = match &config.servers {
            Some(servers) => servers.clone(),
            None => read(Path::new("/etc/resolv.conf"))?,
        };
        let is_trusted = |server: &SocketAddr| {
            server.ip().is_loopback() || config.trusted.contains(&server.ip())
        };
        let trusted: Vec<_> = all.iter().copied().filter(is_trusted).collect();
        Ok(if trusted.is_empty() {
            Self {
                addresses: all,
                trusted: false,
            }
        } else {
            Self {
                addresses: trusted,
                trusted: true,
            }
        })
    }

    /// The one on this host, as resolv.conf(5) has it where nothing is said.
    pub(super) fn own() -> Self {
        Self {
            addresses: vec![OWN],
            trusted: true,
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<SocketAddr>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![OWN]),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let keyword = words.next()?;
        let address: IpAddr = words.next()?.parse().ok()?;
        (keyword == "nameserver").then(|| SocketAddr::new(address, PORT))
    });
    servers.take(SERVERS_MAX).collect()
}

const PORT: u16 = 53;
const OWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
/// More are never asked by anybody (MAXNS).
const SERVERS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read_as_the_library_reads_it() {
        let text = "# nameserver 192.0.2.9\nsearch example.net\nnameserver 192.0.2.53\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::53 \nnameserver\n\
                    nameserver 127.0.0.1\nnameserver 192.0.2.54\noptions edns0\n";
        let read: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["192.0.2.53:53", "[2001:db8::53]:53", "127.0.0.1:53"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_not_one_that_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let absent = read(&directory.path().join("resolv.conf"));
        assert_eq!(absent.unwrap(), [OWN]);
        assert!(read(directory.path()).is_err());
    }

    #[test]
    fn only_loopback_and_who_is_named_is_believed_and_then_nobody_else_is_asked() {
        let far: SocketAddr = "192.0.2.53:53".parse().unwrap();
        let near: SocketAddr = "[::1]:53".parse().unwrap();
        for (servers, trusted, asked, believed) in [
            (vec![far], vec![], vec![far], false),
            (vec![far, near], vec![], vec![near], true),
            (vec![far], vec![far.ip()], vec![far], true),
            (vec![], vec![far.ip()], vec![], false),
        ] {
            let config = DnsConfig {
                servers: Some(servers),
                trusted,
                ..DnsConfig::default()
            };
            let expected = Servers {
                addresses: asked,
                trusted: believed,
            };
            assert_eq!(Servers::of(&config).unwrap(), expected);
        }
    }
}
