//! The MX records of a domain, or what takes their place.

use tokio::time::Instant;

use super::RouteError;
use crate::dns::{Data, Dns, DnsName, Found, Kind};

/// Hosts by preference; among equals in random order (RFC 5321 section 5.1).
#[derive(Debug)]
pub(super) struct Exchangers {
    pub(super) list: Vec<(u16, DnsName)>,
    /// The answer is validated.
    pub(super) secure: bool,
    pub(super) until: Instant,
}

impl Exchangers {
    /// Asks.
    pub(super) async fn look_up(dns: &Dns, domain: &DnsName) -> Result<Self, RouteError> {
        let Found { answer, until } = dns.look_up(domain, Kind::Mx).await.map_err(|failure| {
            let text = format!("cannot look up the mail servers of {domain}: {failure}");
            RouteError::not_now("4.4.3", text)
        })?;
        if !answer.exists() {
            let text = format!("there is no domain {domain}");
            return Err(RouteError::never("5.1.2", text));
        }
        let list = arrange(answer.data(), domain)?;
        Ok(Self {
            list,
            secure: answer.secure(),
            until,
        })
    }
}

fn arrange(records: &[Data], domain: &DnsName) -> Result<Vec<(u16, DnsName)>, RouteError> {
    let mut hosts: Vec<(u16, DnsName)> = Vec::new();
    let (mut any, mut null) = (false, false);
    for record in records {
        match record {
            Data::Exchanger { null: true, .. } => null = true,
            Data::Exchanger {
                preference,
                host: Some(host),
                ..
            } => {
                any = true;
                hosts.push((*preference, host.clone()));
            }
            // Leads nowhere.
            Data::Exchanger { host: None, .. } => any = true,
            Data::Address(_) | Data::Text(_) | Data::Tlsa { .. } | Data::Other => {}
        }
    }
    if null && !any {
        // RFC 7505 section 4.
        let text = format!("{domain} takes no mail (null MX)");
        return Err(RouteError::never(NULL_MX, text));
    }
    if !any {
        // RFC 5321 section 5.1: the domain itself, if it has an address.
        return Ok(vec![(0, domain.clone())]);
    }
    fastrand::shuffle(&mut hosts);
    hosts.sort_by_key(|&(preference, _)| preference);
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|(_, host)| seen.insert(host.clone()));
    // Each costs look-ups; the domain's owner chooses their number.
    hosts.truncate(HOSTS_MAX);
    Ok(hosts)
}

/// Enhanced status code of a recipient whose domain has a null MX (RFC 7505 section 4.2).
pub(super) const NULL_MX: &str = "5.1.10";
const HOSTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(preference: u16, host: &str) -> Data {
        Data::Exchanger {
            preference,
            host: DnsName::new(host).ok(),
            null: host == ".",
        }
    }

    fn arranged(records: &[Data]) -> Result<Vec<String>, RouteError> {
        let domain = DnsName::new("example.org").unwrap();
        let hosts = arrange(records, &domain)?;
        Ok(hosts
            .iter()
            .map(|(preference, host)| format!("{preference} {host}"))
            .collect())
    }

    #[test]
    fn preference_decides_and_chance_among_equals() {
        let records = [
            mx(20, "c.example"),
            mx(10, "b.example"),
            mx(10, "a.example"),
            mx(30, "a.example"),
        ];
        let mut firsts = std::collections::HashSet::new();
        for _ in 0..200 {
            let hosts = arranged(&records).unwrap();
            assert_eq!(hosts.len(), 3);
            assert_eq!(hosts[2], "20 c.example");
            firsts.insert(hosts[0].clone());
        }
        assert_eq!(firsts.len(), 2);
    }

    #[test]
    fn a_domain_without_mx_is_its_own_and_a_null_mx_is_nobodys() {
        assert_eq!(arranged(&[]).unwrap(), ["0 example.org"]);
        let Err(RouteError::Never { status, .. }) = arranged(&[mx(0, ".")]) else {
            panic!("a null MX has a way");
        };
        assert_eq!(status, "5.1.10");
        // Beside others it is a mistake, and they count.
        assert_eq!(
            arranged(&[mx(0, "."), mx(5, "a.example")]).unwrap(),
            ["5 a.example"]
        );
        // One that is no name is still one: there is no implicit MX then.
        assert_eq!(
            arranged(&[mx(5, "*.example")]).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_number_is_bounded_and_the_best_are_kept() {
        let records: Vec<Data> = (0..100)
            .rev()
            .map(|n| mx(n, &format!("mx{n}.example")))
            .collect();
        let hosts = arranged(&records).unwrap();
        assert_eq!(hosts.len(), HOSTS_MAX);
        assert_eq!(hosts[0], "0 mx0.example");
    }
}
