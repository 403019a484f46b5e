//! `outgate-relay classifier`: makes models of the operator's own mail, and shows what they say.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use jiff::{Timestamp, Unit};
use relay::classifier::training::{STEPS, State, TrainError, Trained, train};
use relay::classifier::{Extractor, Label, Model, Provenance, corpus, figures, probability};
use serde::Serialize;

use super::say;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum ClassifierCommand {
    /// Make a model of mail that people have sorted: one message a file, directories within directories, or Maildirs. Says
    /// how well it does on mail that it was not made of. What more mail can be added to is kept beside the model, with
    /// the extension "state"
    Train {
        /// Directory of mail that was wanted; may be given more than once
        #[arg(long, value_name = "DIR", required = true)]
        ham: Vec<PathBuf>,
        /// Directory of mail that was not; may be given more than once
        #[arg(long, value_name = "DIR", required = true)]
        spam: Vec<PathBuf>,
        /// Where the model goes; name it in the configuration as `model` of the classifier
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/var/lib/outgate-relay/classifier.ogcm"
        )]
        model: PathBuf,
        /// Go on from the model that is there, with mail that it has not seen
        #[arg(long)]
        add: bool,
        /// What the mail is, for who reads `show` in a year
        #[arg(long, value_name = "TEXT", default_value = "the operator's own mail")]
        corpus: String,
        /// The model never refuses by itself: for mail of other people or from another time
        #[arg(long)]
        advisory: bool,
    },
    /// Say where a model comes from and how well it did
    Show {
        /// The model [default: the one that comes with the relay]
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
    /// Say how likely messages are spam, and what speaks for and against it
    Explain {
        /// Messages, one a file
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The model [default: the one that comes with the relay]
        #[arg(long, value_name = "FILE")]
        model: Option<PathBuf>,
        /// JSON instead of a table
        #[arg(short, long)]
        json: bool,
    },
}

/// Runs it; whether all files could be used.
pub(crate) fn run(command: &ClassifierCommand) -> anyhow::Result<bool> {
    match command {
        ClassifierCommand::Train {
            ham,
            spam,
            model,
            add,
            corpus,
            advisory,
        } => {
            let provenance = Provenance {
                corpus: corpus.clone(),
                trained_at: Timestamp::now().round(Unit::Second)?.to_string(),
                advisory: *advisory,
                ..Provenance::default()
            };
            training(ham, spam, model, *add, provenance)
        }
        ClassifierCommand::Show { model, json } => {
            show(&read(model.as_deref())?, *json)?;
            Ok(true)
        }
        ClassifierCommand::Explain { files, model, json } => {
            explain(files, &read(model.as_deref())?, *json)
        }
    }
}

fn training(
    ham: &[PathBuf],
    spam: &[PathBuf],
    file: &Path,
    add: bool,
    mut provenance: Provenance,
) -> anyhow::Result<bool> {
    let beside = file.with_extension("state");
    ensure!(
        add || !file.exists(),
        "{}: is there already; add to it with --add, or name another with --model",
        file.display()
    );
    let mut previous = None;
    if add {
        let model = Model::read(file).with_context(|| file.display().to_string())?;
        let state = std::fs::read(&beside).with_context(|| beside.display().to_string())?;
        previous = Some(State::decode(&state).with_context(|| beside.display().to_string())?);
        provenance.ham = model.provenance().ham;
        provenance.spam = model.provenance().spam;
    }
    let extractor = Extractor::default();
    let mut unusable = 0;
    let mut examples = Vec::new();
    for (directories, label, name) in [(ham, Label::Ham, "ham"), (spam, Label::Spam, "spam")] {
        for directory in directories {
            progress(&format!("reading {name} of {}", directory.display()))?;
            let found = corpus::examples(&extractor, directory, label, |file, error| {
                unusable += 1;
                // Without a standard error there is nobody to tell.
                drop(progress(&format!("{}: left out: {error}", file.display())));
            });
            examples.extend(found.with_context(|| directory.display().to_string())?);
        }
    }
    let trained = train(examples, previous, provenance, |step| {
        if std::io::stderr().is_terminal() || step == STEPS {
            drop(progress(&format!("trained {step} of {STEPS} times")));
        }
    });
    let trained = trained.map_err(|error| match error {
        TrainError::TooFew { .. } => anyhow::Error::from(error)
            .context(format!("{unusable} files were left out, as said above")),
        TrainError::Inseparable => error.into(),
    })?;
    relay::classifier::store(&beside, &trained.state.encode())
        .with_context(|| beside.display().to_string())?;
    relay::classifier::store(file, &trained.model.encode())
        .with_context(|| file.display().to_string())?;
    say(&error_of(&trained))?;
    if unusable > 0 {
        say(&format!("{unusable} files were left out, as said above"))?;
    }
    say(&format!(
        "{}: written; reload the relay if it uses it",
        file.display()
    ))?;
    Ok(unusable == 0)
}

/// The measured error, by thresholds that one may choose.
fn error_of(trained: &Trained) -> String {
    let mut lines = vec![format!(
        "on mail that the weights were not made of: AUC {:.4}",
        trained.model.measured().auc
    )];
    for share in [0.001, 0.01] {
        let rates = figures::at(&trained.scored, figures::threshold(&trained.scored, share));
        lines.push(format!(
            "reject_at = {:.4}: {} of the spam, {} of the ham",
            probability(rates.threshold),
            shown(&rates.recall),
            shown(&rates.false_positives)
        ));
    }
    lines.join("\n")
}

/// `92.9 % (91.6 to 94.0)`, with 95 % confidence.
fn shown(rate: &figures::Rate) -> String {
    format!(
        "{} of {}, {:.2} % ({:.2} to {:.2})",
        rate.count,
        rate.of,
        rate.share() * 100.0,
        rate.lower * 100.0,
        rate.upper * 100.0
    )
}

/// A model, as a program reads it.
#[derive(Serialize)]
struct Told {
    corpus: String,
    trained_at: String,
    ham: u64,
    spam: u64,
    advisory: bool,
    weights: usize,
    octets: usize,
    checksum: String,
    auc: f64,
    threshold: f64,
    false_positives: ToldRate,
    recall: ToldRate,
}

/// A rate with its bounds of 95 % confidence.
#[derive(Serialize)]
struct ToldRate {
    count: u64,
    of: u64,
    lower: f64,
    upper: f64,
}

impl From<figures::Rate> for ToldRate {
    fn from(rate: figures::Rate) -> Self {
        Self {
            count: rate.count,
            of: rate.of,
            lower: rate.lower,
            upper: rate.upper,
        }
    }
}

fn show(model: &Model, json: bool) -> anyhow::Result<()> {
    let (provenance, measured) = (model.provenance(), model.measured());
    let recall = figures::Rate::new(measured.found, measured.spam);
    let false_positives = figures::Rate::new(measured.false_positives, measured.ham);
    if json {
        let told = Told {
            corpus: provenance.corpus.clone(),
            trained_at: provenance.trained_at.clone(),
            ham: provenance.ham,
            spam: provenance.spam,
            advisory: provenance.advisory,
            weights: model.weights(),
            octets: model.encode().len(),
            checksum: format!("{:08x}", model.id()),
            auc: measured.auc,
            threshold: probability(model.threshold()),
            false_positives: false_positives.into(),
            recall: recall.into(),
        };
        return say(&serde_json::to_string(&told)?);
    }
    let alone = if provenance.advisory {
        "never refuses by itself".to_owned()
    } else {
        format!(
            "refuses from a probability of {:.4} on",
            probability(model.threshold())
        )
    };
    let rows = [
        ("MADE OF", provenance.corpus.clone()),
        ("AT", provenance.trained_at.clone()),
        (
            "HAM, SPAM",
            format!("{}, {}", provenance.ham, provenance.spam),
        ),
        (
            "WEIGHTS",
            format!("{} in {} octets", model.weights(), model.encode().len()),
        ),
        ("CHECKSUM", format!("{:08x}", model.id())),
        ("ALONE", alone),
        (
            "AUC",
            format!("{:.5}, on mail that it was not made of", measured.auc),
        ),
        ("SPAM FOUND", shown(&recall)),
        ("HAM REFUSED", shown(&false_positives)),
    ];
    for (name, value) in rows {
        say(&format!("{name:11}  {value}"))?;
    }
    Ok(())
}

/// A message, as a program reads it.
#[derive(Serialize)]
struct Explained<'a> {
    file: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_odds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unscannable: Option<String>,
    reasons: Vec<(String, f64)>,
}

fn explain(files: &[PathBuf], model: &Model, json: bool) -> anyhow::Result<bool> {
    let extractor = Extractor::default();
    let mut explained = Vec::new();
    for file in files {
        let content = corpus::read(file).with_context(|| file.display().to_string())?;
        let mut told = Explained {
            file,
            probability: None,
            log_odds: None,
            unscannable: None,
            reasons: Vec::new(),
        };
        match extractor.named_features(&content) {
            Ok(features) => {
                let log_odds = model.log_odds(&features);
                told.log_odds = Some(log_odds);
                told.probability = Some(probability(log_odds));
                let mut weighed = model.weighed(&features);
                weighed.sort_by(|one, other| other.weight.abs().total_cmp(&one.weight.abs()));
                weighed.truncate(EXPLAINED);
                let reasons = weighed
                    .into_iter()
                    .map(|reason| (reason.what, reason.weight));
                told.reasons = reasons.collect();
            }
            Err(why) => told.unscannable = Some(why.to_string()),
        }
        explained.push(told);
    }
    if json {
        say(&serde_json::to_string(&explained)?)?;
    } else {
        for told in &explained {
            say(&table(told))?;
        }
    }
    Ok(explained.iter().all(|told| told.unscannable.is_none()))
}

fn table(told: &Explained<'_>) -> String {
    let file = told.file.display();
    if let Some(why) = &told.unscannable {
        return format!("{file}: cannot be judged: {why}");
    }
    let (probability, log_odds) = (
        told.probability.unwrap_or(0.5),
        told.log_odds.unwrap_or(0.0),
    );
    let head =
        format!("{file}: spam with a probability of {probability:.4} (log-odds {log_odds:+.2})");
    let reasons = told
        .reasons
        .iter()
        .map(|(what, weight)| format!("{weight:+8.3}  {what}"));
    std::iter::once(head)
        .chain(reasons)
        .collect::<Vec<_>>()
        .join("\n")
}

fn read(file: Option<&Path>) -> anyhow::Result<Model> {
    match file {
        Some(file) => Model::read(file).with_context(|| file.display().to_string()),
        None => Ok(Model::shipped()),
    }
}

/// What one may want to see while it takes long; not for programs.
fn progress(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "{line}").context("standard error")
}

/// Features of a message that are shown.
const EXPLAINED: usize = 20;
