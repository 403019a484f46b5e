//! What rules say of figures that somebody has made up.

use serde::Serialize;

use super::{Cause, Figure, Figures, Observation, RuleSet, Then, condition::Circumstances};

/// One rule's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The rule.
    pub rule: String,
    /// Whether its conditions hold.
    pub holds: bool,
    /// What it would do.
    pub then: String,
    /// Because of which figures; the conditions, if they do not hold.
    pub because: String,
}

impl Figures {
    /// Reads `name=value` each; counts that are not named are 0.
    ///
    /// # Errors
    ///
    /// What is wrong, and what is allowed.
    pub fn read(texts: &[String]) -> Result<Self, String> {
        let mut figures = Self::of(&Observation::NOTHING);
        for text in texts {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let figure = Figure::from_name(name).ok_or_else(|| {
                let known = Figure::ALL.map(Figure::name).join(", ");
                format!("--figures {text}: {name} is no figure; they are {known}")
            })?;
            let read = value.parse::<f64>().ok();
            let read = read.filter(|value| value.is_finite() && *value >= 0.0);
            let read = read.filter(|value| !figure.is_share() || *value <= 1.0);
            let allowed = match figure.is_share() {
                true => "a number from 0 to 1",
                false => "a number that is not negative",
            };
            let value = read.ok_or_else(|| format!("--figures {text}: allowed is {allowed}"))?;
            figures.set(figure, value);
        }
        Ok(figures)
    }
}

impl RuleSet {
    /// What each rule says of these figures, in the order of the file.
    #[must_use]
    pub fn tried(&self, figures: &Figures) -> Vec<Trial> {
        let at = Circumstances {
            figures,
            held: false,
            factor: 1.0,
            watched: true,
        };
        let trials = self.rules.iter().map(|rule| {
            let holds = rule.when.holds(at);
            let cause = Cause {
                rule: rule.name.clone(),
                at: jiff::Timestamp::UNIX_EPOCH,
                window_s: rule.window.as_secs(),
                held_s: 0,
                compared: rule.when.compared(at),
                probation_factor: None,
                only_by_person: false,
                beneath: None,
            };
            let then = match &rule.then {
                Then::Raise(terms) => format!(
                    "raise to {}: \"{}\"",
                    terms.height.name(),
                    terms.reason.filled(&rule.name, rule.window, figures)
                ),
                Then::Lower(terms) => format!("lower to {}", terms.height.name()),
                Then::Lift => String::from("lift"),
            };
            Trial {
                rule: rule.name.clone(),
                holds,
                then,
                because: match holds {
                    true => cause.in_words(),
                    false => format!("not {}", rule.when),
                },
            }
        });
        trials.collect()
    }
}
