//! Whether the resolver validates: the root is signed, so its answer about the root must have AD.
//!
//! Where it does not, DANE is off for want of anybody who could say that a record is true, and the operator is told: in
//! the log whenever that changes, and by a gauge.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tracing::{error, info, warn};

use super::servers::Servers;
use super::{Dns, lock};

/// What was last found out: a [`State`], or 0 before.
#[derive(Debug, Default)]
pub(super) struct Validation(AtomicU8);

/// Whether the DNS is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Yes = 1,
    No = 2,
    /// It does not answer at all.
    Away = 3,
}

impl Validation {
    fn is(&self, state: State) -> bool {
        self.0.load(Ordering::Relaxed) == state as u8
    }

    /// Remembers; whether that is news.
    fn becomes(&self, state: State) -> bool {
        self.0.swap(state as u8, Ordering::Relaxed) != state as u8
    }
}

impl Dns {
    /// Finds out, from now on. Reads resolv.conf again each time, too.
    pub(crate) async fn watch(self) {
        loop {
            self.find_out().await;
            let pause = if self.validates() { CALM } else { UNEASY };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether answers can be secure.
    pub(crate) fn validates(&self) -> bool {
        self.0.validation.is(State::Yes)
    }

    async fn find_out(&self) {
        let config = self.0.config.clone();
        // A file, and off the runtime's threads.
        match tokio::task::spawn_blocking(move || Servers::of(&config)).await {
            Ok(Ok(servers)) => *lock(&self.0.servers) = Arc::new(servers),
            Ok(Err(error)) => warn!(%error, "resolv.conf cannot be read; the resolvers stay"),
            Err(error) => error!(%error, "reading resolv.conf ended by a bug of ours"),
        }
        let servers = Arc::clone(&lock(&self.0.servers));
        if servers.addresses.is_empty() {
            return;
        }
        let state = match self.ask(None, RecordType::SOA).await {
            Ok((answer, _)) if answer.secure() => State::Yes,
            Ok(_) => State::No,
            Err(_failure) => State::Away,
        };
        if !self.0.validation.becomes(state) {
            return;
        }
        let resolvers = &servers.addresses;
        match state {
            State::Yes => info!(?resolvers, "the resolver validates: DANE is on"),
            State::No if servers.trusted => {
                warn!(
                    ?resolvers,
                    "the resolver does not validate: DANE is off; see [dns]"
                );
            }
            State::No => {
                warn!(
                    ?resolvers,
                    "no resolver is on loopback or trusted: DANE is off; see [dns]"
                );
            }
            State::Away => {
                warn!(
                    ?resolvers,
                    "no resolver answers for the root: DANE is off; see [dns]"
                );
            }
        }
    }
}

const CALM: Duration = Duration::from_secs(600);
const UNEASY: Duration = Duration::from_secs(60);
