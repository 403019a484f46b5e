//! Writing a header: signature, command, addresses, and no TLVs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ppp::v2::{Addresses, Builder, Command, Protocol, Version};

use super::{Proxied, ProxyError};

impl Proxied {
    /// What `server` is told of mail from `source`. The port is 0, because nobody remembers that of a connection that is
    /// over, and a destination of the other family is left unspecified: the source must stand there as it is.
    #[must_use]
    pub fn on_behalf(source: IpAddr, server: SocketAddr) -> Self {
        let source = source.to_canonical();
        let destination = match (source, server.ip().to_canonical()) {
            (IpAddr::V4(_), IpAddr::V6(_)) => Ipv4Addr::UNSPECIFIED.into(),
            (IpAddr::V6(_), IpAddr::V4(_)) => Ipv6Addr::UNSPECIFIED.into(),
            (IpAddr::V4(_), same @ IpAddr::V4(_)) | (IpAddr::V6(_), same @ IpAddr::V6(_)) => same,
        };
        Self::For {
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, server.port()),
        }
    }
}

/// A header that says this. [`ProxyError::NotTcp`] if its addresses are of two families, for which there is no header.
pub fn encode(proxied: &Proxied) -> Result<Vec<u8>, ProxyError> {
    let (command, protocol, addresses) = match *proxied {
        Proxied::Local => (
            Command::Local,
            Protocol::Unspecified,
            Addresses::Unspecified,
        ),
        Proxied::For {
            source,
            destination,
        } => match Addresses::from((source, destination)) {
            Addresses::Unspecified | Addresses::Unix(_) => return Err(ProxyError::NotTcp),
            addresses @ (Addresses::IPv4(_) | Addresses::IPv6(_)) => {
                (Command::Proxy, Protocol::Stream, addresses)
            }
        },
    };
    let header = Builder::with_addresses(Version::Two | command, protocol, addresses);
    header.build().map_err(|_length| ProxyError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    #[test]
    fn what_is_written_is_read_and_stands_where_the_specification_has_it() {
        for (source, server, expected) in [
            (
                "192.0.2.10",
                "203.0.113.10:25",
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x0a\xcb\0\x71\x0a\0\0\0\x19"[..],
            ),
            (
                "::ffff:192.0.2.10",
                "[2001:db8::25]:587",
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x0a\0\0\0\0\0\0\x02\x4b"[..],
            ),
            (
                "2001:db8::a",
                "[2001:db8::25]:25",
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0a\
                  \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x25\0\0\0\x19"[..],
            ),
            (
                "2001:db8::a",
                "203.0.113.10:25",
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0a\
                  \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x19"[..],
            ),
        ] {
            let said = Proxied::on_behalf(source.parse().unwrap(), server.parse().unwrap());
            let header = encode(&said).unwrap();
            assert_eq!(header, expected, "{source} to {server}");
            assert_eq!(decode(&header), Ok(said));
        }
    }

    #[test]
    fn who_speaks_for_itself_says_so() {
        let header = encode(&Proxied::Local).unwrap();
        assert_eq!(header, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        assert_eq!(decode(&header), Ok(Proxied::Local));
    }

    #[test]
    fn there_is_no_header_for_two_families() {
        let mixed = Proxied::For {
            source: "192.0.2.10:1".parse().unwrap(),
            destination: "[2001:db8::25]:25".parse().unwrap(),
        };
        assert_eq!(encode(&mixed), Err(ProxyError::NotTcp));
    }
}
