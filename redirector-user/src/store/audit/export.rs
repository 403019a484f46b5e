//! An export of the trail: lines of JSON that prove themselves.
//!
//! The first line says what it is, each of the others is a row with all that its hashes cover, and the last says how many
//! there are: a file that was cut off is known by its missing end. [`Reading`] takes the lines one by one, in memory that
//! does not grow with the file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Row,
    proof::{From, Head, Proof, Prover},
};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Begin(Begin),
    /// One row.
    Row(Row),
    /// The last.
    End(End),
}

/// What the file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Begin {
    /// [`FORMAT`].
    pub format: String,
    /// When it was made.
    pub at: Timestamp,
    /// Rows from before then are left out; `None` = none are.
    pub since: Option<Timestamp>,
    /// After which rows the chains begin that do not begin with their first one, because the oldest have gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<String>,
}

/// What the file has held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct End {
    /// How many rows.
    pub rows: u64,
}

/// Why a file is no whole export.
#[derive(Debug, thiserror::Error)]
pub enum NoExport {
    /// A line cannot be read.
    #[error("line {line}: not a line of `outgate audit export`: {source}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// Why not.
        source: serde_json::Error,
    },
    /// The lines are in no order that an export has.
    #[error("line {line}: {what}; make the export anew")]
    Order {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The end is missing.
    #[error("it is cut off after {rows} rows: the last line is missing; make the export anew")]
    CutOff {
        /// Rows that are there.
        rows: u64,
    },
    /// Some rows are missing.
    #[error("it has {rows} rows, and its last line says {said}; make the export anew")]
    Rows {
        /// Those that are there.
        rows: u64,
        /// Those that were.
        said: u64,
    },
}

/// Lines as they are read.
#[derive(Debug)]
pub struct Reading {
    heads: Vec<Head>,
    prover: Option<Prover>,
    line: u64,
    rows: u64,
    ended: Option<u64>,
}

impl Reading {
    /// Before the first line.
    #[must_use]
    pub const fn new(heads: Vec<Head>) -> Self {
        Self {
            heads,
            prover: None,
            line: 0,
            rows: 0,
            ended: None,
        }
    }

    /// The next line.
    ///
    /// # Errors
    ///
    /// [`NoExport::Line`], [`NoExport::Order`].
    pub fn take(&mut self, text: &[u8]) -> Result<(), NoExport> {
        self.line += 1;
        let line = serde_json::from_slice(text).map_err(|source| NoExport::Line {
            line: self.line,
            source,
        })?;
        match (line, &mut self.prover, self.ended) {
            (Line::Begin(begin), None, None) if begin.format == FORMAT => {
                let from = begin.since.map_or(From::First, |_| From::Any);
                let heads = std::mem::take(&mut self.heads);
                let anchors = begin.anchors.iter();
                let anchors = anchors.filter_map(|anchor| anchor.parse::<Head>().ok());
                self.prover = Some(Prover::new(from, heads).after(anchors));
                Ok(())
            }
            (Line::Begin(_), None, None) => {
                Err(self.order("it is of another version of outgate, or of something else"))
            }
            (Line::Row(row), Some(prover), None) => {
                prover.take(&row);
                self.rows += 1;
                Ok(())
            }
            (Line::End(end), Some(_), None) => {
                self.ended = Some(end.rows);
                Ok(())
            }
            (Line::Row(_) | Line::End(_), None, _) => {
                Err(self.order("the line before it, which says what the file is, is missing"))
            }
            (_, Some(_), Some(_)) | (Line::Begin(_), ..) => {
                Err(self.order("it stands where no such line can be"))
            }
        }
    }

    /// What came of it.
    ///
    /// # Errors
    ///
    /// [`NoExport::CutOff`], [`NoExport::Rows`].
    pub fn finish(self) -> Result<Proof, NoExport> {
        let rows = self.rows;
        let said = self.ended.ok_or(NoExport::CutOff { rows })?;
        if said != rows {
            return Err(NoExport::Rows { rows, said });
        }
        Ok(self.prover.map(Prover::finish).unwrap_or_default())
    }

    const fn order(&self, what: &'static str) -> NoExport {
        NoExport::Order {
            line: self.line,
            what,
        }
    }
}

/// The first line's word for what follows.
pub const FORMAT: &str = "outgate audit export 1";
