//! Two connections joined in the kernel: what one side sends, the other gets, and nobody reads it on the way.
//!
//! [`join`] moves octets by splice(2) through a pipe for each direction, so that no payload is copied to this
//! process. A side that closes its half closes the other connection's, a reset becomes a reset. What it costs is
//! counted while it runs, and limits end it: then both sides are reset, so that neither takes the end for one that
//! the other has chosen.
//!
//! A joined session has two sockets and four ends of pipes.
//!
//! # Diagnostics
//! Nothing is returned as an error. One `info` at the end of each session: sizes, time, why it ended.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tracing::info;

mod direction;
mod meter;

use direction::Pipe;
use meter::Meter;

use crate::Relay;
use crate::config::SpliceLimits;
use crate::listen::limits::Permit;
use crate::metrics::Counter;

/// The other half of a session that is to be joined.
#[derive(Debug)]
pub(crate) struct Joint {
    pub(crate) destination: TcpStream,
    /// Whom the customer's ClientHello names.
    pub(crate) server_name: Option<String>,
    /// Why it is spliced, in a word for the log.
    pub(crate) why: &'static str,
    /// Its place among the customer's joined sessions.
    pub(crate) place: Permit,
}

/// What a joined session came to.
#[derive(Debug)]
struct Report {
    /// Octets from the customer to the destination.
    octets_up: u64,
    /// Octets from the destination to the customer.
    octets_down: u64,
    elapsed: Duration,
    end: End,
}

/// Why it ended.
#[derive(Debug)]
enum End {
    /// Both sides have closed their halves, or one has, and takes no more.
    Closed,
    /// The customer's connection was reset.
    CustomerLost(io::Error),
    /// The same of the destination's.
    DestinationLost(io::Error),
    /// Limit `max_octets`.
    TooManyOctets,
    /// Limit `max_duration`.
    TooLong,
    /// Limit `idle`.
    Idle,
    /// This host has no pipes for it.
    NoPipe(io::Error),
}

impl End {
    /// One word for the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::CustomerLost(_) => "customer lost",
            Self::DestinationLost(_) => "destination lost",
            Self::TooManyOctets => "max_octets",
            Self::TooLong => "max_duration",
            Self::Idle => "idle",
            Self::NoPipe(_) => "no pipe",
        }
    }

    /// What the kernel said of it.
    fn error(&self) -> Option<&io::Error> {
        match self {
            Self::CustomerLost(error) | Self::DestinationLost(error) | Self::NoPipe(error) => {
                Some(error)
            }
            Self::Closed | Self::TooManyOctets | Self::TooLong | Self::Idle => None,
        }
    }

    /// Whether one of our limits ended it.
    fn is_limit(&self) -> bool {
        match self {
            Self::TooManyOctets | Self::TooLong | Self::Idle => true,
            Self::Closed | Self::CustomerLost(_) | Self::DestinationLost(_) | Self::NoPipe(_) => {
                false
            }
        }
    }
}

/// A side, as the octets' way sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Customer,
    Destination,
}

impl Side {
    fn lost(self, error: io::Error) -> End {
        match self {
            Self::Customer => End::CustomerLost(error),
            Self::Destination => End::DestinationLost(error),
        }
    }
}

/// Joins the customer with the other half, counts, and says in the log what came of it. `kept` is what the customer
/// has already sent.
pub(crate) async fn join_and_tell(relay: &Relay, customer: TcpStream, joint: Joint, kept: &[u8]) {
    let Joint {
        destination,
        server_name,
        why,
        place,
    } = joint;
    let limits = &relay.config.splice.limits;
    let report = join(customer, destination, kept, limits).await;
    drop(place);
    let metrics = relay.metrics();
    metrics.count(Counter::Spliced);
    metrics.add(Counter::SplicedOctets, report.octets_up);
    metrics.add(Counter::SplicedOctets, report.octets_down);
    if report.end.is_limit() {
        metrics.count(Counter::SplicedLimited);
    }
    info!(
        tls.server_name = server_name,
        why,
        octets.up = report.octets_up,
        octets.down = report.octets_down,
        elapsed_ms = u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
        end = report.end.name(),
        error = report.end.error().map(tracing::field::display),
        "spliced session ended"
    );
}

/// Joins both connections until both have ended or a limit is reached. The destination first gets `kept`, what the
/// customer has already sent.
async fn join(
    customer: TcpStream,
    mut destination: TcpStream,
    kept: &[u8],
    limits: &SpliceLimits,
) -> Report {
    let meter = Meter::start(limits);
    let run = async {
        let (up, down) = (Pipe::new()?, Pipe::new()?);
        meter.moved(Side::Customer, kept.len())?;
        let wrote = destination.write_all(kept).await;
        wrote.map_err(|error| Side::Destination.lost(error))?;
        let (customer, destination) = (
            (Side::Customer, &customer),
            (Side::Destination, &destination),
        );
        tokio::try_join!(
            up.pump(customer, destination, &meter),
            down.pump(destination, customer, &meter),
        )?;
        Ok(End::Closed)
    };
    let end = tokio::select! {
        biased;
        end = run => end.unwrap_or_else(|end| end),
        end = meter.limit() => end,
    };
    match end {
        End::Closed => {}
        End::CustomerLost(_)
        | End::DestinationLost(_)
        | End::TooManyOctets
        | End::TooLong
        | End::Idle
        | End::NoPipe(_) => {
            reset(&customer);
            reset(&destination);
        }
    }
    let end = match end {
        // It had said all that it wanted to say, and left before it had heard the other side's last word.
        End::CustomerLost(_) if meter.has_ended(Side::Customer) => End::Closed,
        End::DestinationLost(_) if meter.has_ended(Side::Destination) => End::Closed,
        end @ (End::Closed
        | End::CustomerLost(_)
        | End::DestinationLost(_)
        | End::TooManyOctets
        | End::TooLong
        | End::Idle
        | End::NoPipe(_)) => end,
    };
    meter.report(end)
}

/// Has the connection end with RST when it is dropped.
fn reset(stream: &TcpStream) {
    if let Err(error) = sockopt::set_socket_linger(stream, Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection ends with FIN instead of RST");
    }
}

#[cfg(test)]
mod tests;
