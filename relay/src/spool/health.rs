//! What a spool says of itself.

/// Whether the spool takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// It does.
    Yes,
    /// There is no room; what is done is still written down.
    Full,
    /// The disk failed at the last attempt to write.
    Broken,
}

/// State of a spool and what it has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes messages.
    pub accepting: Accepting,
    /// Messages that are to be delivered.
    pub messages: u64,
    /// Octets that it occupies on the disk.
    pub octets: u64,
    /// Octets that it may occupy.
    pub max_octets: u64,
    /// Messages that it has taken since the start.
    pub stored: u64,
    /// Messages that it could not take.
    pub refused: u64,
    /// Groups that were committed, each with one sync.
    pub groups: u64,
    /// Writes and syncs that failed.
    pub write_errors: u64,
    /// Damaged records that were copied to `corrupt`.
    pub damaged: u64,
}
