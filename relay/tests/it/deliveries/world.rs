//! A world whose sites are listeners on loopback that answer each line with a line.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay::queue::world::{
    Attempted, Departure, NoConnection, NoRoute, Routed, Stored, Unreadable,
};
use relay::queue::{Options, Queue, World};
use relay_proto::address::ForwardPath;
use relay_proto::envelope::{Mail, Recipient};
use relay_proto::queue::{Fault, Settings, Target};
use relay_proto::queued::{Attempt, Cause, Egress, Outcome, QueueId, Queued, Source, UnixMillis};
use relay_proto::reply::Reply;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Default)]
pub(crate) struct Loopback {
    pub(crate) spool: Mutex<BTreeMap<QueueId, Queued>>,
    pub(crate) sites: Mutex<HashMap<String, SocketAddr>>,
    pub(crate) delivered: Mutex<HashMap<String, usize>>,
    last: Mutex<Option<QueueId>>,
}

pub(crate) type Line = BufStream<TcpStream>;

/// A queue that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) world: Arc<Loopback>,
    pub(crate) queue: Queue<Loopback>,
    pub(crate) stop: watch::Sender<bool>,
}

impl Running {
    pub(crate) fn start(directory: &Path) -> Self {
        let world = Arc::new(Loopback::default());
        let options = Options {
            settings: Settings::default(),
            linger: Duration::from_secs(5),
            messages_per_connection: 100,
            state_dir: directory.into(),
        };
        let queue = Queue::open(Arc::clone(&world), options, now).unwrap();
        let (stop, stopped) = watch::channel(false);
        let running = queue.clone();
        tokio::spawn(async move { running.run(stopped).await });
        Self { world, queue, stop }
    }

    /// A message of a customer arrives.
    pub(crate) fn arrive(&self, customer: &str, to: &[&str]) -> QueueId {
        let id = {
            let mut last = self.world.last.lock().unwrap();
            let id = QueueId::after(*last, now());
            *last = Some(id);
            id
        };
        let recipient = |to: &&str| {
            let path: ForwardPath = format!("<{to}>").parse().unwrap();
            Recipient::new(path)
        };
        let queued = Queued {
            id,
            arrived: now(),
            source: Source::Customer {
                address: customer.parse().unwrap(),
                original_dst: None,
                ehlo: None,
                tls: false,
                flag_id: Some(17),
                user: None,
            },
            egress: Egress::Pool,
            mail: Mail::new("<sender@customer.example>".parse().unwrap()),
            recipients: to.iter().map(recipient).collect(),
            trace: String::new(),
            may_notify: true,
            held: None,
        };
        self.world.spool.lock().unwrap().insert(id, queued.clone());
        self.queue.add(&queued, 4096);
        id
    }

    pub(crate) fn delivered(&self, domain: &str) -> usize {
        let delivered = self.world.delivered.lock().unwrap();
        delivered.get(domain).copied().unwrap_or(0)
    }
}

/// A site that answers, or takes connections and is silent.
pub(crate) async fn site(world: &Loopback, domain: &str, answers: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.sites.lock().unwrap().insert(domain.into(), address);
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            if !answers {
                silent.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut line = BufStream::new(stream);
                let mut text = String::new();
                while line.read_line(&mut text).await.is_ok_and(|read| read > 0) {
                    if line.write_all(b"250 ok\r\n").await.is_err() || line.flush().await.is_err() {
                        return;
                    }
                    text.clear();
                }
            });
        }
    });
}

pub(crate) fn now() -> UnixMillis {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis(u64::try_from(elapsed.unwrap().as_millis()).unwrap())
}

async fn say(line: &mut Line, text: &str) -> io::Result<String> {
    line.write_all(text.as_bytes()).await?;
    line.flush().await?;
    let mut answer = String::new();
    line.read_line(&mut answer).await?;
    Ok(answer)
}

fn domain_of(queued: &Queued, recipient: usize) -> String {
    let ForwardPath::Mailbox(mailbox) = &queued.recipients[recipient].forward_path else {
        return String::new();
    };
    relay_proto::queue::domain_text(mailbox.domain())
}

impl World for Loopback {
    type Route = SocketAddr;
    type Way = ();
    type Connection = Line;
    type Content = ();

    async fn read(&self, id: QueueId) -> Result<(Queued, ()), Unreadable> {
        self.envelope(id).await.map(|queued| (queued, ()))
    }

    async fn envelope(&self, id: QueueId) -> Result<Queued, Unreadable> {
        let spool = self.spool.lock().unwrap();
        spool.get(&id).cloned().ok_or(Unreadable::Gone)
    }

    async fn settle(&self, queued: &Queued, attempts: &[Attempt]) -> io::Result<Vec<Stored>> {
        let mut delivered = self.delivered.lock().unwrap();
        for attempt in attempts {
            let domain = domain_of(queued, attempt.recipient);
            *delivered.entry(domain).or_default() += 1;
        }
        Ok(Vec::new())
    }

    async fn warn(&self, _: &Queued, _: &[Attempt], _: UnixMillis) -> io::Result<Vec<Stored>> {
        Ok(Vec::new())
    }

    async fn discard(&self, id: QueueId, _recipients: &[usize]) -> io::Result<()> {
        self.spool.lock().unwrap().remove(&id);
        Ok(())
    }

    async fn route(&self, target: &Target) -> Result<Routed<SocketAddr>, NoRoute> {
        let address = self.sites.lock().unwrap().get(&target.domain).copied();
        let Some(route) = address else {
            let text = "no \x1b[31msuch\x1b[0m server".into();
            return Err(NoRoute {
                never: false,
                cause: Cause::Local {
                    status: "4.4.3",
                    text,
                },
            });
        };
        Ok(Routed {
            route,
            site: format!("mx.{}", target.domain).into(),
            until: Instant::now() + Duration::from_secs(300),
        })
    }

    fn way(&self, _: &Departure, _: &SocketAddr) -> Result<(Arc<str>, ()), Cause> {
        Ok(("pool".into(), ()))
    }

    async fn open(&self, route: &SocketAddr, (): &(), _: &Queued) -> Result<Line, NoConnection> {
        let session = async {
            let mut line = BufStream::new(TcpStream::connect(route).await?);
            say(&mut line, "EHLO relay.example\r\n").await?;
            Ok::<_, io::Error>(line)
        };
        let opened = tokio::time::timeout(Duration::from_secs(30), session).await;
        let text = match opened {
            Ok(Ok(line)) => return Ok(line),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "no session within 30 s".into(),
        };
        Err(NoConnection {
            cause: Cause::Local {
                status: "4.4.1",
                text,
            },
            never: false,
            remote: None,
            fault: Fault::Unreachable,
        })
    }

    fn serves(&self, line: &Line, route: &SocketAddr, _: &Queued) -> bool {
        line.get_ref().peer_addr().is_ok_and(|peer| peer == *route)
    }

    async fn attempt(
        &self,
        line: &mut Line,
        _queued: &Queued,
        recipients: &[usize],
        (): (),
    ) -> Attempted {
        let answer = say(line, "DATA\r\n").await.unwrap_or_default();
        let is_well = answer.starts_with("250");
        let outcome = match is_well {
            true => Outcome::Delivered {
                reply: Reply::plain(250, "ok"),
                dsn: false,
            },
            false => Outcome::Deferred(Cause::Local {
                status: "4.4.2",
                text: "connection lost".into(),
            }),
        };
        let attempt = |recipient: &usize| Attempt {
            recipient: *recipient,
            outcome: outcome.clone(),
            remote: None,
        };
        Attempted {
            attempts: recipients.iter().map(attempt).collect(),
            reusable: is_well,
            fault: (!is_well).then_some(Fault::Strained),
        }
    }

    async fn close(&self, line: Line) {
        drop(line);
    }
}
