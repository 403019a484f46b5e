//! What judging a message costs: time and memory, of messages of the size that the target is about.

use std::time::Instant;

use anyhow::{Context as _, Result};
use relay::classifier::{Extractor, Model};
use serde::Serialize;

use super::{allocations, corpus::Corpus};
use crate::stats::{median, quantile};

/// Of messages of about 4 KiB.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// How many were judged.
    pub(crate) messages: usize,
    /// Mean size.
    pub(crate) octets: f64,
    /// Milliseconds, median of the messages, each by its quickest round.
    pub(crate) median_ms: f64,
    /// The same, 99th percentile.
    pub(crate) p99_ms: f64,
    /// Heap at most, KiB, median of the messages.
    pub(crate) peak_kib: f64,
    /// The same, of the message that takes most.
    pub(crate) peak_kib_max: f64,
}

/// Judges messages of a corpus by the model that comes with the relay.
#[expect(clippy::cast_precision_loss, reason = "octets of a message")]
pub(super) fn measure(corpus: &Corpus) -> Result<Cost> {
    let (extractor, model) = (Extractor::default(), Model::shipped());
    let mut contents = Vec::new();
    for mail in &corpus.mail {
        let content = mail.content()?;
        if SIZES.contains(&content.len()) {
            contents.push(content);
        }
        if contents.len() == MESSAGES {
            break;
        }
    }
    contents
        .first()
        .context("no message of about 4 KiB to measure with")?;
    let judge = |content: &[u8]| {
        let features = extractor.features(content);
        std::hint::black_box(features.map(|features| model.log_odds(&features)).ok());
    };
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for content in &contents {
        let mut quickest = f64::INFINITY;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            judge(content);
            quickest = quickest.min(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.push(quickest);
        peaks.push(allocations::peak_octets(|| judge(content)) as f64 / 1024.0);
    }
    let octets: usize = contents.iter().map(Vec::len).sum();
    Ok(Cost {
        messages: contents.len(),
        octets: octets as f64 / contents.len() as f64,
        median_ms: median(&times),
        p99_ms: quantile(&times, 0.99),
        peak_kib: median(&peaks),
        peak_kib_max: quantile(&peaks, 1.0),
    })
}

const SIZES: std::ops::Range<usize> = 3584..4608;
const MESSAGES: usize = 300;
const ROUNDS: u32 = 5;
