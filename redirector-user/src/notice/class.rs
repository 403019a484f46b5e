//! What kind of reason a flag has, for whoever sorts notices: a word from a short list, beside the free text.
//!
//! Nobody states it. It follows from what the store knows of every flag: the figures that a rule went by, or that it stands
//! for ever. Of a person's flag that ends, the free text alone says why: a class guessed from its words would be wrong
//! when it matters.

use crate::policy::{
    dial::Proposal,
    rules::{Cause, Figure},
};

/// A kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Scanners took messages for spam or malware, which one figure counts together.
    Spam,
    /// Other servers refused, reset, or did not know whom it wrote to.
    Refused,
    /// Too many connections, messages or recipients, or too many different ones.
    Rate,
    /// A flag that stands for ever, or is to: not because of anything that has happened.
    Policy,
    /// Known from the free text alone.
    Other,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Spam,
        Self::Refused,
        Self::Rate,
        Self::Policy,
        Self::Other,
    ];

    /// Its name, where no text has words for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spam => "spam",
            Self::Refused => "refused",
            Self::Rate => "rate",
            Self::Policy => "policy",
            Self::Other => "other",
        }
    }

    /// What `words.LANGUAGE.txt` calls the words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Spam => "class_spam",
            Self::Refused => "class_refused",
            Self::Rate => "class_rate",
            Self::Policy => "class_policy",
            Self::Other => "class_other",
        }
    }

    /// That of a flag. Of several figures the one that says most of the mail itself counts.
    #[must_use]
    pub fn of(terms: &Proposal) -> Self {
        match (&terms.cause, &terms.for_ever) {
            (Some(cause), _) => Self::of_cause(cause),
            (None, Some(_)) => Self::Policy,
            (None, None) => Self::Other,
        }
    }

    fn of_cause(cause: &Cause) -> Self {
        // That there was little of something is a condition, and never the reason.
        let much = cause.compared.iter().filter(|it| it.sense.starts_with('>'));
        let figures = much.filter_map(|it| Figure::from_name(&it.figure));
        figures.map(Self::of_figure).min().unwrap_or(Self::Other)
    }

    const fn of_figure(figure: Figure) -> Self {
        match figure {
            Figure::Spam | Figure::SpamShare => Self::Spam,
            Figure::RstShare | Figure::ShortShare | Figure::UnknownShare | Figure::RefusedShare => {
                Self::Refused
            }
            Figure::Syns
            | Figure::DistinctDestinations
            | Figure::Packets
            | Figure::Octets
            | Figure::Connections
            | Figure::Messages
            | Figure::Recipients
            | Figure::DistinctRecipients
            | Figure::DistinctSenders
            | Figure::LimitHits => Self::Rate,
            Figure::Learnt => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::policy::{dial::FlagRequest, rules::Compared};

    fn flag(life: &str, review: Option<&str>, compared: &[(&str, &str)]) -> Proposal {
        let request = FlagRequest {
            target: String::from("2001:db8:a:a::10"),
            reason: String::from("spam run"),
            actor: String::from("alice"),
            action: Some(String::from("drop")),
            life: Some(life.to_owned()),
            review: review.map(str::to_owned),
            ..FlagRequest::default()
        };
        let compared = compared.iter().map(|(figure, sense)| Compared {
            figure: (*figure).to_owned(),
            value: 1.0,
            sense: (*sense).to_owned(),
            limit: 0.5,
        });
        let compared: Vec<Compared> = compared.collect();
        let cause = (!compared.is_empty()).then(|| {
            Box::new(Cause {
                rule: String::from("burst"),
                at: Timestamp::UNIX_EPOCH,
                window_s: 600,
                held_s: 0,
                compared,
                probation_factor: None,
                only_by_person: false,
                beneath: None,
            })
        });
        Proposal {
            cause,
            ..Proposal::read(&request, &[], Timestamp::UNIX_EPOCH).unwrap()
        }
    }

    #[test]
    fn a_class_follows_from_what_is_known_and_never_from_words() {
        for (life, review, compared, class) in [
            ("7d", None, &[][..], Class::Other),
            ("ever", Some("90d"), &[], Class::Policy),
            ("7d", None, &[("syns", ">")], Class::Rate),
            (
                "7d",
                None,
                &[("messages", ">"), ("spam_share", ">=")],
                Class::Spam,
            ),
            (
                "7d",
                None,
                &[("unknown_share", ">"), ("recipients", ">")],
                Class::Refused,
            ),
            (
                "7d",
                None,
                &[("messages", ">"), ("spam", "<=")],
                Class::Rate,
            ),
            ("7d", None, &[("learnt", ">")], Class::Other),
            ("7d", None, &[("of a newer version", ">")], Class::Other),
        ] {
            assert_eq!(
                Class::of(&flag(life, review, compared)),
                class,
                "{compared:?}"
            );
        }
    }
}
