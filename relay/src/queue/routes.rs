//! Routes that were looked up, until they must be again.
//!
//! Bounded, whatever domains people write to: a route that is forgotten is looked up again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use relay_proto::queue::Target;
use tokio::time::Instant;

use super::world::{NoRoute, Routed};

#[derive(Debug)]
pub(super) struct Routes<Route> {
    entries: HashMap<Target, Entry<Route>>,
}

#[derive(Debug)]
enum Entry<Route> {
    /// Somebody is looking it up.
    LookingUp,
    Known(Arc<Routed<Route>>),
    None(NoRoute, Instant),
}

/// What is known of a target's route.
#[derive(Debug)]
pub(super) enum Look<Route> {
    Unknown,
    LookingUp,
    Known(Arc<Routed<Route>>),
    None(NoRoute),
}

impl<Route> Default for Routes<Route> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<Route> Routes<Route> {
    pub(super) fn look(&self, target: &Target, now: Instant) -> Look<Route> {
        match self.entries.get(target) {
            Some(Entry::LookingUp) => Look::LookingUp,
            Some(Entry::Known(routed)) if now < routed.until => Look::Known(Arc::clone(routed)),
            Some(Entry::None(no_route, until)) if now < *until => Look::None(no_route.clone()),
            Some(Entry::Known(_) | Entry::None(..)) | None => Look::Unknown,
        }
    }

    pub(super) fn looking_up(&mut self, target: Target) {
        self.entries.insert(target, Entry::LookingUp);
    }

    /// What a look-up has found.
    pub(super) fn found(
        &mut self,
        target: Target,
        found: Result<Arc<Routed<Route>>, NoRoute>,
        now: Instant,
    ) {
        if self.entries.len() >= ROUTES_MAX {
            self.entries.retain(|_, entry| entry.holds(now));
        }
        if self.entries.len() >= ROUTES_MAX {
            self.entries
                .retain(|_, entry| matches!(entry, Entry::LookingUp));
        }
        let entry = match found {
            Ok(routed) => Entry::Known(routed),
            Err(no_route) => Entry::None(no_route, now + NONE_FOR),
        };
        self.entries.insert(target, entry);
    }

    /// It is to be looked up again, unless somebody is at it.
    pub(super) fn forget(&mut self, target: &Target) {
        if !matches!(self.entries.get(target), Some(Entry::LookingUp)) {
            self.entries.remove(target);
        }
    }
}

impl<Route> Entry<Route> {
    fn holds(&self, now: Instant) -> bool {
        match self {
            Self::LookingUp => true,
            Self::Known(routed) => now < routed.until,
            Self::None(_, until) => now < *until,
        }
    }
}

const ROUTES_MAX: usize = 65_536;
/// How long it is believed that there is none.
const NONE_FOR: Duration = Duration::from_secs(60);
