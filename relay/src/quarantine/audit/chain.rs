//! The proof of the audit log: each line has the hash of the one before it, and its own.

use super::Line;

/// The lines that were proved so far, by the last of them.
#[derive(Debug, Default)]
pub(super) struct Chain(Option<Last>);

#[derive(Debug)]
struct Last {
    number: u64,
    hash: String,
}

/// Why a line is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is none.
    #[error("it is no line of an audit log: {0}")]
    Unreadable(String),
    /// It was changed.
    #[error("its hash is not that of what it says")]
    Changed,
    /// Lines between the two are gone, or the two have changed places.
    #[error(
        "it does not follow from the line before: it is number {found}, and number {wanted} should stand here"
    )]
    Misplaced {
        /// The number that it has.
        found: u64,
        /// The number that it should have.
        wanted: u64,
    },
    /// Another one stood before it.
    #[error("it does not follow from the line before, which was another one when it was written")]
    Unlinked,
    /// The file ends in it.
    #[error(
        "it is not whole: cut off by a crash, which a relay that starts puts right, or by somebody"
    )]
    Torn,
}

impl Chain {
    /// Takes the next line in. The first one may follow from lines that are too old to be kept.
    pub(super) fn follow(&mut self, octets: &[u8]) -> Result<Line, Broken> {
        let line: Line = serde_json::from_slice(octets)
            .map_err(|error| Broken::Unreadable(error.to_string()))?;
        if line.hash != line.proof() {
            return Err(Broken::Changed);
        }
        if let Some(last) = &self.0 {
            let wanted = last.number + 1;
            if line.number != wanted {
                let found = line.number;
                return Err(Broken::Misplaced { found, wanted });
            }
            if line.before != last.hash {
                return Err(Broken::Unlinked);
            }
        }
        self.goes_on(&line);
        Ok(line)
    }

    /// A line follows that is known to do so.
    pub(super) fn goes_on(&mut self, line: &Line) {
        self.0 = Some(Last {
            number: line.number,
            hash: line.hash.clone(),
        });
    }

    /// The number of the last line; 0 = there is none.
    pub(super) fn number(&self) -> u64 {
        self.0.as_ref().map_or(0, |last| last.number)
    }

    /// The hash of the last line; empty = there is none.
    pub(super) fn hash(&self) -> &str {
        self.0.as_ref().map_or("", |last| &last.hash)
    }
}
