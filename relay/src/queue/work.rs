//! A worker: one connection at a time to the site of one lane.
//!
//! Whatever happens to it, its job comes back: what a [`Shift`] has in hand when it is dropped is deferred.

use std::sync::Arc;

use relay_proto::queue::{After, Fault, Order, Scheduler, Take, Worker};
use relay_proto::queued::{Attempt, Outcome, Queued};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, warn};

use super::Queue;
use super::errands::What;
use super::routes::Look;
use super::steps::{departure, local};
use super::world::{NoConnection, NoRoute, Routed, Unreadable, World};

/// Begins a worker, which ends by itself.
pub(super) fn begin<W: World>(queue: &Queue<W>, worker: Worker) {
    let mut shift = Shift {
        queue: queue.clone(),
        worker: Some(worker),
        order: None,
        carried: 0,
    };
    tokio::spawn(async move { shift.work().await });
}

struct Shift<W: World> {
    queue: Queue<W>,
    /// There until it leaves.
    worker: Option<Worker>,
    /// The job in hand.
    order: Option<Order>,
    /// Messages that the connection has carried.
    carried: u32,
}

enum Next {
    Job(Order),
    Nothing(OwnedNotified),
    Leave,
}

impl<W: World> Shift<W> {
    async fn work(&mut self) {
        let mut connection = None;
        let mut linger_until = None;
        loop {
            match self.take() {
                Next::Job(order) => {
                    linger_until = None;
                    connection = Box::pin(self.carry(order, connection)).await;
                }
                Next::Nothing(rung) if connection.is_some() => {
                    let linger = self.queue.0.options.linger;
                    let until = *linger_until.get_or_insert_with(|| Instant::now() + linger);
                    if timeout_at(until, rung).await.is_err() {
                        break;
                    }
                }
                Next::Nothing(_) | Next::Leave => break,
            }
        }
        // While it takes leave it still counts: the site sees the connection.
        if let Some(connection) = connection {
            self.queue.0.world.close(connection).await;
        }
    }

    fn take(&mut self) -> Next {
        let queue = self.queue.clone();
        let mut state = queue.state();
        let Some(worker) = self.worker.as_mut().filter(|_| state.running) else {
            return Next::Leave;
        };
        let next = match state.scheduler.take(worker, queue.now()) {
            Take::Job(order) => {
                self.order = Some(order.clone());
                Next::Job(order)
            }
            Take::Nothing => {
                // Registered before the lock is let go: no bell is missed.
                let bell: Arc<Notify> = state.bell(Scheduler::lane_number(worker));
                Next::Nothing(bell.notified_owned())
            }
            Take::Leave => Next::Leave,
        };
        queue.step(&mut state);
        next
    }

    /// Makes one attempt, by the connection that there is or a new one; what can be used again comes back.
    async fn carry(
        &mut self,
        order: Order,
        connection: Option<W::Connection>,
    ) -> Option<W::Connection> {
        let world = Arc::clone(&self.queue.0.world);
        let (queued, content) = match world.read(order.id).await {
            Ok(read) => read,
            Err(unreadable) => {
                self.order = None;
                self.queue.cannot_read(order, &unreadable);
                return connection;
            }
        };
        let routed = match self.route(&order).await {
            Ok(routed) => routed,
            Err(no_route) => {
                self.order = None;
                let mut state = self.queue.state();
                self.queue.without_route(&mut state, order, no_route);
                self.queue.step(&mut state);
                return connection;
            }
        };
        if !self.is_still_here(&routed) {
            // The domain has moved; its route is known now.
            self.order = None;
            self.queue.again(&order, 0);
            return connection;
        }
        let connection = self.suitable(connection, &routed, &queued).await;
        let mut connection = match connection {
            Some(connection) => connection,
            None => match self.open(&order, &routed, &queued).await {
                Ok(connection) => connection,
                Err(Some(no_connection)) => {
                    let attempts = without_connection(&order, &no_connection);
                    self.queue.conclude(order, queued, attempts).await;
                    self.order = None;
                    return None;
                }
                Err(None) => return None,
            },
        };
        self.carried += 1;
        let recipients = order.recipients.clone();
        let attempted = world
            .attempt(&mut connection, &queued, &recipients, content)
            .await;
        self.judge(attempted.fault);
        self.queue.conclude(order, queued, attempted.attempts).await;
        self.order = None;
        if attempted.reusable {
            return Some(connection);
        }
        world.close(connection).await;
        None
    }

    /// The target's route, looked up anew if it does not hold any more.
    async fn route(&self, order: &Order) -> Result<Arc<Routed<W::Route>>, NoRoute> {
        let target = {
            let state = self.queue.state();
            let target = state.scheduler.target(order.target);
            match target
                .as_ref()
                .map(|it| state.routes.look(it, Instant::now()))
            {
                Some(Look::Known(routed)) => return Ok(routed),
                Some(Look::None(no_route)) => return Err(no_route),
                Some(Look::Unknown | Look::LookingUp) | None => target,
            }
        };
        let Some(target) = target else {
            return Err(NoRoute {
                never: false,
                cause: local("4.3.0", "internal error of the relay".into()),
            });
        };
        let found = self.queue.0.world.route(&target).await.map(Arc::new);
        let mut state = self.queue.state();
        state.routes.found(target, found.clone(), Instant::now());
        found
    }

    fn is_still_here(&self, routed: &Routed<W::Route>) -> bool {
        let state = self.queue.state();
        let names = self
            .worker
            .as_ref()
            .and_then(|it| state.scheduler.lane_names(it));
        names.is_some_and(|(_, site)| site == &*routed.site)
    }

    /// The connection, if it may carry this message; otherwise it is closed.
    async fn suitable(
        &self,
        connection: Option<W::Connection>,
        routed: &Routed<W::Route>,
        queued: &Queued,
    ) -> Option<W::Connection> {
        let connection = connection?;
        let world = &self.queue.0.world;
        let has_room = self.carried < self.queue.0.options.messages_per_connection;
        if has_room && world.serves(&connection, &routed.route, queued) {
            return Some(connection);
        }
        world.close(connection).await;
        None
    }

    /// A new connection; without one, why. `None` = the job is not in hand any more.
    async fn open(
        &mut self,
        order: &Order,
        routed: &Routed<W::Route>,
        queued: &Queued,
    ) -> Result<W::Connection, Option<NoConnection>> {
        self.carried = 0;
        let world = Arc::clone(&self.queue.0.world);
        let (name, way) = match world.way(&departure(order), &routed.route) {
            Ok(way) => way,
            Err(cause) => {
                return Err(Some(NoConnection {
                    cause,
                    never: false,
                    remote: None,
                    fault: Fault::Elsewhere,
                }));
            }
        };
        if !self.leaves_by(&name) {
            self.order = None;
            self.queue.again(order, ANOTHER_WAY_MS);
            return Err(None);
        }
        match world.open(&routed.route, &way, queued).await {
            Ok(connection) => {
                let mut state = self.queue.state();
                if let Some(worker) = &mut self.worker {
                    state.scheduler.connected(worker);
                }
                Ok(connection)
            }
            Err(no_connection) => {
                self.judge(Some(no_connection.fault));
                Err(Some(no_connection))
            }
        }
    }

    fn leaves_by(&self, way: &str) -> bool {
        let state = self.queue.state();
        let names = self
            .worker
            .as_ref()
            .and_then(|it| state.scheduler.lane_names(it));
        names.is_some_and(|(own, _)| own == way)
    }

    /// Tells the scheduler how the site was.
    fn judge(&self, fault: Option<Fault>) {
        let Some(worker) = &self.worker else { return };
        let mut state = self.queue.state();
        let Some(fault) = fault else {
            state.scheduler.succeeded(worker);
            return;
        };
        if state.scheduler.failed(worker, fault, self.queue.now()) {
            let names = state.scheduler.lane_names(worker);
            if let Some((way, site)) = names {
                warn!(
                    site,
                    way, "site is taken for dead; its messages wait while it is probed"
                );
            }
        }
    }
}

impl<W: World> Drop for Shift<W> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        if let Some(order) = self.order.take() {
            if std::thread::panicking() {
                error!(queue.id = %order.id, "an attempt has ended in a panic, which is a bug of ours");
            }
            let cause = local("4.3.0", "internal error of the relay".into());
            self.queue.defer(&mut state, order, &cause);
        }
        if let Some(worker) = self.worker.take() {
            let lane = Scheduler::lane_number(&worker);
            state.scheduler.leave(worker);
            state.hush(lane);
        }
        drop(state);
        // Nothing is begun in a drop: the runtime may be shutting down.
        self.queue.0.bell.notify_one();
        self.queue.0.returned.notify_waiters();
    }
}

impl<W: World> Queue<W> {
    fn cannot_read(&self, order: Order, unreadable: &Unreadable) {
        match unreadable {
            Unreadable::Gone => {
                debug!(queue.id = %order.id, "not in the spool any more");
                self.state().finish(order.key);
            }
            Unreadable::NotNow(text) => {
                error!(queue.id = %order.id, error = text, "cannot read a queued message");
                let mut state = self.state();
                self.defer(
                    &mut state,
                    order,
                    &local("4.3.0", "cannot be read now".into()),
                );
            }
        }
    }

    /// The job was not attempted, and is due again in a moment.
    fn again(&self, order: &Order, pause_ms: u64) {
        let mut state = self.state();
        let (key, now) = (order.key, self.now());
        let after = state
            .scheduler
            .put_back(key, &order.recipients, pause_ms, now);
        if after == After::Removed {
            state.errands.push_back(What::Discard(order.clone()));
        }
        self.step(&mut state);
    }
}

fn without_connection(order: &Order, no_connection: &NoConnection) -> Vec<Attempt> {
    let outcome = || match no_connection.never {
        true => Outcome::Failed(no_connection.cause.clone()),
        false => Outcome::Deferred(no_connection.cause.clone()),
    };
    let attempt = |recipient: &usize| Attempt {
        recipient: *recipient,
        outcome: outcome(),
        remote: no_connection.remote.clone(),
    };
    order.recipients.iter().map(attempt).collect()
}

/// The choice of an egress has changed since the job was placed.
const ANOTHER_WAY_MS: u64 = 1000;
