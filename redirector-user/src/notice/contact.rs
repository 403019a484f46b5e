//! Who is told of what happens to a prefix.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

/// Addresses of mail by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contacts(BTreeMap<IpNetwork, String>);

impl Contacts {
    /// Adds one; whether the prefix had none.
    pub fn add(&mut self, prefix: IpNetwork, mail: String) -> bool {
        self.0.insert(prefix, mail).is_none()
    }

    /// Who is told of a prefix: who has the narrowest prefix around it.
    #[must_use]
    pub fn of(&self, prefix: IpNetwork) -> Option<&str> {
        let covers = |(contact, _): &(&IpNetwork, &String)| {
            contact.contains(prefix.network()) && contact.prefix() <= prefix.prefix()
        };
        let around = self.0.iter().filter(covers);
        let narrowest = around.max_by_key(|(contact, _)| contact.prefix());
        narrowest.map(|(_, mail)| mail.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_prefix_wins_and_none_is_none() {
        let mut contacts = Contacts::default();
        for (prefix, mail) in [
            ("192.0.2.0/24", "wide"),
            ("192.0.2.16/28", "narrow"),
            ("2001:db8:a::/48", "six"),
        ] {
            assert!(contacts.add(prefix.parse().unwrap(), mail.to_owned()));
        }
        for (prefix, mail) in [
            ("192.0.2.10/32", Some("wide")),
            ("192.0.2.20/32", Some("narrow")),
            ("192.0.2.16/28", Some("narrow")),
            ("192.0.2.0/27", Some("wide")),
            ("192.0.0.0/16", None),
            ("198.51.100.1/32", None),
            ("2001:db8:a:a::/64", Some("six")),
            ("2001:db8:b::/64", None),
        ] {
            assert_eq!(contacts.of(prefix.parse().unwrap()), mail, "{prefix}");
        }
        assert!(!contacts.add("192.0.2.0/24".parse().unwrap(), String::new()));
    }
}
