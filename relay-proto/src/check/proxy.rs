//! The PROXY header under any octets from a proxy.

use crate::proxy::{FIXED_OCTETS, MAX_OCTETS, Proxied, ProxyError, decode, encode, total_octets};

/// A header is read whole or not at all, and what it says stands where the specification has it. Ours says the same.
pub fn header(octets: &[u8]) {
    let Some(fixed) = octets.first_chunk::<FIXED_OCTETS>() else {
        assert!(decode(octets).is_err());
        return;
    };
    let Ok(total) = total_octets(fixed) else {
        assert!(decode(octets).is_err());
        return;
    };
    assert!((FIXED_OCTETS..=MAX_OCTETS).contains(&total));
    let Some(whole) = octets.get(..total) else {
        assert!(decode(octets).is_err());
        return;
    };
    let read = decode(whole);
    assert_eq!(
        decode(octets).is_ok(),
        read.is_ok() && octets.len() == total
    );
    if let Ok(proxied) = read {
        match encode(&proxied) {
            Ok(ours) => assert_eq!(decode(&ours), Ok(proxied)),
            // One of the two was IPv4 in its IPv6 form.
            Err(error) => assert_eq!(error, ProxyError::NotTcp),
        }
    }
    if let Ok(Proxied::For {
        source,
        destination,
    }) = read
    {
        let length = if whole.get(13) == Some(&0x11) { 4 } else { 16 };
        let at = |start: usize, octets: usize| whole.get(start..start + octets).unwrap_or(&[]);
        for (address, ip, port) in [
            (source, FIXED_OCTETS, 2 * length),
            (destination, FIXED_OCTETS + length, 2 * length + 2),
        ] {
            let stands = match (address.ip(), at(ip, length)) {
                (core::net::IpAddr::V4(v4), octets) => octets.ends_with(&v4.octets()),
                (core::net::IpAddr::V6(v6), octets) => octets == v6.octets(),
            };
            assert!(stands, "{address}");
            assert_eq!(at(FIXED_OCTETS + port, 2), address.port().to_be_bytes());
        }
    }
}
