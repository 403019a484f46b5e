//! What the scheduler says to do next, done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use relay_proto::queue::{Action, After, Order, Target};
use relay_proto::queued::Cause;
use tokio::time::Instant;
use tracing::{error, info};

use super::Queue;
use super::errands::What;
use super::reasons;
use super::routes::Look;
use super::state::{Birth, State};
use super::world::{Departure, NoRoute, World};

impl<W: World> Queue<W> {
    /// Does what there is to do, up to so much at once, and rings the bell if there is more, or if the run sleeps too long.
    pub(super) fn step(&self, state: &mut State<W>) {
        if !state.running {
            return;
        }
        for _ in 0..STEPS_AT_ONCE {
            let Some(action) = state.scheduler.poll(self.now()) else {
                self.run_errands(state);
                let deadline = state.scheduler.deadline();
                let wait = deadline.map(|at| at.0.saturating_sub(self.now().0));
                let sleep = state
                    .sleeping_until
                    .saturating_duration_since(Instant::now());
                let errand = state.next_errand();
                if wait.is_some_and(|wait| u128::from(wait) < sleep.as_millis())
                    || errand.is_some_and(|errand| errand < state.sleeping_until)
                {
                    self.0.bell.notify_one();
                }
                return;
            };
            match action {
                Action::Place(order) => self.place(state, order),
                Action::Begin(worker) => state.births.push(Birth::Worker(worker)),
                Action::Wake(lane) => state.wake(lane),
                Action::Expire(order) => {
                    let cause = state
                        .reasons
                        .of(order.key)
                        .map_or_else(|| "there was no attempt".to_owned(), ToOwned::to_owned);
                    let text = format!("delivery time expired; last: {cause}");
                    let cause = local("4.4.7", text);
                    state.errands.push_back(What::TimeIsUp(order, cause));
                }
                Action::Warn(order) => {
                    let reason = state.reasons.of(order.key);
                    let text = reason.unwrap_or("its servers have not answered for some time");
                    let cause = local("4.4.1", text.to_owned());
                    state.errands.push_back(What::Warn(order, cause));
                }
            }
        }
        self.0.bell.notify_one();
    }

    /// Finds the lane of a due job, or lets it wait for its route.
    fn place(&self, state: &mut State<W>, order: Order) {
        let Some(target) = state.scheduler.target(order.target) else {
            return;
        };
        match state.routes.look(&target, Instant::now()) {
            Look::Known(routed) => {
                match catch(|| self.0.world.way(&departure(&order), &routed.route)) {
                    Ok((name, _way)) => state.scheduler.place(order.key, &name, &routed.site),
                    Err(cause) => self.defer(state, order, &cause),
                }
            }
            Look::None(no_route) => self.without_route(state, order, no_route),
            Look::LookingUp => state.scheduler.park(order.key),
            Look::Unknown => {
                state.scheduler.park(order.key);
                state.routes.looking_up(target.clone());
                state.lookups.push_back(target);
                self.look_up(state);
            }
        }
    }

    pub(super) fn without_route(&self, state: &mut State<W>, order: Order, no_route: NoRoute) {
        if no_route.never {
            state.errands.push_back(What::Fail(order, no_route.cause));
        } else {
            self.defer(state, order, &no_route.cause);
        }
    }

    /// Nothing was sent: nobody but the scheduler needs to know, unless the time is up.
    pub(super) fn defer(&self, state: &mut State<W>, order: Order, cause: &Cause) {
        state.reasons.remember(order.key, cause);
        let after = state
            .scheduler
            .defer(order.key, &order.recipients, self.now());
        state.totals.deferred += 1;
        let what = match after {
            After::Due { at, warn } => {
                info!(queue.id = %order.id, attempt = order.attempt, due_ms = at.0,
                    error = self.0.world.loggable(reasons::text(cause)), "deferred");
                warn.then(|| What::Warn(order, cause.clone()))
            }
            After::Expired => Some(What::TimeIsUp(order, cause.clone())),
            After::Removed => Some(What::Discard(order)),
            After::Held | After::Gone => None,
        };
        if let Some(what) = what {
            state.errands.push_back(what);
        }
    }

    /// Begins look-ups, so many at once.
    fn look_up(&self, state: &mut State<W>) {
        while state.looking_up < LOOKUPS_AT_ONCE {
            let Some(target) = state.lookups.pop_front() else {
                return;
            };
            state.looking_up += 1;
            state.births.push(Birth::LookUp(target));
        }
    }

    pub(super) fn begin_look_up(&self, target: Target) {
        let queue = self.clone();
        tokio::spawn(async move {
            let world = Arc::clone(&queue.0.world);
            let asked = target.clone();
            let found = tokio::spawn(async move { world.route(&asked).await }).await;
            let found = found.unwrap_or_else(|panicked| {
                error!(error = %panicked, "looking up a route has ended in a panic, which is a bug of ours");
                Err(NoRoute {
                    never: false,
                    cause: local("4.3.0", "internal error of the relay".into()),
                })
            });
            queue.looked_up(target, found.map(Arc::new));
        });
    }

    fn looked_up(
        &self,
        target: Target,
        found: Result<Arc<super::world::Routed<W::Route>>, NoRoute>,
    ) {
        let mut state = self.state();
        state.looking_up -= 1;
        state.scheduler.routed(&target);
        state.routes.found(target, found, Instant::now());
        if state.running {
            self.look_up(&mut state);
        }
        self.step(&mut state);
    }
}

pub(super) fn departure(order: &Order) -> Departure {
    Departure {
        id: order.id,
        customer: order.customer,
        egress: order.egress,
    }
}

pub(super) fn local(status: &'static str, text: String) -> Cause {
    Cause::Local { status, text }
}

/// The choice of a way is the one foreign thing that runs under the lock.
fn catch<T>(choose: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    catch_unwind(AssertUnwindSafe(choose)).unwrap_or_else(|_panic| {
        error!("choosing an egress has ended in a panic, which is a bug of ours");
        Err(local("4.3.0", "internal error of the relay".into()))
    })
}

/// Then others have the lock.
const STEPS_AT_ONCE: usize = 256;
const LOOKUPS_AT_ONCE: usize = 256;
