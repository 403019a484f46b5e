//! The scanner that asks lists in the DNS about where links in a message lead.
//!
//! Links are looked for in all that people read of a message's first [`LOOKED_AT_OCTETS`], decoded; asked about are the
//! domains that somebody has registered, and addresses. A message that links to more of them than are asked about, and of
//! which none is listed, is unscannable.

use std::sync::Arc;

use bytes::Bytes;
use relay_proto::verdict::Finding;
use tokio::task::spawn_blocking;

use super::lists::{Host, Lists};
use super::mime::{Body, Bounded, Limits};
use super::{Opinion, Scan, ScanError, Scanner, Stage, Submission, Terms};
use crate::config::UriblConfig;
use crate::dns::Dns;

mod hosts;
mod links;

use hosts::Hosts;
use links::{Links, decoded};

/// The scanner.
#[derive(Debug)]
pub(super) struct Uribl {
    lists: Lists,
    links: Arc<Links>,
    hosts_max: usize,
}

impl Uribl {
    /// Asks by `dns`.
    pub(super) fn new(config: &UriblConfig, dns: Dns) -> Self {
        Self {
            lists: Lists {
                scanner: "uribl",
                dns,
                zones: config.zones.clone(),
                deadline: config.deadline,
                on_error: config.on_error,
                told: |host| format!("the message links to {host}, which"),
            },
            links: Arc::new(Links::new()),
            hosts_max: config.hosts_max,
        }
    }

    async fn ask(&self, submission: &Submission) -> Result<Opinion, ScanError> {
        let content = submission.content.beginning(LOOKED_AT_OCTETS).await;
        let content = content.map_err(ScanError::Message)?;
        let (links, hosts_max) = (Arc::clone(&self.links), self.hosts_max);
        // Decoding is work for the processor, not for the threads that serve sockets.
        let looked = spawn_blocking(move || look_into(content, &links, hosts_max)).await;
        let (hosts, beyond) = looked.map_err(|_panic| ScanError::Panicked)?;
        let opinion = self.lists.ask(&submission.id, &hosts).await;
        Ok(match (&opinion.finding, beyond) {
            (Finding::Clean, Some(reason)) => Opinion {
                finding: Finding::Unscannable { reason },
                ..opinion
            },
            _ => opinion,
        })
    }
}

impl Scanner for Uribl {
    fn terms(&self) -> Terms {
        Terms {
            name: self.lists.scanner,
            stage: Stage::Body,
            deadline: self.lists.deadline,
            on_error: self.lists.on_error,
        }
    }

    fn scan(&self, submission: Arc<Submission>) -> Scan<'_> {
        Box::pin(async move { self.ask(&submission).await })
    }
}

/// The hosts that a message links to, and what it has more of than was looked at.
fn look_into(content: Bytes, links: &Links, hosts_max: usize) -> (Vec<Host>, Option<String>) {
    let message = Bounded::parse(content, Limits::default());
    let mut hosts = Hosts::at_most(hosts_max);
    for part in &message.parts {
        let Some(text) = part.text() else {
            continue;
        };
        if matches!(part.body, Body::Html(_)) {
            links.each(&decoded(&text), |authority| hosts.push(authority));
        } else {
            links.each(&text, |authority| hosts.push(authority));
        }
    }
    let beyond = if hosts.is_full() {
        Some(format!("links to more than {hosts_max} domains"))
    } else {
        message
            .whole()
            .err()
            .map(|beyond| format!("it has {beyond}"))
    };
    (hosts.into_list(), beyond)
}

/// What is cut off is mostly the end of an attachment.
const LOOKED_AT_OCTETS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(message: &str, hosts_max: usize) -> (Vec<String>, Option<String>) {
        let content = Bytes::from(message.to_owned());
        let (hosts, beyond) = look_into(content, &Links::new(), hosts_max);
        (hosts.iter().map(ToString::to_string).collect(), beyond)
    }

    #[test]
    fn links_are_found_in_all_that_people_read() {
        let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             See http://www.one=\r\n.example/ today.\r\n\
             --b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n\
             PGEgaHJlZj0iaHR0cDovL2EuYi50dyYjMTExOy5leGFtcGxlLyI+eDwvYT4=\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nhttps://three.example\r\n\
             --b\r\nContent-Type: application/octet-stream\r\n\r\nhttp://four.example/\r\n--b--\r\n";
        let (hosts, beyond) = looked(message, 10);
        assert_eq!(hosts, ["one.example", "two.example", "three.example"]);
        assert_eq!(beyond, None);
    }

    #[test]
    fn what_is_not_asked_about_is_told() {
        let links: String = (0..10)
            .map(|it| format!("http://d{it}.example/ "))
            .collect();
        let message = format!("Subject: x\r\n\r\n{links}{links}\r\n");
        let (hosts, beyond) = looked(&message, 10);
        assert_eq!((hosts.len(), beyond), (10, None));
        let (hosts, beyond) = looked(&message, 9);
        let told = "links to more than 9 domains".to_owned();
        assert_eq!((hosts.len(), beyond), (9, Some(told)));
    }
}
