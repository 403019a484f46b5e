//! What lists in the DNS say (RFC 5782): each host is a name below each list, and an address there means that it is listed.
//!
//! The relay's own stub asks, so the resolver of `[dns]` learns the names, and through it whoever runs the list; answers are
//! remembered for as long as they hold. So many questions are open at once, and none for longer than most of the
//! scanner's deadline, so that one list that is away takes nothing from what the others say.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use relay_proto::verdict::{Concern, Finding, OnError};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Opinion;
use crate::config::{Listed, Zone};
use crate::dns::{Dns, DnsName, Kind};

/// Lists, and how they are asked.
#[derive(Debug)]
pub(super) struct Lists {
    /// The scanner that asks them, for the log.
    pub(super) scanner: &'static str,
    pub(super) dns: Dns,
    pub(super) zones: Vec<Zone>,
    pub(super) deadline: Duration,
    pub(super) on_error: OnError,
    /// What the sender is told of a host that is listed.
    pub(super) told: fn(&Host) -> String,
}

/// What lists are asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Domain(DnsName),
    Address(IpAddr),
}

/// What one list is asked about one host.
#[derive(Debug)]
struct Question {
    list: DnsName,
    host: Host,
}

/// What the lists have said so far.
#[derive(Debug, Default)]
struct Heard {
    /// The first listing that is enough by itself.
    found: Option<(Concern, String)>,
    /// Entries that had a hit, by their places.
    hit: BTreeSet<usize>,
    reasons: Vec<String>,
    /// Lists that could not tell.
    failed: BTreeSet<String>,
}

impl Lists {
    /// Asks every list about every host, until one of them is enough.
    pub(super) async fn ask(&self, id: &str, hosts: &[Host]) -> Opinion {
        let until = Instant::now() + self.deadline * 4 / 5;
        let dns = &self.dns;
        let questions = self.questions(hosts);
        let asking = questions
            .into_iter()
            .map(|it| look_up(dns.clone(), it, until));
        let mut answers = futures_util::stream::iter(asking).buffer_unordered(OPEN_MAX);
        let mut heard = Heard::default();
        while heard.found.is_none()
            && let Some((question, answer)) = answers.next().await
        {
            self.take(&question, answer, &mut heard);
        }
        drop(answers);
        self.opinion(id, heard)
    }

    /// Each list once about each host that one of its entries says something about.
    fn questions(&self, hosts: &[Host]) -> Vec<Question> {
        let lists: BTreeSet<&DnsName> = self.zones.iter().map(|zone| &zone.name).collect();
        let mut questions = Vec::new();
        for list in lists {
            for host in hosts {
                let question = Question {
                    list: list.clone(),
                    host: host.clone(),
                };
                if self.entries(&question).next().is_some() {
                    questions.push(question);
                }
            }
        }
        questions
    }

    /// The entries of the list that say something about such a host, by their places.
    fn entries(&self, question: &Question) -> impl Iterator<Item = (usize, &Zone)> {
        let by_address = matches!(question.host, Host::Address(_));
        let entries = self.zones.iter().enumerate();
        entries.filter(move |(_, entry)| {
            entry.name == question.list && (entry.addresses || !by_address)
        })
    }

    fn take(&self, question: &Question, answer: Result<Vec<IpAddr>, String>, heard: &mut Heard) {
        let Question { list, host } = question;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                heard.failed.insert(format!("{list}: {failure}"));
                return;
            }
        };
        for (place, entry) in self.entries(question) {
            match entry.read(answer.iter().copied()) {
                Err(error) => {
                    let problem =
                        "by which it answers nothing; see its terms of use, and whom [dns] asks";
                    heard
                        .failed
                        .insert(format!("{list}: says {error}, {problem}"));
                }
                Ok(None) => {}
                Ok(Some(code)) => {
                    heard.hit.insert(place);
                    heard.reasons.push(format!("{list}: {host} ({code})"));
                    if let Listed::Found(concern) = entry.means
                        && heard.found.is_none()
                    {
                        let reason = format!("{} is listed by {list}", (self.told)(host));
                        heard.found = Some((concern, reason));
                    }
                }
            }
        }
    }

    fn opinion(&self, id: &str, heard: Heard) -> Opinion {
        let odds = heard.hit.iter().filter_map(|place| {
            let entry = self.zones.get(*place)?;
            match entry.means {
                Listed::LogOdds(odds) => Some(odds),
                Listed::Found(_) => None,
            }
        });
        // An entry counts once, however many hosts are on its list.
        let log_odds = odds.reduce(|sum, odds| sum + odds);
        let failed: Vec<String> = heard.failed.into_iter().take(FAILED_TOLD_MAX).collect();
        if !failed.is_empty() {
            let error = failed.join("; ");
            warn!(queue.id = id, scanner = self.scanner, %error, "a list cannot tell");
        }
        let mut reasons = heard.reasons;
        let finding = match heard.found {
            Some((concern, reason)) => Finding::Found { concern, reason },
            None if failed.is_empty() => Finding::Clean,
            None => {
                // What is said of a failure comes first.
                reasons = failed.into_iter().chain(reasons).collect();
                Finding::Failed {
                    on_error: self.on_error,
                }
            }
        };
        Opinion {
            log_odds,
            reasons,
            ..finding.into()
        }
    }
}

/// The addresses that the list answers with; none if the host is not on it.
async fn look_up(
    dns: Dns,
    question: Question,
    until: Instant,
) -> (Question, Result<Vec<IpAddr>, String>) {
    let Some(name) = question.list.below(&question.host.labels()) else {
        // What is too long for a name is on no list.
        return (question, Ok(Vec::new()));
    };
    let answer = match timeout_at(until, dns.look_up(&name, Kind::A)).await {
        Ok(Ok(found)) => Ok(found.answer.addresses().collect()),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_late) => Err("no answer in time".to_owned()),
    };
    (question, answer)
}

impl Host {
    /// What stands in front of a list's name: a domain as it is, octets of IPv4 and nibbles of IPv6 from the last to the
    /// first (RFC 5782 sections 2.1, 2.4 and 3).
    fn labels(&self) -> String {
        match self {
            Self::Domain(domain) => domain.to_string(),
            Self::Address(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}")
            }
            Self::Address(IpAddr::V6(address)) => {
                let octets = address.octets();
                let nibbles = octets.iter().rev().flat_map(|it| [it & 0xF, it >> 4]);
                let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
                labels.join(".")
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => domain.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Questions of one message that are open at once.
const OPEN_MAX: usize = 16;
const FAILED_TOLD_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_below_a_list() {
        let zone = DnsName::new("list.example").unwrap();
        let name = |host: Host| zone.below(&host.labels()).map(|name| name.to_string());
        let address = |text: &str| Host::Address(text.parse().unwrap());
        let domain = |text: &str| Host::Domain(DnsName::new(text).unwrap());
        assert_eq!(
            name(address("192.0.2.99")).unwrap(),
            "99.2.0.192.list.example"
        );
        // RFC 5782 section 2.4.
        assert_eq!(
            name(address("2001:db8:1:2:3:4:567:89ab")).unwrap(),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.list.example"
        );
        assert_eq!(
            name(domain("bad.example")).unwrap(),
            "bad.example.list.example"
        );
        let long = ["a23456789."; 25].concat() + "abc";
        assert_eq!(name(domain(&long)), None);
    }
}
