//! What a rule's flag says to its customer, with the figures in it.

use std::{fmt, time::Duration};

use super::{Figure, Figures, in_words};
use crate::policy::dial::REASON_OCTETS;

/// A text with names in braces, as `{distinct_destinations} networks in {window}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Figure(Figure),
    Window,
    Rule,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong, and what is allowed.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() || text.chars().any(char::is_control) || text.len() > LONGEST {
            return Err(format!("allowed is one line of 1 to {LONGEST} octets"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            parts.push(Part::Text(before.to_owned()));
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| String::from("a brace that opens and never closes"))?;
            parts.push(part(name)?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The text, with what it was.
    #[must_use]
    pub fn filled(&self, rule: &str, window: Duration, figures: &Figures) -> String {
        let words = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Figure(figure) => match figures.get(*figure) {
                Some(value) => figure.in_words(value),
                None => String::from("no"),
            },
            Part::Window => in_words(window),
            Part::Rule => rule.to_owned(),
        });
        let mut text: String = words.collect();
        // Figures have up to twenty digits, and a reason an end.
        while text.len() > REASON_OCTETS {
            text.pop();
        }
        text
    }
}

fn part(name: &str) -> Result<Part, String> {
    match name {
        "window" => Ok(Part::Window),
        "rule" => Ok(Part::Rule),
        figure => Figure::from_name(figure).map(Part::Figure).ok_or_else(|| {
            let known = Figure::ALL.map(Figure::name).join("}, {");
            format!("{{{name}}} is no figure; allowed are {{window}}, {{rule}}, {{{known}}}")
        }),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Figure(figure) => write!(f, "{{{}}}", figure.name()),
            Part::Window => f.write_str("{window}"),
            Part::Rule => f.write_str("{rule}"),
        })
    }
}

/// Leaves room for the figures.
const LONGEST: usize = 140;
