//! What must be so: `distinct_destinations > 300 until 150`.

use std::{fmt, str::FromStr};

use super::{Cause, Compared, Figure, Figures};

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// What is compared.
    pub figure: Figure,
    /// How.
    pub sense: Sense,
    /// With what.
    pub limit: f64,
    /// With what once it holds: it goes on holding until the figure is back beyond this.
    pub until: Option<f64>,
}

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

/// All of some conditions, and, if there are any of the other kind, at least one of those.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// Each must hold.
    pub all: Vec<Condition>,
    /// One must hold.
    pub any: Vec<Condition>,
}

/// What conditions are judged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) figures: &'a Figures,
    /// Whether the rule held at the last look.
    pub(super) held: bool,
    /// What upper limits are multiplied by.
    pub(super) factor: f64,
    /// Whether nearly all of the window was watched: "few" can only be said of what was looked at.
    pub(super) watched: bool,
}

impl When {
    /// Every condition.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.all.iter().chain(&self.any)
    }

    pub(super) fn holds(&self, at: Circumstances<'_>) -> bool {
        self.all.iter().all(|condition| condition.holds(at))
            && (self.any.is_empty() || self.any.iter().any(|condition| condition.holds(at)))
    }

    /// How far beyond its limits the worst figure is, to say who comes first where not all may be flagged.
    pub(super) fn excess(&self, at: Circumstances<'_>) -> f64 {
        let beyond = self.conditions().filter(|one| one.holds(at));
        let ratios = beyond.filter_map(|condition| {
            let value = at.figures.get(condition.figure)?;
            let bound = condition.bound(at);
            condition
                .sense
                .is_upper()
                .then(|| value / bound.max(f64::MIN_POSITIVE))
        });
        ratios.fold(0.0, f64::max)
    }

    /// The figures that made it hold.
    pub(super) fn compared(&self, at: Circumstances<'_>) -> Vec<Compared> {
        let met = self.conditions().filter(|one| one.holds(at));
        let compared = met.filter_map(|condition| {
            Some(Compared {
                figure: condition.figure.name().to_owned(),
                value: at.figures.get(condition.figure)?,
                sense: condition.sense.symbol().to_owned(),
                limit: condition.bound(at),
            })
        });
        compared.collect()
    }
}

impl Condition {
    fn holds(&self, at: Circumstances<'_>) -> bool {
        let bound = self.bound(at);
        let Some(value) = at.figures.get(self.figure) else {
            return false;
        };
        match self.sense {
            Sense::Above => value > bound,
            Sense::AtLeast => value >= bound,
            Sense::Below => at.watched && value < bound,
            Sense::AtMost => at.watched && value <= bound,
        }
    }

    fn bound(&self, at: Circumstances<'_>) -> f64 {
        let bound = match (at.held, self.until) {
            (true, Some(until)) => until,
            (true, None) | (false, _) => self.limit,
        };
        match self.sense.is_upper() {
            true => bound * at.factor,
            false => bound,
        }
    }
}

impl Sense {
    const ALL: [Self; 4] = [Self::Above, Self::AtLeast, Self::Below, Self::AtMost];

    /// As it is written.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether more makes it hold.
    #[must_use]
    pub const fn is_upper(self) -> bool {
        match self {
            Self::Above | Self::AtLeast => true,
            Self::Below | Self::AtMost => false,
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (figure, compared, limit, until) = match words.as_slice() {
            [figure, compared, limit] => (figure, compared, limit, None),
            [figure, compared, limit, "until", until] => (figure, compared, limit, Some(*until)),
            _ => return Err(format!("not a condition; {SHAPE}")),
        };
        let figure = Figure::from_name(figure).ok_or_else(|| {
            let known = Figure::ALL.map(Figure::name).join(", ");
            format!("{figure} is no figure; they are {known}")
        })?;
        let known = |known: &Sense| known.symbol() == *compared;
        let sense = Sense::ALL.into_iter().find(known);
        let sense = sense.ok_or_else(|| format!("{compared} is no comparison; {SHAPE}"))?;
        let limit = number(figure, limit)?;
        let until = until.map(|until| number(figure, until)).transpose()?;
        let eases = |until: f64| match sense.is_upper() {
            true => until <= limit,
            false => until >= limit,
        };
        if until.is_some_and(|until| !eases(until)) {
            let side = if sense.is_upper() { "above" } else { "below" };
            return Err(format!(
                "what it holds until must not be {side} the limit that it begins at"
            ));
        }
        Ok(Self {
            figure,
            sense,
            limit,
            until,
        })
    }
}

fn number(figure: Figure, text: &str) -> Result<f64, String> {
    let (digits, scale) = match text.strip_suffix('%') {
        Some(digits) => (digits, 0.01),
        None => (text, 1.0),
    };
    let read = digits.parse::<f64>().ok().map(|number| number * scale);
    let read = read.filter(|number| number.is_finite() && *number >= 0.0);
    let Some(number) = read else {
        return Err(format!("{text} is no number; {SHAPE}"));
    };
    if figure.is_share() && number > 1.0 {
        return Err(format!(
            "{} is a share: allowed are 0 to 1, or 0% to 100%",
            figure.name()
        ));
    }
    Ok(number)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |value| self.figure.in_words(value).replace(' ', "");
        let (figure, sense) = (self.figure.name(), self.sense.symbol());
        write!(f, "{figure} {sense} {}", words(self.limit))?;
        match self.until {
            Some(until) => write!(f, " until {}", words(until)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |conditions: &[Condition], by: &str| {
            let words: Vec<String> = conditions.iter().map(ToString::to_string).collect();
            words.join(by)
        };
        match (self.all.is_empty(), self.any.is_empty()) {
            (_, true) => f.write_str(&joined(&self.all, " and ")),
            (true, false) => f.write_str(&joined(&self.any, " or ")),
            (false, false) => {
                let (all, any) = (joined(&self.all, " and "), joined(&self.any, " or "));
                write!(f, "{all} and ({any})")
            }
        }
    }
}

impl Cause {
    /// The figures in one sentence.
    #[must_use]
    pub fn figures_in_words(&self) -> String {
        let compared = self.compared.iter().map(|one| {
            let words = |value| match Figure::from_name(&one.figure) {
                Some(figure) => figure.in_words(value),
                None => value.to_string(),
            };
            let (value, limit) = (words(one.value), words(one.limit));
            format!("{} {value} ({} {limit})", one.figure, one.sense)
        });
        compared.collect::<Vec<_>>().join(", ")
    }
}

const SHAPE: &str = "allowed is FIGURE, one of > >= < <=, and a number, as \"syns > 1000\", \"rst_share >= 50%\" or \
                     \"distinct_destinations > 300 until 150\"";
