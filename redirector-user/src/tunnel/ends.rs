//! Which of our addresses is the near end of which tunnel.

use std::net::IpAddr;

use redirector_common::{
    abi::host::{HOST_EDGES_MAX, HostEdge},
    addr::Addr,
};

use super::TunnelError;

/// Edges, each with its record: our end is the one address of its family.
pub(super) fn paired(
    locals: &[IpAddr],
    edges: &[IpAddr],
) -> Result<Vec<(IpAddr, HostEdge)>, TunnelError> {
    for (index, local) in locals.iter().enumerate() {
        let same = |other: &&IpAddr| other.is_ipv4() == local.is_ipv4();
        if let Some(other) = locals.iter().skip(index + 1).find(same) {
            return Err(TunnelError::TwoLocals {
                locals: [*local, *other],
            });
        }
    }
    if edges.len() > HOST_EDGES_MAX as usize {
        return Err(TunnelError::TooMany { edges: edges.len() });
    }
    edges
        .iter()
        .map(|edge| {
            let mut locals = locals.iter();
            let local = locals
                .find(|local| local.is_ipv4() == edge.is_ipv4())
                .ok_or(TunnelError::NoLocal { edge: *edge })?;
            if local == edge {
                return Err(TunnelError::OwnEdge { edge: *edge });
            }
            let local = Addr::from(*local);
            let record = HostEdge {
                local: local.mapped(),
                family: local.family(),
                ..HostEdge::default()
            };
            Ok((*edge, record))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(written: &[&str]) -> Vec<IpAddr> {
        written
            .iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    #[test]
    fn each_edge_gets_our_end_of_its_family() {
        let locals = addresses(&["198.51.100.7", "2001:db8:7::7"]);
        let edges = addresses(&["2001:db8:1::1", "192.0.2.1", "192.0.2.2"]);
        let paired = paired(&locals, &edges).unwrap();
        let local = |record: &HostEdge| {
            IpAddr::from(Addr::from_mapped(record.local, record.family)).to_string()
        };
        let said: Vec<_> = paired
            .iter()
            .map(|(edge, record)| (edge.to_string(), local(record)))
            .collect();
        let expected = [
            ("2001:db8:1::1", "2001:db8:7::7"),
            ("192.0.2.1", "198.51.100.7"),
            ("192.0.2.2", "198.51.100.7"),
        ];
        assert_eq!(
            said,
            expected.map(|(edge, local)| (edge.to_owned(), local.to_owned()))
        );
    }

    #[test]
    fn ends_that_make_no_tunnel_are_refused() {
        let cases = [
            (&["198.51.100.7"][..], &["2001:db8:1::1"][..], "--local"),
            (
                &["198.51.100.7", "198.51.100.8"],
                &["192.0.2.1"],
                "one --local",
            ),
            (&["198.51.100.7"], &["198.51.100.7"], "this host's own"),
        ];
        for (locals, edges, says) in cases {
            let error = paired(&addresses(locals), &addresses(edges)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
