//! The relay's queue as a whole: the spool, who vouches for a sender, and the driver that delivers.
//!
//! [`open`] is called at the start, before anything is served; [`Backlog::deliver`] then takes in what an earlier run has
//! left, and delivers until it is told to stop. What is taken meanwhile is stored first and begun afterwards, so
//! that nothing is delivered of which the disk knows nothing. With [`Backlog::know`], mail is handed over to other relays
//! and taken from them meanwhile.
//!
//! # Diagnostics
//! Returned: [`StartError`]. Logged: how much was found, and what of it cannot be read (`error`; it stays on the disk).

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay_proto::queued::Queued;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use crate::behaviour::Behaviour;
use crate::classifier::LiveError;
use crate::clock::unix_now;
use crate::config::Config;
use crate::delivery::Delivery;
use crate::handover::{Desk, Peers, Source, Taken, Taker, Target, listener};
use crate::metrics::Metrics;
use crate::quarantine::desk::Desk as QuarantineDesk;
use crate::queue::admin::Transfers;
use crate::queue::admin::door::{self, Asked};
use crate::queue::{Queue, Stats};
use crate::spool::{Kept, OpenError, Pulse, Recovered, Spool};
use crate::vouch::{Voucher, VoucherError};

/// The way into the queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queueing(Arc<Inner>);

struct Inner {
    spool: Spool,
    voucher: Voucher,
    queue: Queue<Delivery>,
}

/// What an earlier run has left to do, and what does it.
pub struct Backlog {
    queueing: Queueing,
    recovered: Recovered,
    door: UnixListener,
    config: Config,
    taken: Taken,
    metrics: Arc<Metrics>,
    behaviour: Behaviour,
    peers: Option<Peers>,
    listeners: Vec<TcpListener>,
    /// Where people look at what was refused and kept.
    quarantine: Option<QuarantineDesk>,
}

/// Why there can be no queue.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool.
    #[error("spool: {0}")]
    Spool(#[from] OpenError),
    /// What people said about the queue.
    #[error("queue: {0}")]
    Queue(io::Error),
    /// The socket for people.
    #[error("queue.admin: {0}")]
    Door(io::Error),
    /// What was taken from other relays.
    #[error("spool: {0}")]
    Taken(io::Error),
    /// What the classifier has learnt.
    #[error("classifier: {0}")]
    Classifier(#[from] LiveError),
    /// The store of what was refused and kept.
    #[error("quarantine.store: {0}")]
    Quarantine(io::Error),
    /// Who is asked for SPF and DKIM.
    #[error(transparent)]
    Voucher(#[from] VoucherError),
}

/// Opens the spool of the configuration, if it has one, with a queue over what `delivery` makes of it. Blocks on the
/// disk.
pub(crate) fn open(
    config: &Config,
    metrics: Arc<Metrics>,
    behaviour: Behaviour,
    delivery: impl FnOnce(Spool) -> Delivery,
) -> Result<Option<(Queueing, Backlog)>, StartError> {
    let Some(spool_config) = &config.spool else {
        return Ok(None);
    };
    let servers = config.dns.servers.as_deref();
    let voucher = Voucher::new(servers, &config.identity.hostname, VOUCHING)?;
    let (spool, recovered) = Spool::open(spool_config)?;
    let taken = Taken::open(&spool_config.dir, &spool, unix_now()).map_err(StartError::Taken)?;
    let options = config.queue.options.clone();
    let world = Arc::new(delivery(spool.clone()));
    let queue = Queue::open(world, options, unix_now).map_err(StartError::Queue)?;
    let door = door::bind(&config.queue.admin).map_err(StartError::Door)?;
    let queueing = Queueing(Arc::new(Inner {
        spool,
        voucher,
        queue,
    }));
    let backlog = Backlog {
        queueing: queueing.clone(),
        recovered,
        door,
        config: config.clone(),
        taken,
        metrics,
        behaviour,
        peers: None,
        listeners: Vec::new(),
        quarantine: None,
    };
    Ok(Some((queueing, backlog)))
}

impl Queueing {
    /// What is on disk.
    pub(crate) fn spool(&self) -> &Spool {
        &self.0.spool
    }

    /// What delivers it.
    pub(crate) fn queue(&self) -> &Queue<Delivery> {
        &self.0.queue
    }

    /// Who may be told of a failure.
    pub(crate) fn voucher(&self) -> &Voucher {
        &self.0.voucher
    }

    /// The queue in numbers.
    pub(crate) fn stats(&self) -> Stats {
        self.0.queue.stats()
    }

    /// A message that was stored is to be delivered to the recipients in these places.
    pub(crate) fn begin(&self, kept: Kept, queued: &Queued, pending: &[usize]) {
        self.0.queue.add_for(queued, kept.octets, pending);
    }
}

impl Backlog {
    /// By which somebody else sees that its spool writes.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.queueing.spool().pulse()
    }

    /// Mail is handed over to these relays, and taken from them at these listeners.
    pub fn know(&mut self, peers: Option<Peers>, listeners: Vec<TcpListener>) {
        (self.peers, self.listeners) = (peers, listeners);
    }

    /// People find this at the door, too.
    pub(crate) fn show(&mut self, quarantine: QuarantineDesk) {
        self.quarantine = Some(quarantine);
    }

    /// Takes in what was left, and delivers until `stop` holds true; then ends when what is in flight has come back, or
    /// after `limit`. What is not delivered then goes to the relay that the configuration names for that, or stays on the
    /// disk.
    pub async fn deliver(self, mut stop: watch::Receiver<bool>, limit: Duration) {
        let Self {
            queueing,
            recovered,
            door,
            config,
            taken,
            metrics,
            behaviour,
            peers,
            listeners,
            quarantine,
        } = self;
        let desk = desk(&queueing, &config, peers.clone(), &metrics).await;
        let queue = queueing.0.queue.clone();
        let taking_in = spawn_blocking(move || take_in(&queue, recovered));
        match taking_in.await {
            Ok(0) => {}
            Ok(messages) => info!(messages, "messages of an earlier run are in the queue"),
            Err(error) => {
                error!(%error, "the queue of an earlier run was not read to its end: a bug of ours");
            }
        }
        if let Some(desk) = &desk {
            // Before anything is attempted: another relay may have some of it.
            desk.hold_back().await;
        }
        // Not before: an order that is being written down would keep the queue from seeing what is held.
        let transfers = desk
            .clone()
            .map(|desk| Arc::new(desk) as Arc<dyn Transfers>);
        let asked = Asked {
            queue: Some(queueing.0.queue.clone()),
            transfers,
            behaviour: Some(behaviour),
            quarantine,
        };
        let door = tokio::spawn(door::serve(asked, door));
        let tending = desk.clone().map(|desk| tokio::spawn(Box::pin(desk.tend())));
        let taking_over = peers.filter(|_| desk.is_some()).map(|peers| {
            let taker = Arc::new(Taker {
                relay: config.name.clone(),
                queueing: queueing.clone(),
                taken: Arc::new(tokio::sync::Mutex::new(taken)),
                limits: config.message.clone(),
                metrics,
                turns: Mutex::default(),
            });
            tokio::spawn(listener::serve(listeners, peers, taker, stop.clone()))
        });
        let running = queueing.0.queue.run(stop.clone());
        let bounded = async {
            // A switch that is gone says stop, too.
            drop(stop.wait_for(|stop| *stop).await);
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            () = running => {}
            () = bounded => info!("deliveries cut off; what they were about is tried again"),
        }
        door.abort();
        // What is being stored is stored to its end, and told.
        if let Some(taking_over) = taking_over
            && let Err(error) = taking_over.await
        {
            error!(%error, "taking over mail ended by a bug of ours");
        }
        if let Some(tending) = tending {
            tending.abort();
        }
        if let (Some(desk), Some(peers)) = (desk, &config.peers)
            && let Some(relay) = &peers.hand_over_on_drain
            && let Some(target) = Target::named(peers, &relay.name)
        {
            desk.on_drain(&target, peers.hand_over_limit).await;
        }
        if let Err(error) = queueing.0.spool.flush().await {
            error!(%error, "what was delivered last could not be written down; it may be delivered twice");
        }
    }
}

/// Hand-overs, unless what is in doubt of an earlier one cannot be read: then nothing more is handed over or taken.
async fn desk(
    queueing: &Queueing,
    config: &Config,
    peers: Option<Peers>,
    metrics: &Arc<Metrics>,
) -> Option<Desk> {
    let dir = &config.spool.as_ref()?.dir;
    let (spool, queue) = (queueing.0.spool.clone(), queueing.0.queue.clone());
    let source = Source::running(spool, dir, queue);
    let (name, metrics) = (config.name.clone(), Arc::clone(metrics));
    let opened = spawn_blocking(move || Desk::open(&name, peers, source, metrics));
    match opened.await.map_err(io::Error::from).flatten() {
        Ok(desk) => Some(desk),
        Err(error) => {
            error!(%error, "what was handed over last cannot be read: it may be delivered twice, and nothing is handed over");
            None
        }
    }
}

/// How many there were.
fn take_in(queue: &Queue<Delivery>, recovered: Recovered) -> usize {
    let mut messages = 0;
    for living in recovered {
        match living {
            Ok(living) => {
                queue.recover(&living.queued, living.kept.octets, &living.pending);
                messages += 1;
            }
            Err(error) => {
                error!(%error, "a message of an earlier run cannot be read; its copy stays in the spool");
            }
        }
    }
    messages
}

impl fmt::Debug for Queueing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queueing").finish_non_exhaustive()
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backlog").finish_non_exhaustive()
    }
}

/// The sender waits for it behind its dot, and for nothing else that is looked up then ([`crate::vouch::Patience`]).
const VOUCHING: Duration = Duration::from_secs(10);
