//! The proof of a trail: walks the rows of all writers, from the store or from an export, and says what does not hold.
//!
//! Feed every row, each writer's in order, to [`Prover::take`]; then ask [`Prover::finish`]. Pure. A chain that does not
//! hold is followed no further than its first bad row, the others are.
//!
//! A chain whose oldest rows have gone begins after its anchor ([`Prover::after`]), and some row must tell of that.
//!
//! A chain cannot show that its end was cut off, or that it was put back to what a backup held. Whoever keeps a [`Head`]
//! elsewhere hands it to [`Prover::new`], and is told if no row has it any more.

use std::{collections::BTreeMap, convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Broken, FIRST, Row, UNTOLD, anchor, verify_row};

/// The end of a chain as it was once, as `outgated-4f47:12:HASH`; or its hash alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Whose chain and which row, if that was kept, too.
    pub place: Option<(String, i64)>,
    /// Of that row.
    pub hash: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proof {
    /// By name.
    pub writers: Vec<WriterProof>,
    /// Heads that were kept and are not there any more.
    pub missing: Vec<String>,
}

/// What came of one writer's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WriterProof {
    /// Whose.
    pub writer: String,
    /// Its first row.
    pub first: i64,
    /// The last row that holds.
    pub last: i64,
    /// Rows that hold and whose payload was erased.
    pub erased: u64,
    /// Keep it elsewhere: writer, last row and its hash.
    pub head: String,
    /// The first row that does not hold.
    pub broken: Option<BrokenRow>,
}

/// A row that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenRow {
    /// Which.
    pub seq: i64,
    /// Why not.
    pub what: String,
}

/// Walks rows.
#[derive(Debug)]
pub struct Prover {
    from: From,
    chains: BTreeMap<String, Walked>,
    /// By writer: the last row that went, its hash, and whether a row tells of it.
    anchors: BTreeMap<String, (i64, String, bool)>,
    heads: Vec<(Head, bool)>,
}

/// Where chains begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With their first row, or after their anchor.
    First,
    /// With any row: what came before it was left out.
    Any,
}

#[derive(Debug)]
struct Walked {
    first: i64,
    last: i64,
    hash: String,
    erased: u64,
    broken: Option<Broken>,
}

impl Prover {
    /// Has seen no row yet.
    #[must_use]
    pub fn new(from: From, heads: impl IntoIterator<Item = Head>) -> Self {
        Self {
            from,
            chains: BTreeMap::new(),
            anchors: BTreeMap::new(),
            heads: heads.into_iter().map(|head| (head, false)).collect(),
        }
    }

    /// What went before the rows that it is going to see.
    #[must_use]
    pub fn after(mut self, anchors: impl IntoIterator<Item = Head>) -> Self {
        let placed = anchors.into_iter().filter_map(|anchor| {
            let (writer, seq) = anchor.place?;
            Some((writer, (seq, anchor.hash, false)))
        });
        self.anchors.extend(placed);
        self
    }

    /// The next row of its writer.
    pub fn take(&mut self, row: &Row) {
        let begun = match (self.from, self.anchors.get(&row.writer)) {
            (From::First, Some((seq, hash, _))) => Walked::before(seq + 1, hash),
            (From::First, None) => Walked::before(1, FIRST),
            (From::Any, _) => Walked::before(row.seq, &row.prev_hash),
        };
        if !self.chains.contains_key(&row.writer) {
            self.meet(&begun.hash);
        }
        let walked = self.chains.entry(row.writer.clone()).or_insert(begun);
        if walked.broken.is_some() {
            return;
        }
        match verify_row(row, walked.last + 1, &walked.hash) {
            Ok(hash) => {
                walked.last = row.seq;
                walked.erased += u64::from(row.payload.is_none());
                walked.hash.clone_from(&hash);
                self.meet(&hash);
                self.hear(row);
            }
            Err(broken) => walked.broken = Some(broken),
        }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(mut self) -> Proof {
        self.judge_anchors();
        let writers = self.chains.into_iter().map(|(writer, walked)| WriterProof {
            head: Head {
                place: Some((writer.clone(), walked.last)),
                hash: walked.hash,
            }
            .to_string(),
            writer,
            first: walked.first,
            last: walked.last,
            erased: walked.erased,
            broken: walked.broken.map(|broken| BrokenRow {
                seq: broken.seq,
                what: broken.what.to_owned(),
            }),
        });
        let missing = self.heads.iter().filter(|(_, met)| !met);
        Proof {
            writers: writers.collect(),
            missing: missing.map(|(head, _)| head.to_string()).collect(),
        }
    }

    /// A row that holds may tell of an anchor.
    fn hear(&mut self, row: &Row) {
        let Some(told) = anchor::told_by(row) else {
            return;
        };
        let Some((writer, seq)) = told.place else {
            return;
        };
        if let Some((at, hash, is_told)) = self.anchors.get_mut(&writer) {
            *is_told |= *at == seq && *hash == told.hash;
        }
    }

    /// A chain never goes to its end, nor without a word.
    fn judge_anchors(&mut self) {
        if self.from == From::Any {
            return;
        }
        for (writer, (seq, hash, is_told)) in &self.anchors {
            let broken = |what| {
                Some(Broken {
                    writer: writer.clone(),
                    seq: seq + 1,
                    what,
                })
            };
            match self.chains.get_mut(writer) {
                Some(walked) if !is_told && walked.broken.is_none() => {
                    walked.broken = broken(UNTOLD);
                }
                Some(_) => {}
                None => {
                    let mut walked = Walked::before(seq + 1, hash);
                    walked.broken = broken("it and every row after it are missing");
                    self.chains.insert(writer.clone(), walked);
                }
            }
        }
    }

    fn meet(&mut self, hash: &str) {
        for (head, met) in &mut self.heads {
            *met |= head.hash == hash;
        }
    }
}

impl Walked {
    /// A chain of which the row before this one was just seen.
    fn before(seq: i64, hash: &str) -> Self {
        Self {
            first: seq,
            last: seq - 1,
            hash: hash.to_owned(),
            erased: 0,
            broken: None,
        }
    }
}

impl Proof {
    /// Whether everything holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.writers.iter().all(|writer| writer.broken.is_none())
    }
}

/// Whatever is kept may be compared: what is no head is one that is not there.
impl FromStr for Head {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let text = text.trim();
        let mut parts = text.rsplitn(3, ':');
        let (hash, seq, writer) = (parts.next(), parts.next(), parts.next());
        let place = writer.zip(seq.and_then(|seq| seq.parse().ok()));
        Ok(match (place, hash) {
            (Some((writer, seq)), Some(hash)) => Self {
                place: Some((writer.to_owned(), seq)),
                hash: hash.to_owned(),
            },
            _ => Self {
                place: None,
                hash: text.to_owned(),
            },
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((writer, seq)) = &self.place {
            write!(f, "{writer}:{seq}:")?;
        }
        f.write_str(&self.hash)
    }
}

#[cfg(test)]
mod tests;
