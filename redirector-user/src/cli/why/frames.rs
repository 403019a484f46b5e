//! Every frame of a capture, judged in batches, told as it comes: a capture may be longer than memory.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use super::rows::{self, Row, Sums};
use crate::{
    api::{
        frames::FRAMES_MAX,
        view::{FramesRequest, FramesView},
    },
    cli::{CliError, Outcome, commands::Teller},
    client::Client,
    hex,
    pcap::read::{Frame, ReadError, Reader},
};

/// Where the frames come in.
pub(super) struct Entrance {
    pub(super) interface: Option<String>,
    pub(super) role: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    file: &Path,
    entrance: Entrance,
) -> Result<Outcome, CliError> {
    let mut reader = Reader::open(file)?;
    let mut sums = Sums::default();
    let mut request = FramesRequest {
        interface: entrance.interface,
        role: entrance.role,
        frames: Vec::new(),
    };
    let progress = Progress::new();
    loop {
        let (batch, damage) = batch(&mut reader);
        if batch.is_empty() && damage.is_none() && sums.frames > 0 {
            break;
        }
        // An empty capture is asked about, too: the entrance may be wrong.
        request.frames = batch
            .iter()
            .map(|frame| hex::encode(&whole(frame)))
            .collect();
        let view: FramesView = client.post("/v1/why/frames", &request).await?;
        let mut out = std::io::stdout().lock();
        if sums.frames == 0 && !teller.json {
            for line in rows::caveats(&view) {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "{}", rows::header())?;
        }
        let ended = batch.is_empty();
        for (frame, judged) in batch.into_iter().zip(view.frames) {
            let row = Row::new(&frame, judged);
            sums.add(&row);
            if teller.json {
                writeln!(out, "{}", serde_json::to_string(&row)?)?;
            } else {
                writeln!(out, "{}", row.line())?;
            }
        }
        drop(out);
        progress.tell(sums.frames);
        if let Some(damage) = damage {
            progress.end();
            return Err(damage.into());
        }
        if ended {
            break;
        }
    }
    progress.end();
    let mut out = std::io::stdout().lock();
    if teller.json {
        let sums = serde_json::json!({ "sums": sums });
        writeln!(out, "{sums}")?;
    } else {
        writeln!(out, "\n{}", sums.line())?;
    }
    Ok(match sums.not_judged {
        0 => Outcome::Done,
        _ => Outcome::Partial,
    })
}

/// The next frames, and what is wrong with the file behind them.
fn batch(reader: &mut Reader) -> (Vec<Frame>, Option<ReadError>) {
    let mut batch = Vec::new();
    let mut octets = 0;
    while batch.len() < FRAMES_MAX && octets < BATCH_OCTETS {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                octets += frame.octets.len();
                batch.push(frame);
            }
            Ok(None) => break,
            Err(damage) => return (batch, Some(damage)),
        }
    }
    (batch, None)
}

/// The frame as long as it was. The program reads lengths and headers, so zeros do for a payload that is
/// missing; one that is missing from beyond any frame is not made up.
fn whole(frame: &Frame) -> Vec<u8> {
    let mut octets = frame.octets.clone();
    octets.resize(frame.wire_octets.min(LONGEST_OCTETS).max(octets.len()), 0);
    octets
}

/// How far it is, where somebody watches and the rows do not say it.
struct Progress {
    watched: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            watched: std::io::stderr().is_terminal() && !std::io::stdout().is_terminal(),
        }
    }

    fn tell(&self, frames: u64) {
        if self.watched {
            drop(write!(std::io::stderr().lock(), "\r{frames} frames"));
        }
    }

    fn end(&self) {
        if self.watched {
            drop(writeln!(std::io::stderr().lock()));
        }
    }
}

/// Of one request; one frame may go beyond it.
const BATCH_OCTETS: usize = 1024 * 1024;
/// Longer than anything that is judged.
const LONGEST_OCTETS: usize = 4096;
