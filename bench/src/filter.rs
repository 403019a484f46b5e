//! How well mail is filtered: the embedded classifier, rspamd, and both by the product's own sum of log-odds.
//!
//! Each corpus is split in two by what its messages say, so that copies of one mailing lie in one half; each half is judged
//! by what was made of the other. Then models are taken to other corpora: what a filter is worth on mail that is not like what it was
//! made of is the figure that an operator without a corpus of his own has to know. Copies of what a model was made of
//! are left out there.

mod allocations;
mod corpus;
mod cost;
mod figures;
mod rspamd;

use std::{collections::HashSet, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use relay::classifier::{
    Extractor, Model, Provenance,
    figures::{Scored, at, platt},
    training::train,
};
use relay_proto::verdict::{Action, Finding, Policy, Report as Said, Scale, combine};

use self::{
    corpus::{Corpora, Corpus, Mail},
    figures::{Filtered, Report},
    rspamd::Rspamd,
};
use crate::{
    machine::{self, Machine},
    report, say,
    targets::Target,
};

/// Arguments of `filter`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A directory with `ham` and `spam` in it, one message a file; may be given more than once. Without one, the
    /// SpamAssassin public corpus is fetched into target/corpora
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Ask rspamd, too: Debian's own rules, without the network, in a directory and at a port of its own
    #[arg(long)]
    rspamd: bool,
    /// Write everything as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Exit with 1 if a target is missed, and name it
    #[arg(long)]
    pub(crate) check: bool,
}

/// Measures, says what was found, and answers the targets.
pub(crate) fn run(options: &Options) -> Result<Vec<Target>> {
    let load_before = machine::load()?;
    let extractor = Extractor::default();
    let Corpora { whole, apart } = if options.corpus.is_empty() {
        corpus::public(&extractor)?
    } else {
        corpus::named(&extractor, &options.corpus)?
    };
    let rspamd = options.rspamd.then(Rspamd::start).transpose()?;
    let mut filtered = Vec::new();
    for corpus in &whole {
        filtered.extend(within(corpus, rspamd.as_ref())?);
    }
    let apart = if apart.is_empty() { &whole } else { &apart };
    for made_of in apart {
        for taken_to in apart {
            if made_of.name != taken_to.name {
                filtered.push(across(made_of, taken_to)?);
            }
        }
    }
    say("what a message costs");
    let cost = cost::measure(whole.first().context("there is a corpus")?)?;
    let mut report = Report {
        machine: Machine::look(None)?,
        load_before,
        load_after: machine::load()?,
        corpora: whole.iter().chain(apart).map(Into::into).collect(),
        filtered,
        cost,
        targets: Vec::new(),
    };
    report.targets = figures::targets(&report);
    report::say_out(&figures::text(&report))?;
    if let Some(path) = &options.json {
        report::write_json(&report, path)?;
    }
    Ok(report.targets)
}

/// Each half is judged by what was made of the other.
fn within(corpus: &Corpus, rspamd: Option<&Rspamd>) -> Result<Vec<Filtered>> {
    say(&format!("{}: halves judged by each other", corpus.name));
    let (one, other): (Vec<&Mail>, Vec<&Mail>) = corpus
        .mail
        .iter()
        .partition(|mail| mail.example.part(HALVES) == 0);
    let (mut embedded, mut own) = (Vec::new(), Vec::new());
    for (training, judged) in [(&one, &other), (&other, &one)] {
        let model = model_of(training)?;
        let scored = scores(&model, judged);
        // By the threshold of the model that judges them.
        own.extend(scored.iter().map(|one| Scored {
            score: one.score - model.threshold(),
            ..*one
        }));
        embedded.extend(scored);
    }
    let name = |filter: &str| format!("{} by {filter}", corpus.name);
    let mut filtered = vec![Filtered::new(
        name("the classifier"),
        "in-domain",
        &embedded,
        Some(at(&own, 0.0)),
    )];
    let Some(rspamd) = rspamd else {
        return Ok(filtered);
    };
    say(&format!("{}: asking rspamd", corpus.name));
    let (of_one, of_other) = (rspamd.scores(&one)?, rspamd.scores(&other)?);
    let (mut theirs, mut counted, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (fitted, judged) in [(&of_one, &of_other), (&of_other, &of_one)] {
        let fit = platt(fitted).context("rspamd's scores do not tell spam from ham")?;
        let (slope, offset) = fit;
        theirs.extend(judged.iter().map(|one| Scored {
            score: slope * one.score + offset,
            ..*one
        }));
        // The product's own way to count them, by a scale that is fitted to mail of the other half.
        let scale = Scale {
            neutral_at: -offset / slope,
            per_point: slope,
            ..Scale::default()
        };
        counted.extend(judged.iter().map(|one| Scored {
            score: scale.log_odds(one.score).unwrap_or_default(),
            ..*one
        }));
        notes.push(format!("{slope:.3} x score {offset:+.3}"));
    }
    let mut of_rspamd = Filtered::new(name("rspamd"), "rspamd", &theirs, None);
    of_rspamd.note = format!("log-odds = {}", notes.join(", "));
    filtered.push(of_rspamd);
    let both = embedded.iter().zip(&counted);
    let both: Vec<Scored> = both.map(|(one, other)| pooled(one, other)).collect();
    filtered.push(Filtered::new(name("both"), "combined", &both, None));
    Ok(filtered)
}

/// By a model that was made of other mail.
fn across(made_of: &Corpus, taken_to: &Corpus) -> Result<Filtered> {
    say(&format!(
        "{} judged by what was made of {}",
        taken_to.name, made_of.name
    ));
    let known: HashSet<u64> = made_of.mail.iter().map(|mail| mail.sameness).collect();
    let model = model_of(&made_of.mail.iter().collect::<Vec<_>>())?;
    let judged: Vec<&Mail> = taken_to
        .mail
        .iter()
        .filter(|mail| !known.contains(&mail.sameness))
        .collect();
    let name = format!("{} by the classifier of {}", taken_to.name, made_of.name);
    let scored = scores(&model, &judged);
    let own = Some(at(&scored, model.threshold()));
    let mut filtered = Filtered::new(name, "cross-corpus", &scored, own);
    filtered.note = format!("{} copies left out", taken_to.mail.len() - judged.len());
    Ok(filtered)
}

fn model_of(mail: &[&Mail]) -> Result<Model> {
    let examples: Vec<_> = mail.iter().map(|mail| mail.example.clone()).collect();
    ensure!(!examples.is_empty(), "a corpus without mail");
    Ok(train(examples, None, Provenance::default(), |_| ())?.model)
}

fn scores(model: &Model, mail: &[&Mail]) -> Vec<Scored> {
    let score = |mail: &&Mail| Scored {
        score: model.log_odds(mail.example.features()),
        label: mail.example.label(),
    };
    mail.iter().map(score).collect()
}

/// What the relay makes of two scanners' log-odds.
fn pooled(one: &Scored, other: &Scored) -> Scored {
    let said = |scanner: &'static str, scored: &Scored| Said {
        scanner,
        finding: Finding::Clean,
        score: None,
        log_odds: Some(scored.score),
        reasons: Vec::new(),
        elapsed: std::time::Duration::ZERO,
    };
    let policy = Policy {
        spam: Action::Reject,
        malware: Action::Reject,
        unscannable: Action::Accept,
        spam_log_odds: None,
    };
    let judgement = combine(&[said("classifier", one), said("rspamd", other)], &policy);
    Scored {
        score: judgement.log_odds.unwrap_or(0.0),
        label: one.label,
    }
}

const HALVES: u64 = 2;
