//! What the kernel program tells of its own accord: events of flows, and debug lines.

use std::{
    fmt,
    os::fd::{AsRawFd, RawFd},
};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use redirector_common::abi::Event;

use super::{Edge, EdgeError, maps};

impl Edge {
    /// A reader of the events of all interfaces. There is one ring: two readers would each see a part.
    ///
    /// # Errors
    ///
    /// Only what the kernel answers.
    pub fn events(&self) -> Result<EventReader, EdgeError> {
        maps::open_events(&self.pins).map(EventReader)
    }

    /// A forwarder of the program's debug lines into the `log` crate (and from there into
    /// `tracing`, by `tracing-log`). `None` unless `debug_lines` is configured, and after the first call.
    ///
    /// # Errors
    ///
    /// [`EdgeError::Program`] if the embedded object has no ring for them.
    pub fn debug_lines(&mut self) -> Result<Option<DebugLines>, EdgeError> {
        let Some(mut object) = self.debug.take() else {
            return Ok(None);
        };
        EbpfLogger::init(&mut object)
            .map(|logger| Some(DebugLines(logger)))
            .map_err(|error| EdgeError::program("opening the ring of debug lines", error))
    }
}

/// Reads events; put it into a `tokio::io::unix::AsyncFd` to learn when there are some, and drain it
/// with [`EventReader::next_event`] until `None`.
pub struct EventReader(RingBuf<MapData>);

impl EventReader {
    /// The next event, or `None` until the descriptor is readable again.
    pub fn next_event(&mut self) -> Option<Event> {
        // The ring holds octets that only our program writes, in records of one size; anything
        // else would be of another ABI version and is skipped.
        while let Some(item) = self.0.next() {
            if let Ok(octets) = <&[u8; Event::SIZE]>::try_from(&*item) {
                return Some(Event::from_octets(octets));
            }
        }
        None
    }
}

impl AsRawFd for EventReader {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventReader")
            .field(&self.as_raw_fd())
            .finish()
    }
}

/// Forwards debug lines; drive it like [`EventReader`], with [`DebugLines::forward`].
pub struct DebugLines(EbpfLogger<&'static dyn log::Log>);

impl DebugLines {
    /// Forwards what has come in.
    pub fn forward(&mut self) {
        self.0.flush();
    }
}

impl AsRawFd for DebugLines {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl fmt::Debug for DebugLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DebugLines")
            .field(&self.as_raw_fd())
            .finish()
    }
}
