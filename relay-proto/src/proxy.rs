//! The PROXY protocol, version 2: what a load balancer says about a connection before its first octet.
//!
//! The caller reads [`FIXED_OCTETS`], asks [`total_octets`] how long the header is, reads as many, and gives all of
//! them to [`decode`]. Nothing behind the header is ever looked at. Whether the sender may be believed is the caller's
//! affair: whoever may write this header chooses the addresses that stand in it.
//!
//! TLVs are skipped, but must fill the header exactly; the one with a CRC32C is checked if it is there. Version 1,
//! a line of text, is not taken.
//!
//! [`encode`] is the other direction: what this relay says, as a proxy, to a server that has been told to listen for it.
//!
//! # Diagnostics
//! [`ProxyError`], the proxy's doing or its operator's; it never quotes what was sent.

use core::net::{IpAddr, SocketAddr};

use ppp::v2::{Addresses, Command, Header, Protocol, Type};

mod encode;

pub use encode::encode;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The proxy speaks for itself: a health check.
    Local,
    /// It speaks for somebody. IPv4 addresses are never in their IPv6 form.
    For {
        /// Who connected to the proxy.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
    },
}

/// Why a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It begins as something else does.
    #[error("no PROXY header where one must stand")]
    Absent,
    /// `PROXY ` and so on.
    #[error("a PROXY header of version 1; configure version 2 (HAProxy: send-proxy-v2)")]
    VersionOne,
    /// More than [`MAX_OCTETS`].
    #[error("a PROXY header of more than {MAX_OCTETS} octets")]
    TooLong,
    /// A field of it breaks the rules.
    #[error("a malformed PROXY header")]
    Malformed,
    /// It speaks for a connection that is not TCP over IP, or keeps the addresses to itself.
    #[error("a PROXY header without addresses of TCP over IPv4 or IPv6")]
    NotTcp,
    /// Its CRC32C is not that of its octets.
    #[error("a PROXY header with a wrong checksum")]
    Checksum,
}

/// Octets of the whole header, of which `fixed` is the beginning.
pub fn total_octets(fixed: &[u8; FIXED_OCTETS]) -> Result<usize, ProxyError> {
    if fixed.starts_with(b"PROXY ") {
        return Err(ProxyError::VersionOne);
    }
    let Some((SIGNATURE, [_, _, high, low])) = fixed.split_at_checked(SIGNATURE.len()) else {
        return Err(ProxyError::Absent);
    };
    let total = FIXED_OCTETS + usize::from(u16::from_be_bytes([*high, *low]));
    if total > MAX_OCTETS {
        return Err(ProxyError::TooLong);
    }
    Ok(total)
}

/// What a whole header says; of as many octets as [`total_octets`] wants.
pub fn decode(octets: &[u8]) -> Result<Proxied, ProxyError> {
    let fixed = octets.first_chunk().ok_or(ProxyError::Absent)?;
    if octets.len() != total_octets(fixed)? {
        return Err(ProxyError::Malformed);
    }
    let header = Header::try_from(octets).map_err(|_field| ProxyError::Malformed)?;
    check_tlvs(&header)?;
    if header.command == Command::Local {
        // What else stands there is to be ignored (section 2.2 of the specification).
        return Ok(Proxied::Local);
    }
    if header.protocol != Protocol::Stream {
        return Err(ProxyError::NotTcp);
    }
    let canonical = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    match header.addresses {
        Addresses::IPv4(it) => Ok(Proxied::For {
            source: canonical(it.source_address.into(), it.source_port),
            destination: canonical(it.destination_address.into(), it.destination_port),
        }),
        Addresses::IPv6(it) => Ok(Proxied::For {
            source: canonical(it.source_address.into(), it.source_port),
            destination: canonical(it.destination_address.into(), it.destination_port),
        }),
        Addresses::Unspecified | Addresses::Unix(_) => Err(ProxyError::NotTcp),
    }
}

fn check_tlvs(header: &Header<'_>) -> Result<(), ProxyError> {
    if header.addresses == Addresses::Unspecified {
        // The parser cannot tell where addresses of an unknown kind end and TLVs begin.
        return Ok(());
    }
    let mut at = header.len() - header.tlv_bytes().len();
    let mut checked = false;
    for tlv in header.tlvs() {
        let tlv = tlv.map_err(|_length| ProxyError::Malformed)?;
        let value = at + TLV_FIXED_OCTETS;
        at = value + tlv.value.len();
        if tlv.kind == Type::CRC32C as u8 {
            let said: [u8; 4] = (*tlv.value)
                .try_into()
                .map_err(|_length| ProxyError::Malformed)?;
            if core::mem::replace(&mut checked, true) {
                return Err(ProxyError::Malformed);
            }
            // Computed with zeros in its own place (section 2.2.3).
            let mut octets = header.as_bytes().to_vec();
            if let Some(own) = octets.get_mut(value..at) {
                own.fill(0);
            }
            if crc32c::crc32c(&octets) != u32::from_be_bytes(said) {
                return Err(ProxyError::Checksum);
            }
        }
    }
    Ok(())
}

/// Octets that every header has: signature, version and command, family and protocol, length.
pub const FIXED_OCTETS: usize = 16;
/// Octets of the longest header that is taken: addresses, and TLVs such as a proxy adds, names and certificates'
/// subjects among them.
pub const MAX_OCTETS: usize = 2048;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Type and length.
const TLV_FIXED_OCTETS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 12] = [192, 0, 2, 10, 203, 0, 113, 10, 0x9c, 0x40, 0, 25];

    fn header(version_command: u8, family_protocol: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let fixed = [version_command, family_protocol, length[0], length[1]];
        [SIGNATURE, &fixed, rest].concat()
    }

    fn v6(source: &str, destination: &str) -> Vec<u8> {
        let octets = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
        [
            &octets(source)[..],
            &octets(destination),
            &[0x9c, 0x40, 0, 25],
        ]
        .concat()
    }

    fn proxied(source: &str, destination: &str) -> Result<Proxied, ProxyError> {
        Ok(Proxied::For {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        })
    }

    #[test]
    fn headers_are_read_or_refused_for_what_they_are() {
        let known = proxied("192.0.2.10:40000", "203.0.113.10:25");
        let (source6, destination6) = ("2001:db8:a:a::10", "2001:db8:b:1::10");
        let six = proxied("[2001:db8:a:a::10]:40000", "[2001:db8:b:1::10]:25");
        let mapped = v6("::ffff:192.0.2.10", "::ffff:203.0.113.10");
        let tlv = |kind: u8, value: &[u8]| {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[kind, length[0], length[1]], value].concat()
        };
        let with = |tlvs: &[u8]| header(0x21, 0x11, &[&V4, tlvs].concat());
        let truncated = with(&tlv(0x04, b"abc")).split_last().unwrap().1.to_vec();
        let short_length = {
            let mut octets = with(&[]);
            octets[15] = 11;
            octets.pop();
            octets
        };
        let cases = [
            ("TCP over IPv4", with(&[]), known),
            (
                "TCP over IPv6",
                header(0x21, 0x21, &v6(source6, destination6)),
                six,
            ),
            ("IPv4 in IPv6", header(0x21, 0x21, &mapped), known),
            (
                "TLVs",
                with(&[tlv(0x04, b"pad"), tlv(0xee, b""), tlv(0x02, b"host")].concat()),
                known,
            ),
            (
                "a health check",
                header(0x20, 0x00, &[]),
                Ok(Proxied::Local),
            ),
            (
                "a health check with addresses",
                header(0x20, 0x11, &V4),
                Ok(Proxied::Local),
            ),
            ("UDP", header(0x21, 0x12, &V4), Err(ProxyError::NotTcp)),
            (
                "a Unix socket",
                header(0x21, 0x31, &[0; 216]),
                Err(ProxyError::NotTcp),
            ),
            (
                "addresses unknown",
                header(0x21, 0x00, &[]),
                Err(ProxyError::NotTcp),
            ),
            (
                "version 3",
                header(0x31, 0x11, &V4),
                Err(ProxyError::Malformed),
            ),
            (
                "command 2",
                header(0x22, 0x11, &V4),
                Err(ProxyError::Malformed),
            ),
            (
                "family 4",
                header(0x21, 0x41, &V4),
                Err(ProxyError::Malformed),
            ),
            (
                "protocol 3",
                header(0x21, 0x13, &V4),
                Err(ProxyError::Malformed),
            ),
            (
                "less than addresses",
                short_length,
                Err(ProxyError::Malformed),
            ),
            (
                "a TLV beyond the end",
                with(&[4, 0, 9, 1]),
                Err(ProxyError::Malformed),
            ),
            ("half a TLV", with(&[4, 0]), Err(ProxyError::Malformed)),
            ("less than announced", truncated, Err(ProxyError::Malformed)),
            (
                "more than announced",
                [with(&[]), b"E".to_vec()].concat(),
                Err(ProxyError::Malformed),
            ),
            (
                "too long",
                with(&tlv(4, &[0; MAX_OCTETS])),
                Err(ProxyError::TooLong),
            ),
            (
                "version 1",
                b"PROXY TCP4 192.0.2.10 203.0.113.10 40000 25\r\n".to_vec(),
                Err(ProxyError::VersionOne),
            ),
            (
                "SMTP",
                b"EHLO client.example\r\n".to_vec(),
                Err(ProxyError::Absent),
            ),
            ("nothing", Vec::new(), Err(ProxyError::Absent)),
        ];
        for (name, octets, expected) in cases {
            assert_eq!(decode(&octets), expected, "{name}");
        }
    }

    #[test]
    fn a_checksum_is_checked_where_there_is_one() {
        let summed = |checksum: [u8; 4]| {
            let tlvs = [&[3, 0, 4], &checksum[..], &[4, 0, 1, 0]].concat();
            header(0x21, 0x11, &[&V4[..], &tlvs].concat())
        };
        let checksum = crc32c::crc32c(&summed([0; 4])).to_be_bytes();
        let octets = summed(checksum);
        assert!(decode(&octets).is_ok());
        // Every octet is covered but the type of that TLV itself, without which there is no checksum.
        let kind = FIXED_OCTETS + V4.len();
        for at in (0..octets.len()).filter(|&at| at != kind) {
            let mut changed = octets.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "octet {at}");
        }
        let twice = [&V4[..], &[3, 0, 4], &[0; 4], &[3, 0, 4], &[0; 4]].concat();
        assert!(decode(&header(0x21, 0x11, &twice)).is_err());
        let short = [&V4[..], &[3, 0, 3, 0, 0, 0]].concat();
        assert_eq!(
            decode(&header(0x21, 0x11, &short)),
            Err(ProxyError::Malformed)
        );
    }

    #[test]
    fn crc32c_is_that_of_the_standard() {
        // RFC 3720 appendix B.4.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
