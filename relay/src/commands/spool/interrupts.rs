//! SIGINT and SIGTERM, for a command that has something to bring to an end first.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Counts them, from its making on; until it is dropped nothing ends by them.
pub(super) struct Interrupts {
    count: watch::Receiver<u32>,
    /// Where they are waited for.
    _runtime: Runtime,
}

impl Interrupts {
    /// Listens.
    pub(super) fn listen() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (sender, count) = watch::channel(0);
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _more = interrupt.recv() => {}
                    _more = terminate.recv() => {}
                }
                sender.send_modify(|it| *it += 1);
            }
        });
        Ok(Self {
            count,
            _runtime: runtime,
        })
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        *self.count.borrow()
    }

    /// Waits until there were so many.
    pub(super) async fn reach(&self, count: u32) {
        // Whoever counts lives as long as this.
        let _reached = self.count.clone().wait_for(|it| *it >= count).await.is_ok();
    }
}
