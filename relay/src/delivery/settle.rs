//! The end of a recipient, and what its sender is told: durable together, or neither.

use std::io;

use relay_proto::dsn::Head;
use relay_proto::queued::{Attempt, QueueId, Queued, UnixMillis};

use super::Delivery;
use crate::clock::unix_now;
use crate::message::Message;
use crate::notify;
use crate::queue::world::Stored;
use crate::spool::{ReadError, StoreError};

impl Delivery {
    /// Ends the recipients of `attempts`. Without anybody to be told it waits for no disk.
    pub(super) async fn end(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
    ) -> io::Result<Vec<Stored>> {
        let done: Vec<usize> = attempts.iter().map(|attempt| attempt.recipient).collect();
        if !self.notifier.would(queued, attempts) {
            self.spool.finish(queued.id, &done);
            return Ok(Vec::new());
        }
        let head = self.head(queued.id).await?;
        let now = unix_now();
        let id = self.spool.next_id(now);
        let notification = self.notifier.at_the_end(id, queued, attempts, &head, now);
        let Some(notification) = notification else {
            self.spool.finish(queued.id, &done);
            return Ok(Vec::new());
        };
        let new = [notification];
        let ended = [(queued.id, Some(&done[..]))];
        let kept = self.spool.store_and_finish(&new, &ended).await;
        kept.map_err(io_error)?;
        Ok(stored(new))
    }

    /// Tells the sender that these recipients have to wait.
    pub(super) async fn tell_of_delay(
        &self,
        queued: &Queued,
        attempts: &[Attempt],
        until: UnixMillis,
    ) -> io::Result<Vec<Stored>> {
        let head = self.head(queued.id).await?;
        let now = unix_now();
        let id = self.spool.next_id(now);
        let notification = (self.notifier).of_delay(id, queued, attempts, until, &head, now);
        let Some((notification, content)) = notification else {
            return Ok(Vec::new());
        };
        let kept = self.spool.store(&notification, &content).await;
        kept.map_err(io_error)?;
        Ok(stored([(notification, content)]))
    }

    async fn head(&self, id: QueueId) -> io::Result<Head> {
        match self.spool.read(id).await {
            Ok(opened) => notify::head(&opened.content).await,
            // The notification can do without it.
            Err(ReadError::NotFound | ReadError::Damaged | ReadError::Newer) => Ok(Head::new()),
            Err(ReadError::Io(error)) => Err(error),
        }
    }
}

fn stored(new: [(Queued, Message); 1]) -> Vec<Stored> {
    let stored = |(queued, content): (Queued, Message)| Stored {
        octets: content.octets(),
        queued,
    };
    new.map(stored).into()
}

fn io_error(error: StoreError) -> io::Error {
    match error {
        StoreError::Full => io::ErrorKind::StorageFull.into(),
        StoreError::Io(_) => io::Error::other(error),
    }
}
