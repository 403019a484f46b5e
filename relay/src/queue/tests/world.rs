//! A world whose spool is a map and whose sites are moods.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay_proto::address::{ForwardPath, ReversePath};
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queue::{Fault, Target};
use relay_proto::queued::{Attempt, Cause, Egress, Outcome, QueueId, Queued, Source, UnixMillis};
use relay_proto::reply::Reply;
use tokio::time::{Instant, sleep};

use crate::queue::world::{
    Attempted, Departure, NoConnection, NoRoute, Routed, Stored, Unreadable, World,
};

/// How a domain's servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Greylists,
    Refuses,
    Unreachable,
    /// 421 in the middle.
    Strained,
    PanicsAtOpening,
    PanicsAtAttempt,
    NoSuchDomain,
    DnsIsAway,
    PanicsAtRouting,
    PanicsAtChoosing,
}

#[derive(Default)]
pub(super) struct Fake {
    pub(super) spool: Mutex<BTreeMap<QueueId, (Queued, Vec<usize>)>>,
    pub(super) moods: Mutex<HashMap<String, Mood>>,
    /// What happened, in order.
    pub(super) log: Mutex<Vec<String>>,
    pub(super) is_spool_broken: Mutex<bool>,
    /// Domains that share this site instead of having their own.
    pub(super) shared: Mutex<HashMap<String, String>>,
    /// Only connections of their own carry these domains.
    pub(super) particular: Mutex<Vec<String>>,
    pub(super) attempt_takes: Mutex<Duration>,
    last: Mutex<Option<QueueId>>,
}

pub(super) struct Line {
    domain: String,
    carried: u32,
}

impl Fake {
    fn mood(&self, domain: &str) -> Mood {
        let moods = self.moods.lock().unwrap();
        moods.get(domain).copied().unwrap_or(Mood::Well)
    }

    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub(super) fn set(&self, domain: &str, mood: Mood) {
        self.moods.lock().unwrap().insert(domain.into(), mood);
    }

    /// How many lines of the log begin like this.
    pub(super) fn count(&self, beginning: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|line| line.starts_with(beginning))
            .count()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn next_id(&self, now: UnixMillis) -> QueueId {
        let mut last = self.last.lock().unwrap();
        let id = QueueId::after(*last, now);
        *last = Some(id);
        id
    }

    /// Puts a message into the spool.
    pub(super) fn store(&self, now: UnixMillis, customer: &str, to: &[&str]) -> Queued {
        let queued = message(self.next_id(now), now, customer, to);
        let all = (0..to.len()).collect();
        self.spool
            .lock()
            .unwrap()
            .insert(queued.id, (queued.clone(), all));
        queued
    }

    fn finish(&self, id: QueueId, done: impl Iterator<Item = usize>) {
        let mut spool = self.spool.lock().unwrap();
        for recipient in done {
            let (_, pending) = spool.get_mut(&id).expect("finished twice");
            let place = pending.iter().position(|it| *it == recipient);
            pending.remove(place.expect("a recipient is finished twice"));
            if pending.is_empty() {
                spool.remove(&id);
            }
        }
    }
}

pub(super) fn message(id: QueueId, arrived: UnixMillis, customer: &str, to: &[&str]) -> Queued {
    let recipient = |to: &&str| {
        let path: ForwardPath = format!("<{to}>").parse().unwrap();
        Recipient::new(path)
    };
    let from: ReversePath = "<sender@customer.example>".parse().unwrap();
    Queued {
        id,
        arrived,
        source: Source::Customer {
            address: customer.parse::<IpAddr>().unwrap(),
            original_dst: None,
            ehlo: None,
            tls: false,
            flag_id: None,
            user: None,
        },
        egress: Egress::Pool,
        mail: Mail::new(from),
        recipients: to.iter().map(recipient).collect(),
        trace: String::new(),
        may_notify: true,
        held: None,
    }
}

fn cause(code: u16, text: &str) -> Cause {
    Cause::Reply(Reply::plain(code, text))
}

fn domain_of(queued: &Queued, recipient: usize) -> String {
    let ForwardPath::Mailbox(mailbox) = &queued.recipients[recipient].forward_path else {
        return String::new();
    };
    relay_proto::queue::domain_text(mailbox.domain())
}

impl World for Fake {
    type Route = String;
    type Way = ();
    type Connection = Line;
    type Content = ();

    async fn read(&self, id: QueueId) -> Result<(Queued, ()), Unreadable> {
        self.envelope(id).await.map(|queued| (queued, ()))
    }

    async fn envelope(&self, id: QueueId) -> Result<Queued, Unreadable> {
        let spool = self.spool.lock().unwrap();
        let (queued, _) = spool.get(&id).ok_or(Unreadable::Gone)?;
        Ok(queued.clone())
    }

    async fn settle(&self, queued: &Queued, attempts: &[Attempt]) -> io::Result<Vec<Stored>> {
        if *self.is_spool_broken.lock().unwrap() {
            self.note("unsettled".into());
            return Err(io::Error::other("broken"));
        }
        let mut notified = Vec::new();
        for attempt in attempts {
            let domain = domain_of(queued, attempt.recipient);
            let what = match &attempt.outcome {
                Outcome::Delivered { .. } => "delivered",
                Outcome::Failed(_) => "failed",
                Outcome::Deferred(_) => "expired",
            };
            self.note(format!("{what} {domain}"));
            if what != "delivered" && queued.source != Source::Relay && notified.is_empty() {
                let mut notice = self.store(queued.arrived, "192.0.2.1", &["x@sender.example"]);
                notice.source = Source::Relay;
                let mut spool = self.spool.lock().unwrap();
                spool.get_mut(&notice.id).unwrap().0.source = Source::Relay;
                notified.push(Stored {
                    queued: notice,
                    octets: 100,
                });
            }
        }
        self.finish(queued.id, attempts.iter().map(|it| it.recipient));
        Ok(notified)
    }

    async fn warn(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
    ) -> io::Result<Vec<Stored>> {
        let hours = (until.0 - queued.arrived.0) / 3_600_000;
        let domain = domain_of(queued, attempts[0].recipient);
        self.note(format!("warned {domain} {hours} h"));
        Ok(Vec::new())
    }

    async fn discard(&self, id: QueueId, recipients: &[usize]) -> io::Result<()> {
        if *self.is_spool_broken.lock().unwrap() {
            return Err(io::Error::other("broken"));
        }
        self.note("discarded".into());
        self.finish(id, recipients.iter().copied());
        Ok(())
    }

    async fn route(&self, target: &Target) -> Result<Routed<String>, NoRoute> {
        sleep(Duration::from_millis(5)).await;
        self.note(format!("routed {}", target.domain));
        let (never, text) = match self.mood(&target.domain) {
            Mood::NoSuchDomain => (true, "no such domain"),
            Mood::DnsIsAway => (false, "no answer"),
            Mood::PanicsAtRouting => panic!("a bug in routing"),
            _ => {
                let shared = self.shared.lock().unwrap();
                let site = shared.get(&target.domain).unwrap_or(&target.domain);
                return Ok(Routed {
                    route: target.domain.clone(),
                    site: site.as_str().into(),
                    until: Instant::now() + Duration::from_secs(300),
                });
            }
        };
        Err(NoRoute {
            never,
            cause: Cause::Local {
                status: "4.4.3",
                text: text.into(),
            },
        })
    }

    fn way(&self, departure: &Departure, route: &String) -> Result<(Arc<str>, ()), Cause> {
        assert_ne!(
            self.mood(route),
            Mood::PanicsAtChoosing,
            "a bug in choosing"
        );
        let name = match departure.egress {
            Egress::Customer => format!("customer {}", departure.customer.unwrap()),
            Egress::Pool | Egress::Socks5 => "pool".into(),
        };
        Ok((name.into(), ()))
    }

    async fn open(
        &self,
        route: &String,
        _way: &(),
        _queued: &Queued,
    ) -> Result<Line, NoConnection> {
        self.note(format!("opened {route}"));
        match self.mood(route) {
            Mood::Unreachable => {
                sleep(Duration::from_secs(30)).await;
                Err(NoConnection {
                    cause: Cause::Local {
                        status: "4.4.1",
                        text: "no connection within 30 s".into(),
                    },
                    never: false,
                    remote: None,
                    fault: Fault::Unreachable,
                })
            }
            Mood::PanicsAtOpening => panic!("a bug in opening"),
            _ => Ok(Line {
                domain: route.clone(),
                carried: 0,
            }),
        }
    }

    fn serves(&self, connection: &Line, route: &String, _queued: &Queued) -> bool {
        let particular = self.particular.lock().unwrap();
        connection.domain == *route || !particular.contains(route)
    }

    async fn attempt(
        &self,
        connection: &mut Line,
        queued: &Queued,
        recipients: &[usize],
        (): (),
    ) -> Attempted {
        connection.carried += 1;
        let takes = *self.attempt_takes.lock().unwrap();
        sleep(takes.max(Duration::from_millis(1))).await;
        let domain = domain_of(queued, recipients[0]);
        self.note(format!("attempt {domain} by {}", connection.domain));
        let mood = self.mood(&domain);
        let outcome = match mood {
            Mood::Greylists => Outcome::Deferred(cause(450, "greylisted")),
            Mood::Refuses => Outcome::Failed(cause(550, "no such user")),
            Mood::Strained => Outcome::Deferred(cause(421, "too many")),
            Mood::PanicsAtAttempt => panic!("a bug in an attempt"),
            _ => Outcome::Delivered {
                reply: Reply::plain(250, "ok"),
                dsn: false,
            },
        };
        let attempt = |recipient: &usize| Attempt {
            recipient: *recipient,
            outcome: outcome.clone(),
            remote: None,
        };
        Attempted {
            attempts: recipients.iter().map(attempt).collect(),
            reusable: mood != Mood::Strained,
            fault: (mood == Mood::Strained).then_some(Fault::Strained),
        }
    }

    async fn close(&self, connection: Line) {
        self.note(format!(
            "closed {} after {}",
            connection.domain, connection.carried
        ));
    }
}
