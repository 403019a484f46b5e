//! The header of the message that a notification is about, as far as it is quoted.

/// Collects the header of a message from its content, bounded: give it the content from the beginning, in any
/// pieces, until it has enough.
#[derive(Clone, Debug, Default)]
pub struct Head {
    octets: Vec<u8>,
    complete: bool,
}

impl Head {
    /// Nothing of it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next octets of the content; whether more are wanted.
    pub fn push(&mut self, content: &[u8]) -> bool {
        if self.complete {
            return false;
        }
        let room = MAX_OCTETS.saturating_sub(self.octets.len());
        // The end may begin in the octets from before.
        let seen = self.octets.len().saturating_sub(END.len() - 1);
        self.octets
            .extend_from_slice(content.get(..room).unwrap_or(content));
        let unseen = self.octets.get(seen..).unwrap_or_default();
        if self.octets.starts_with(b"\r\n") {
            self.octets.clear();
            self.complete = true;
        } else if let Some(at) = memchr::memmem::find(unseen, END) {
            self.octets.truncate(seen + at + 2);
            self.complete = true;
        } else if self.octets.len() >= MAX_OCTETS {
            self.complete = true;
        }
        !self.complete
    }

    /// What has been collected.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }
}

const END: &[u8] = b"\r\n\r\n";
/// Of the header; what is beyond is not quoted.
const MAX_OCTETS: usize = 64 << 10;
