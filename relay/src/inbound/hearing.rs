//! Whether a client has heard what was said to it.
//!
//! What was written to a socket may never arrive. The client's TCP acknowledges what did; what the client
//! itself made of it shows only in what it says next.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::stream::Stream;

/// What is known when nothing more will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// The client's TCP has acknowledged all that was said.
    Acknowledged,
    /// It has not.
    Unacknowledged,
    /// It has, and the connection was reset then. That is what happens when the client ends without having
    /// read it; some clients also end so when they have.
    Reset,
}

/// Whether the client's TCP has acknowledged all that was said so far.
pub(super) fn is_acknowledged(stream: &Stream) -> bool {
    stream
        .unacknowledged_octets()
        .is_ok_and(|octets| octets == 0)
}

/// What is known of a session that has ended like this; call it before the connection is closed. Waits a
/// moment for an acknowledgement that is on its way.
pub(super) async fn at_end(stream: &Stream, ended: &io::Result<()>) -> Hearing {
    let reset = ended.as_ref().is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    });
    let until = Instant::now() + PATIENCE;
    loop {
        match (is_acknowledged(stream), reset) {
            (true, true) => return Hearing::Reset,
            (true, false) => return Hearing::Acknowledged,
            // Nothing comes after a reset.
            (false, true) => return Hearing::Unacknowledged,
            (false, false) if Instant::now() >= until => return Hearing::Unacknowledged,
            (false, false) => sleep(STEP).await,
        }
    }
}

/// A round trip to the far side of the world and a retransmission.
const PATIENCE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);
