//! The audit log for whoever looks at the file, with or without a relay that runs.
//!
//! A chain of hashes shows that a line was changed, taken out or moved. It cannot show that lines at its end are gone: for that
//! there is a [`Mark`], which somebody has kept elsewhere.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use super::Line;
use super::chain::Chain;

pub use super::chain::Broken;

/// What the file proves.
#[derive(Debug)]
pub struct Log {
    /// The lines before the first one that is not what was written.
    pub lines: Vec<Line>,
    /// That one.
    pub broken: Option<BrokenLine>,
}

/// A line that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {place}: {why}")]
pub struct BrokenLine {
    /// Its place in the file, from 1.
    pub place: usize,
    /// What is wrong with it.
    pub why: Broken,
}

/// A line by number and hash, to be kept where nobody can change it together with the log: `17:5891b5b5...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Mark {
    number: u64,
    hash: String,
}

/// What has become of a marked line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The log ends before it.
    #[error("line number {marked} is gone: the log ends with number {last}")]
    CutOff {
        /// The one that was marked.
        marked: u64,
        /// The last one that there is.
        last: u64,
    },
    /// The log begins behind it, as it does when lines are older than they are kept.
    #[error(
        "line number {marked} is no longer there: the log begins with number {first}; lines older than quarantine.audit_days are forgotten"
    )]
    Forgotten {
        /// The one that was marked.
        marked: u64,
        /// The first one that there is.
        first: u64,
    },
    /// There is another in its place: the log was written anew.
    #[error("line number {0} is another one: the log was written anew from there or before")]
    Other(u64),
}

impl Log {
    /// Reads it. An absent file has no lines. Blocks.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Self::of(&text))
    }

    fn of(text: &[u8]) -> Self {
        let (mut chain, mut lines) = (Chain::default(), Vec::new());
        for octets in text.split_inclusive(|&octet| octet == b'\n') {
            let line = match octets.ends_with(b"\n") {
                true => chain.follow(octets),
                false => Err(Broken::Torn),
            };
            match line {
                Ok(line) => lines.push(line),
                Err(why) => {
                    let place = lines.len() + 1;
                    let broken = Some(BrokenLine { place, why });
                    return Self { lines, broken };
                }
            }
        }
        Self {
            lines,
            broken: None,
        }
    }

    /// The last line.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.lines.last().map(|line| Mark {
            number: line.number,
            hash: line.hash.clone(),
        })
    }

    /// Whether a line is still there.
    pub fn holds(&self, mark: &Mark) -> Result<(), Missing> {
        let marked = mark.number;
        let first = self.lines.first().map_or(0, |line| line.number);
        let last = self.lines.last().map_or(0, |line| line.number);
        if marked > last {
            return Err(Missing::CutOff { marked, last });
        }
        if marked < first {
            return Err(Missing::Forgotten { marked, first });
        }
        let is_it = |line: &Line| line.number == marked && line.hash == mark.hash;
        match self.lines.iter().any(is_it) {
            true => Ok(()),
            false => Err(Missing::Other(marked)),
        }
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mark = text.split_once(':').and_then(|(number, hash)| {
            let number = number.parse().ok()?;
            let hex = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
            let whole = hash.len() == 64 && hash.bytes().all(hex);
            whole.then(|| Self {
                number,
                hash: hash.to_owned(),
            })
        });
        mark.ok_or_else(|| format!("{text:?}: not NUMBER:HASH, as --verify prints it"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Act;
    use super::*;

    /// So many lines, each by itself.
    fn lines(count: u64) -> Vec<Vec<u8>> {
        let mut before = String::new();
        let line = |number| {
            let mut line = Line {
                number,
                at: "2026-11-22T12:00:00Z".parse().unwrap(),
                actor: "uid 0".into(),
                id: "A".parse().unwrap(),
                act: Act::Dropped,
                reason: "ticket 4711".into(),
                before: before.clone(),
                hash: String::new(),
            };
            line.hash = line.proof();
            before.clone_from(&line.hash);
            line.octets()
        };
        (1..=count).map(line).collect()
    }

    #[test]
    fn the_first_line_that_is_not_what_was_written_is_named() {
        let whole = lines(4);
        let changed = |place: usize| {
            let mut lines = whole.clone();
            let text = String::from_utf8(lines[place].clone()).unwrap();
            lines[place] = text.replace("4711", "4712").into_bytes();
            lines
        };
        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        let mut without = whole.clone();
        without.remove(2);
        let mut doubled = whole.clone();
        doubled.insert(1, whole[0].clone());
        // A whole line, made by somebody who knows how, in the place of another.
        let mut forged = whole.clone();
        forged[1] = {
            let mut line: Line = serde_json::from_slice(&whole[1]).unwrap();
            line.actor = "uid 1000".into();
            line.hash = line.proof();
            line.octets()
        };
        let mut torn = whole.clone();
        torn[3].truncate(10);
        let mut noise = whole.clone();
        noise[2] = b"\0\xff\n".to_vec();
        let misplaced = |found, wanted| Broken::Misplaced { found, wanted };
        let cases = [
            ("changed", changed(0), 1, Broken::Changed),
            ("changed at the end", changed(3), 4, Broken::Changed),
            ("swapped", swapped, 2, misplaced(3, 2)),
            ("taken out", without, 3, misplaced(4, 3)),
            ("doubled", doubled, 2, misplaced(1, 2)),
            ("forged", forged, 3, Broken::Unlinked),
            ("torn", torn, 4, Broken::Torn),
        ];
        for (name, lines, place, why) in cases {
            let log = Log::of(&lines.concat());
            assert_eq!(log.lines.len(), place - 1, "{name}");
            assert_eq!(log.broken, Some(BrokenLine { place, why }), "{name}");
        }
        let broken = Log::of(&noise.concat()).broken.unwrap();
        assert!(matches!(broken.why, Broken::Unreadable(_)), "{broken}");
        for count in 0..5 {
            let log = Log::of(&whole[..count].concat());
            assert_eq!((log.lines.len(), log.broken), (count, None));
        }
        // The oldest may be forgotten: then the first one follows from what nobody sees.
        assert_eq!(Log::of(&whole[2..].concat()).broken, None);
    }

    #[test]
    fn a_mark_that_was_kept_elsewhere_shows_what_was_cut_off() {
        let whole = lines(4);
        let log = |lines: &[Vec<u8>]| Log::of(&lines.concat());
        let mark = log(&whole[..3]).mark().unwrap();
        assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
        assert_eq!(log(&whole).holds(&mark), Ok(()));
        assert_eq!(log(&whole[2..]).holds(&mark), Ok(()));
        let (marked, last) = (3, 2);
        let cut_off = Err(Missing::CutOff { marked, last });
        assert_eq!(log(&whole[..2]).holds(&mark), cut_off);
        let last = 0;
        assert_eq!(log(&[]).holds(&mark), Err(Missing::CutOff { marked, last }));
        let first = 4;
        let forgotten = Err(Missing::Forgotten { marked, first });
        assert_eq!(log(&whole[3..]).holds(&mark), forgotten);
        let other = Mark {
            hash: "0".repeat(64),
            ..mark
        };
        assert_eq!(log(&whole).holds(&other), Err(Missing::Other(3)));
        for text in [
            "",
            "3",
            "3:",
            "x:00",
            "3:zz",
            &format!("-1:{}", "0".repeat(64)),
        ] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
