//! The texts of notices, and what stands in braces in them.
//!
//! A text is `KIND.LANGUAGE.txt`: a line `Subject: ...`, an empty line, and the body. `words.LANGUAGE.txt` has the words
//! that they are made of. `{name}` is a placeholder, `{{` a brace. The English ones are compiled in; files of the
//! operator's directory take their place.
//!
//! # Diagnostics
//!
//! [`TemplateError`] names file and line.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::{Class, Kind};

/// Every text of one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Templates {
    texts: BTreeMap<&'static str, Letter>,
    words: BTreeMap<String, Filling>,
}

/// What is wrong with a text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not there.
    #[error("notices.templates: {file}: {source}")]
    Unreadable {
        /// Which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// It cannot be filled.
    #[error("notices.templates: {file}, line {line}: {what}")]
    Line {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it, and what is allowed.
        what: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Letter {
    subject: Filling,
    body: Filling,
}

/// A text with places to be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filling(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

impl Templates {
    /// Those of a language, from a directory where there is one.
    ///
    /// # Errors
    ///
    /// [`TemplateError`].
    pub fn load(directory: Option<&Path>, language: &str) -> Result<Self, TemplateError> {
        let mut texts = BTreeMap::new();
        for kind in Kind::ALL {
            let (file, text) = read(directory, kind.name(), language)?;
            texts.insert(kind.name(), letter(&file, &text)?);
        }
        let (file, text) = read(directory, WORDS, language)?;
        let words = words(&file, &text)?;
        Ok(Self { texts, words })
    }

    /// A text with its places filled: subject and body.
    pub(super) fn letter(&self, kind: Kind, place: impl Fn(&str) -> String) -> (String, String) {
        let letter = self.texts.get(kind.name());
        let fill = |of: fn(&Letter) -> &Filling| {
            letter.map_or_else(String::new, |letter| of(letter).filled(&place))
        };
        (fill(|letter| &letter.subject), fill(|letter| &letter.body))
    }

    /// The words for a kind of reason; its name where the operator's own words have none, which may be older than it.
    pub(super) fn class(&self, class: Class) -> String {
        let words = self.words.get(class.words());
        words.map_or_else(
            || class.name().to_owned(),
            |words| words.filled(&|_| String::new()),
        )
    }

    /// Words with their places filled.
    pub(super) fn words(&self, name: &str, place: impl Fn(&str) -> String) -> String {
        let words = self.words.get(name);
        words.map_or_else(String::new, |words| words.filled(&place))
    }
}

impl Filling {
    fn read(text: &str, places: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            parts.push(Part::Text(before.to_owned()));
            if let Some(after) = after.strip_prefix('{') {
                parts.push(Part::Text(String::from("{")));
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('}').ok_or_else(|| {
                String::from("a brace that opens and never closes; {{ is a brace itself")
            })?;
            if !places.contains(&name) {
                let known = places.join("}, {");
                return Err(format!(
                    "{{{name}}} is no placeholder; allowed are {{{known}}}"
                ));
            }
            parts.push(Part::Place(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    fn filled(&self, place: &impl Fn(&str) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(name) => place(name),
        });
        parts.collect()
    }
}

/// A file's name, for errors, and its text.
fn read(
    directory: Option<&Path>,
    name: &str,
    language: &str,
) -> Result<(String, String), TemplateError> {
    let file = format!("{name}.{language}.txt");
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == file);
    let built_in = built_in.map(|(_, text)| (*text).to_owned());
    let Some(path) = directory.map(|directory| directory.join(&file)) else {
        let none = || {
            let what =
                "only en is compiled in; name a directory with this file as notices.templates";
            io::Error::new(io::ErrorKind::NotFound, what)
        };
        let text = built_in.ok_or_else(none);
        let text = text.map_err(|source| TemplateError::Unreadable {
            file: file.clone(),
            source,
        })?;
        return Ok((file, text));
    };
    let file = path.display().to_string();
    match (fs::read_to_string(&path), built_in) {
        (Ok(text), _) => Ok((file, text)),
        (Err(error), Some(text)) if error.kind() == io::ErrorKind::NotFound => Ok((file, text)),
        (Err(source), _) => Err(TemplateError::Unreadable { file, source }),
    }
}

fn letter(file: &str, text: &str) -> Result<Letter, TemplateError> {
    let wrong = |line, what| TemplateError::Line {
        file: file.to_owned(),
        line,
        what,
    };
    let mut lines = text.lines().zip(1..);
    let subject = lines
        .next()
        .and_then(|(line, _)| line.strip_prefix("Subject:"));
    let subject = subject.map(str::trim).filter(|subject| !subject.is_empty());
    let subject =
        subject.ok_or_else(|| wrong(1, String::from("the first line is `Subject: ...`")))?;
    let subject = Filling::read(subject, IN_SUBJECTS).map_err(|what| wrong(1, what))?;
    if lines
        .next()
        .is_some_and(|(line, _)| !line.trim().is_empty())
    {
        return Err(wrong(
            2,
            String::from("the second line is empty, and the body begins on the third"),
        ));
    }
    let mut body = Vec::new();
    for (line, number) in lines {
        let line = format!("{line}\n");
        body.extend(
            Filling::read(&line, IN_BODIES)
                .map_err(|what| wrong(number, what))?
                .0,
        );
    }
    if body.is_empty() {
        return Err(wrong(3, String::from("there is no body")));
    }
    Ok(Letter {
        subject,
        body: Filling(body),
    })
}

fn words(file: &str, text: &str) -> Result<BTreeMap<String, Filling>, TemplateError> {
    let wrong = |line, what| TemplateError::Line {
        file: file.to_owned(),
        line,
        what,
    };
    let mut words = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let known = line.split_once(':').and_then(|(name, text)| {
            let known = IN_WORDS.iter().find(|(known, _)| *known == name.trim());
            let class = Class::ALL.iter().map(|class| class.words());
            let class = class.into_iter().find(|known| *known == name.trim());
            let known = known
                .copied()
                .or_else(|| class.map(|name| (name, NO_PLACES)));
            known.map(|(name, places)| (name, places, text.trim()))
        });
        let (name, places, text) = known.ok_or_else(|| {
            let names = IN_WORDS.iter().map(|(name, _)| *name);
            let names: Vec<&str> = names.chain(Class::ALL.map(Class::words)).collect();
            wrong(
                number,
                format!("not NAME: TEXT; the names are {}", names.join(", ")),
            )
        })?;
        let filling = Filling::read(text, places).map_err(|what| wrong(number, what))?;
        if words.insert(name.to_owned(), filling).is_some() {
            return Err(wrong(number, format!("{name} stands there twice")));
        }
    }
    let missing = IN_WORDS.iter().find(|(name, _)| !words.contains_key(*name));
    match missing {
        Some((name, _)) => Err(wrong(
            text.lines().count() + 1,
            format!("{name} is missing"),
        )),
        None => Ok(words),
    }
}

const WORDS: &str = "words";
const BUILT_IN: [(&str, &str); 5] = [
    (
        "flag.en.txt",
        include_str!("../../../deploy/notices/flag.en.txt"),
    ),
    (
        "raise.en.txt",
        include_str!("../../../deploy/notices/raise.en.txt"),
    ),
    (
        "ease.en.txt",
        include_str!("../../../deploy/notices/ease.en.txt"),
    ),
    (
        "lift.en.txt",
        include_str!("../../../deploy/notices/lift.en.txt"),
    ),
    (
        "words.en.txt",
        include_str!("../../../deploy/notices/words.en.txt"),
    ),
];
const IN_SUBJECTS: &[&str] = &["prefix", "operator", "flag", "class"];
const IN_BODIES: &[&str] = &[
    "prefix", "operator", "flag", "class", "reason", "decided", "what", "expires", "help_url",
    "history",
];
const NO_PLACES: &[&str] = &[];
const IN_WORDS: &[(&str, &[&str])] = &[
    ("none", &["prefix", "operator"]),
    ("limit", &["prefix", "operator", "rate"]),
    ("opaque", &["prefix", "operator", "smtp"]),
    ("filter", &["prefix", "operator", "smtp"]),
    ("walled", &["prefix", "operator", "smtp"]),
    ("refuse", &["prefix", "operator", "smtp"]),
    ("reset", &["prefix", "operator"]),
    ("drop", &["prefix", "operator"]),
    ("by_person", &[]),
    ("by_rule", &["figures"]),
    ("history", &["since"]),
    ("flag", &["at"]),
    ("raise", &["at"]),
    ("ease", &["at"]),
    ("lift", &["at"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_places_or_themselves() {
        let filling = Filling::read("a {x} {{y} {x}", &["x"]).unwrap();
        assert_eq!(filling.filled(&|name| name.to_uppercase()), "a X {y} X");
        for wrong in ["{y}", "{", "{x", "{}"] {
            assert!(Filling::read(wrong, &["x"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_has_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let error = |name: &str, text: &str| {
            let file = directory.path().join(name);
            fs::write(&file, text).unwrap();
            let error = Templates::load(Some(directory.path()), "en").unwrap_err();
            fs::remove_file(&file).unwrap();
            error
                .to_string()
                .replace(&file.display().to_string(), "FILE")
        };
        for (name, text, expected) in [
            (
                "flag.en.txt",
                "Hello",
                "FILE, line 1: the first line is `Subject: ...`",
            ),
            (
                "flag.en.txt",
                "Subject: x\nHello",
                "FILE, line 2: the second line is empty",
            ),
            (
                "lift.en.txt",
                "Subject: x\n\n",
                "FILE, line 3: there is no body",
            ),
            (
                "flag.en.txt",
                "Subject: {reason}\n\nx",
                "FILE, line 1: {reason} is no placeholder; allowed are {prefix}, ",
            ),
            (
                "raise.en.txt",
                "Subject: x\n\nx\n{customer}",
                "FILE, line 4: {customer} is no placeholder",
            ),
            (
                "words.en.txt",
                "# x\n\nnobody: x",
                "FILE, line 3: not NAME: TEXT; the names are none, limit",
            ),
            (
                "words.en.txt",
                "none: x\nnone: y",
                "FILE, line 2: none stands there twice",
            ),
            ("words.en.txt", "none: x", "FILE, line 2: limit is missing"),
        ] {
            let error = error(name, text);
            assert!(
                error.starts_with(&format!("notices.templates: {expected}")),
                "{error}"
            );
        }
        let missing = Templates::load(None, "de").unwrap_err().to_string();
        assert!(
            missing.starts_with("notices.templates: flag.de.txt: only en is compiled in"),
            "{missing}"
        );
    }

    #[test]
    fn files_of_the_operator_take_the_place_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let built_in = Templates::load(None, "en").unwrap();
        assert_eq!(
            Templates::load(Some(directory.path()), "en").unwrap(),
            built_in
        );
        fs::write(
            directory.path().join("lift.en.txt"),
            "Subject: free\n\nyes\n",
        )
        .unwrap();
        let own = Templates::load(Some(directory.path()), "en").unwrap();
        let letter = own.letter(Kind::Lift, |_| String::new());
        assert_eq!(letter, (String::from("free"), String::from("yes\n")));
        assert_eq!(own.texts["flag"], built_in.texts["flag"]);
        // Words from before there were classes are words still, and a class has its own words or its name.
        let words = BUILT_IN.iter().find(|(name, _)| *name == "words.en.txt");
        let older = words.unwrap().1.lines();
        let older: String = older
            .filter(|line| !line.starts_with("class_") || line.starts_with("class_rate"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(directory.path().join("words.en.txt"), older).unwrap();
        let own = Templates::load(Some(directory.path()), "en").unwrap();
        assert_eq!(own.class(Class::Policy), "policy");
        for class in [Class::Rate, Class::Policy] {
            assert_ne!(built_in.class(class), class.name());
        }
        assert_eq!(own.class(Class::Rate), built_in.class(Class::Rate));
    }
}
