//! The names of the sites that a message comes from, as the rules of the configuration find them.

use std::net::IpAddr;

use relay_proto::address::ReversePath;
use relay_proto::behaviour::identity::{self, Identity};

use crate::config::{IdentityBy, IdentityRule};

/// What is known of a message before its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sites<'a> {
    pub(crate) rules: &'a [IdentityRule],
    pub(crate) customer: IpAddr,
    /// Who has logged in.
    pub(crate) user: Option<&'a str>,
    pub(crate) sender: &'a ReversePath,
}

impl Sites<'_> {
    /// Those that the envelope tells.
    pub(crate) fn of_envelope(&self) -> Vec<Identity> {
        self.named(|by| match by {
            IdentityBy::User => self.user.and_then(Identity::clean),
            IdentityBy::Sender => {
                let mailbox = self.sender.mailbox()?;
                Identity::clean(&mailbox.to_string().to_ascii_lowercase())
            }
            IdentityBy::SenderDomain => {
                let domain = self.sender.mailbox()?.domain().to_string();
                Identity::clean(&domain.to_ascii_lowercase())
            }
            IdentityBy::Header(_) => None,
        })
    }

    /// Those and the ones that the header tells, in the order of their rules' kinds: whoever is named by the envelope first.
    pub(crate) fn of_message(&self, header: &[u8]) -> Vec<Identity> {
        let mut all = self.of_envelope();
        let of_header = self.named(|by| match by {
            IdentityBy::Header(name) => Identity::clean(&identity::field(header, name)?),
            IdentityBy::User | IdentityBy::Sender | IdentityBy::SenderDomain => None,
        });
        for site in of_header {
            if !all.contains(&site) {
                all.push(site);
            }
        }
        all
    }

    /// Whether the header has to be read.
    pub(crate) fn stand_in_headers(&self) -> bool {
        let mut rules = self.rules();
        rules.any(|rule| matches!(rule.by, IdentityBy::Header(_)))
    }

    fn named(&self, name: impl Fn(&IdentityBy) -> Option<Identity>) -> Vec<Identity> {
        self.rules().filter_map(|rule| name(&rule.by)).collect()
    }

    fn rules(&self) -> impl Iterator<Item = &IdentityRule> {
        let customer = self.customer.to_canonical();
        let holds = move |rule: &&IdentityRule| {
            rule.from.is_empty() || rule.from.iter().any(|from| from.contains(customer))
        };
        self.rules.iter().filter(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_sites_of_the_hosts_that_they_are_for() {
        let rule = |by, from: &[&str]| {
            let from = from.iter().map(|it| it.parse().unwrap()).collect();
            IdentityRule { by, from }
        };
        let script = IdentityBy::Header("X-PHP-Originating-Script".into());
        let rules = [
            rule(IdentityBy::User, &[]),
            rule(script, &["192.0.2.0/24"]),
            rule(IdentityBy::SenderDomain, &["2001:db8:a::/48"]),
        ];
        let header = b"X-PHP-Originating-Script: 1001:mail.php\r\nSubject: x\r\n\r\nbody\r\n";
        let sender: ReversePath = "<Ann@Shop.example>".parse().unwrap();
        let named = |customer: &str, user| {
            let sites = Sites {
                rules: &rules,
                customer: customer.parse().unwrap(),
                user,
                sender: &sender,
            };
            let names = sites.of_message(header);
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            (sites.stand_in_headers(), names.join(" "))
        };
        let script = "1001:mail.php";
        assert_eq!(named("192.0.2.10", None), (true, script.into()));
        assert_eq!(
            named("192.0.2.10", Some("bob")),
            (true, format!("bob {script}"))
        );
        assert_eq!(named("2001:db8:a::1", None), (false, "shop.example".into()));
        assert_eq!(named("198.51.100.1", None), (false, String::new()));
        let rules = [rule(IdentityBy::Sender, &[])];
        let sites = |sender: &ReversePath| {
            let sites = Sites {
                rules: &rules,
                customer: "192.0.2.10".parse().unwrap(),
                user: None,
                sender,
            };
            sites
                .of_envelope()
                .iter()
                .map(ToString::to_string)
                .collect::<String>()
        };
        assert_eq!(sites(&sender), "ann@shop.example");
        assert_eq!(sites(&ReversePath::Null), "");
    }
}
