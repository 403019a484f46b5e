//! One direction: from a socket into a pipe, from the pipe into the other socket.
//!
//! The pipe is filled only when it is empty. So EAGAIN has one meaning at either end: filling, that the socket has
//! nothing; draining, that the other socket is full.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::meter::Meter;
use super::{End, Side};

/// Where octets are between the sockets; 64 KiB, less for a user with more than 16384 pages in pipes.
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    pub(super) fn new() -> Result<Self, End> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|errno| End::NoPipe(errno.into()))?;
        Ok(Self { reader, writer })
    }

    /// Moves all that `from` sends to `to`, and then its end.
    pub(super) async fn pump(
        &self,
        (from_side, from): (Side, &TcpStream),
        (to_side, to): (Side, &TcpStream),
        meter: &Meter,
    ) -> Result<(), End> {
        loop {
            let filled = from
                .async_io(Interest::READABLE, || moved(from, &self.writer, OCTETS))
                .await
                .map_err(|error| from_side.lost(error))?;
            if filled == 0 {
                break;
            }
            meter.moved(from_side, filled)?;
            let mut left = filled;
            while left > 0 {
                let drained = to
                    .async_io(Interest::WRITABLE, || moved(&self.reader, to, left))
                    .await
                    .map_err(|error| to_side.lost(error))?;
                // A pipe whose writer is open never ends, and this one is not empty.
                left = left.saturating_sub(drained.max(1));
                meter.alive();
            }
        }
        meter.ended(from_side);
        match shutdown(to, Shutdown::Write) {
            // It has been closed by its own side meanwhile.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(to_side.lost(errno.into())),
        }
    }
}

fn moved(
    from: impl std::os::fd::AsFd,
    to: impl std::os::fd::AsFd,
    octets: usize,
) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match splice(&from, None, &to, None, octets, flags) {
            Err(Errno::INTR) => {}
            moved => return Ok(moved?),
        }
    }
}

/// As much as a pipe holds by default.
const OCTETS: usize = 64 << 10;
