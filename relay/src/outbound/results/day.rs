//! One day's results, bounded in number and in octets.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Ends;
use crate::dns::DnsName;
use crate::outbound::requirement::{Policy, Subject};

/// All of one day (UTC).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// Per policy and server, in order.
    pub policies: Vec<Counted>,
    /// Sessions that found no place among them.
    pub uncounted: u64,
    /// About how many octets they take.
    #[serde(skip)]
    octets: usize,
}

/// Sessions to which one policy applied, with one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Whose mail they were to carry; empty in files of earlier versions, which did not tell.
    #[serde(default)]
    pub mail_of: String,
    /// The policy's domain.
    pub domain: String,
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy: String,
    /// The server, if its name is known.
    pub mx_host: Option<String>,
    /// The policy as it was published: lines of MTA-STS, or TLSA records.
    #[serde(default)]
    pub text: Vec<String>,
    /// Sessions that showed what was demanded.
    pub successes: u64,
    /// Those that did not, by the result types of RFC 8460 section 4.3.
    pub failures: BTreeMap<String, u64>,
    /// The same by address, as far as there is room; the others are only among `failures`.
    #[serde(default)]
    pub details: Vec<Detail>,
}

/// Sessions between two addresses that did not show what was demanded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// Result type of RFC 8460 section 4.3.
    pub result: String,
    /// What the server saw.
    pub sending_ip: Option<IpAddr>,
    /// The server.
    pub receiving_ip: Option<IpAddr>,
    /// How many.
    pub count: u64,
}

impl Day {
    /// What was counted of one domain's mail.
    pub fn of(&self, domain: &str) -> impl Iterator<Item = &Counted> {
        // Files of earlier versions are in another order.
        let policies = self.policies.iter();
        policies.filter(move |counted| counted.mail_of() == domain)
    }

    /// Lets `add` count something for `subject`, if there is room.
    pub(super) fn count(&mut self, subject: &Subject, add: impl FnOnce(&mut Counted)) {
        match self
            .policies
            .binary_search_by(|counted| counted.cmp(subject))
        {
            Ok(place) => {
                if let Some(counted) = self.policies.get_mut(place) {
                    let before = counted.octets();
                    add(counted);
                    self.octets += counted.octets().saturating_sub(before);
                }
            }
            Err(place) => {
                let mut counted = Counted::of(subject);
                add(&mut counted);
                let octets = counted.octets();
                let of_domain = self.places_of(&counted.mail_of);
                let octets_max = match subject.policy {
                    Policy::Tlsa | Policy::Sts => OCTETS_PER_DAY_MAX,
                    Policy::NoneFound => OCTETS_WITHOUT_POLICY_MAX,
                };
                if of_domain >= PER_DOMAIN_MAX || self.octets + octets > octets_max {
                    self.uncounted += 1;
                    return;
                }
                self.octets += octets;
                self.policies.insert(place, counted);
            }
        }
    }

    fn places_of(&self, mail_of: &str) -> usize {
        let policies = &self.policies;
        let start = policies.partition_point(|it| it.mail_of.as_str() < mail_of);
        policies.partition_point(|it| it.mail_of.as_str() <= mail_of) - start
    }

    /// After it was read from a file.
    pub(super) fn weigh(&mut self) {
        self.octets = self.policies.iter().map(Counted::octets).sum();
        // Earlier versions had another order.
        self.policies.sort_by(|a, b| a.key().cmp(&b.key()));
    }
}

type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, &'a [String]);

impl Counted {
    /// Whose mail it was: who is told.
    #[must_use]
    pub fn mail_of(&self) -> &str {
        if self.mail_of.is_empty() {
            &self.domain
        } else {
            &self.mail_of
        }
    }

    /// Sessions that did not show what was demanded.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn fail(&mut self, result: &'static str, ends: Ends) {
        *self.failures.entry(result.to_owned()).or_default() += 1;
        if ends == Ends::default() {
            return;
        }
        let same = |detail: &&mut Detail| {
            detail.result == result
                && detail.sending_ip == ends.sending
                && detail.receiving_ip == ends.receiving
        };
        if let Some(detail) = self.details.iter_mut().find(same) {
            detail.count += 1;
        } else if self.details.len() < DETAILS_MAX {
            self.details.push(Detail {
                result: result.to_owned(),
                sending_ip: ends.sending,
                receiving_ip: ends.receiving,
                count: 1,
            });
        }
    }

    fn of(subject: &Subject) -> Self {
        Self {
            mail_of: subject.mail_of.to_string(),
            domain: subject.domain.to_string(),
            policy: subject.policy.name().into(),
            mx_host: subject.host.as_ref().map(ToString::to_string),
            text: subject.text.clone(),
            successes: 0,
            failures: BTreeMap::new(),
            details: Vec::new(),
        }
    }

    fn key(&self) -> Key<'_> {
        let host = self.mx_host.as_deref();
        (&self.mail_of, &self.domain, &self.policy, host, &self.text)
    }

    fn cmp(&self, subject: &Subject) -> Ordering {
        let host = subject.host.as_ref().map(DnsName::as_str);
        self.key().cmp(&(
            subject.mail_of.as_str(),
            subject.domain.as_str(),
            subject.policy.name(),
            host,
            &subject.text,
        ))
    }

    fn octets(&self) -> usize {
        let host = self.mx_host.as_ref().map_or(0, String::len);
        let text: usize = self.text.iter().map(|line| line.len() + LINE_OCTETS).sum();
        let details = (self.details.len() + self.failures.len()) * DETAIL_OCTETS;
        COUNTED_OCTETS + self.mail_of.len() + self.domain.len() + host + text + details
    }
}

impl Policy {
    /// Its name in reports.
    fn name(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoneFound => "no-policy-found",
        }
    }
}

/// Some 20,000 policies of usual size. Counting what is there already goes on beyond it, within `DETAILS_MAX`.
const OCTETS_PER_DAY_MAX: usize = 8 << 20;
/// Most domains have no policy, and take no place of those that have one.
const OCTETS_WITHOUT_POLICY_MAX: usize = OCTETS_PER_DAY_MAX / 2;
/// A domain that changes its policy all the time takes nobody's place.
const PER_DOMAIN_MAX: usize = 64;
/// What each costs beside its texts, on disk and in memory.
const COUNTED_OCTETS: usize = 200;
const LINE_OCTETS: usize = 24;
const DETAIL_OCTETS: usize = 120;
/// Results are few; addresses are whoever's who owns the domain.
const DETAILS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn subject(number: usize) -> Subject {
        Subject {
            mail_of: DnsName::new(&format!("d{number:06}.example")).unwrap(),
            domain: DnsName::new("mx.example").unwrap(),
            policy: Policy::Tlsa,
            host: None,
            text: vec!["3 1 1 00".into()],
        }
    }

    #[test]
    fn what_strangers_choose_is_bounded() {
        let mut day = Day::default();
        for number in 0..100_000 {
            day.count(&subject(number), |counted| counted.successes += 1);
        }
        let kept = u64::try_from(day.policies.len()).unwrap();
        assert!(kept > 20_000 && day.octets <= OCTETS_PER_DAY_MAX, "{kept}");
        assert_eq!(kept + day.uncounted, 100_000);
        // What is known goes on being counted.
        day.count(&subject(7), |counted| counted.successes += 1);
        assert_eq!(day.of("d000007.example").next().unwrap().successes, 2);
        let before = day.octets;
        day.weigh();
        assert_eq!(day.octets, before);
    }

    #[test]
    fn domains_without_a_policy_leave_room_for_those_with_one() {
        let mut day = Day::default();
        let without = |number| Subject {
            policy: Policy::NoneFound,
            text: Vec::new(),
            ..subject(number)
        };
        for number in 0..100_000 {
            day.count(&without(number), |counted| counted.successes += 1);
        }
        let kept = day.policies.len();
        assert!(
            kept > 10_000 && day.octets <= OCTETS_WITHOUT_POLICY_MAX,
            "{kept}"
        );
        for number in 0..1000 {
            day.count(&subject(number), |counted| counted.successes += 1);
        }
        assert_eq!(day.policies.len(), kept + 1000);
        assert_eq!(day.of("d000007.example").count(), 2);
    }

    #[test]
    fn addresses_are_bounded_and_failures_are_not() {
        let mut counted = Counted::of(&subject(1));
        for number in 0..1000_u32 {
            let ends = Ends {
                sending: None,
                receiving: Some(Ipv4Addr::from_bits(number).into()),
            };
            counted.fail("certificate-expired", ends);
        }
        counted.fail("certificate-expired", Ends::default());
        assert_eq!(counted.failed(), 1001);
        assert_eq!(counted.details.len(), DETAILS_MAX);
    }

    #[test]
    fn a_changed_policy_is_another() {
        let mut day = Day::default();
        let mut other = subject(1);
        other.text = vec!["3 1 1 01".into()];
        for subject in [&subject(1), &other, &subject(1)] {
            day.count(subject, |counted| counted.successes += 1);
        }
        let counted: Vec<u64> = day.of("d000001.example").map(|it| it.successes).collect();
        assert_eq!(counted, [2, 1]);
        // But one domain has no end of them.
        for number in 0..1000 {
            other.text = vec![format!("3 1 1 {number:04}")];
            day.count(&other, |counted| counted.successes += 1);
        }
        day.count(&subject(2), |counted| counted.successes += 1);
        assert_eq!(day.of("d000001.example").count(), PER_DOMAIN_MAX);
        assert_eq!(day.of("d000002.example").count(), 1);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let old = r#"{"policies":[{"domain":"b.example","policy":"sts","mx_host":null,"successes":1,"failures":{}},
            {"domain":"a.example","policy":"sts","mx_host":null,"successes":2,"failures":{}}],"uncounted":0}"#;
        let mut day: Day = serde_json::from_str(old).unwrap();
        day.weigh();
        assert_eq!(day.of("b.example").next().unwrap().successes, 1);
        assert_eq!(day.policies[0].domain, "a.example");
    }
}
