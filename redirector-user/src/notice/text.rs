//! From turns of the dial to what a customer reads.

use contract::{Treatment, words};
use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::{Class, Kind, Step, Templates};
use crate::policy::{
    dial::{Action, Flag, Height},
    refusal::{PLACEHOLDER, Words},
};

/// What all notices have in common.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The operator's name.
    pub operator: &'a str,
    /// Where a customer reads on.
    pub help_url: &'a str,
    /// What the edge says to whom it refuses.
    pub refused: &'a Words,
}

/// What a customer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it is.
    pub kind: Kind,
    /// One line.
    pub subject: String,
    /// The rest.
    pub body: String,
}

impl Facts<'_> {
    /// The text of a notice: `flag` is that of the last step. `None` = nothing has happened.
    #[must_use]
    pub fn text(&self, templates: &Templates, steps: &[Step], flag: &Flag) -> Option<Text> {
        let (kind, last) = (Kind::of_all(steps)?, steps.last()?);
        Some(self.filled(templates, steps, last, kind, flag))
    }

    fn filled(
        &self,
        templates: &Templates,
        steps: &[Step],
        last: &Step,
        kind: Kind,
        flag: &Flag,
    ) -> Text {
        let prefix = shown(flag.terms.prefix);
        let height = Height::from_name(&last.after).unwrap_or_default();
        let what = templates.words(what(height), |place| match place {
            "prefix" => prefix.clone(),
            "operator" => self.operator.to_owned(),
            "rate" => rate(&flag.terms.action),
            "smtp" => self.smtp(flag),
            _ => String::new(),
        });
        let decided = match &flag.terms.cause {
            Some(cause) => templates.words("by_rule", |_| cause.in_words()),
            None => templates.words("by_person", |_| String::new()),
        };
        let (subject, body) = templates.letter(kind, |place| match place {
            "prefix" => prefix.clone(),
            "operator" => self.operator.to_owned(),
            "flag" => flag.id.to_string(),
            "class" => templates.class(Class::of(&flag.terms)),
            "reason" => flag.terms.reason.to_string(),
            "decided" => decided.clone(),
            "what" => what.clone(),
            "expires" => time(flag.terms.expires_at.at()),
            "help_url" => self.help_url.to_owned(),
            "history" => history(templates, steps),
            _ => String::new(),
        });
        Text {
            kind,
            subject,
            body,
        }
    }

    /// The text of one step as if it stood alone, whatever it leads to.
    #[must_use]
    pub fn previewed(&self, templates: &Templates, step: &Step, flag: &Flag) -> Text {
        self.filled(templates, std::slice::from_ref(step), step, step.kind, flag)
    }

    /// What the customer's mail server is told, with its code where it is the same for every connection.
    fn smtp(&self, flag: &Flag) -> String {
        let prefix = shown(flag.terms.prefix);
        match &flag.terms.action {
            Action::Refuse => {
                let said = self.refused.to_string().replace(PLACEHOLDER, &prefix);
                format!("554 5.7.1 {said}")
            }
            Action::Redirect(redirect) => match redirect.treatment {
                Treatment::Walled => {
                    let said = words::blocked(prefix, self.operator, Some(&flag.terms.reason));
                    format!("550 5.7.1 {said}")
                }
                Treatment::Filter | Treatment::Opaque => {
                    words::filtered(prefix, &flag.terms.reason)
                }
            },
            Action::Pass | Action::Observe | Action::Limit(_) | Action::Reset | Action::Drop => {
                String::new()
            }
        }
    }
}

/// The name of the words for it.
const fn what(height: Height) -> &'static str {
    match height {
        Height::None | Height::Observe => "none",
        Height::Limit
        | Height::Opaque
        | Height::Filter
        | Height::Walled
        | Height::Refuse
        | Height::Reset
        | Height::Drop => height.name(),
    }
}

fn rate(action: &Action) -> String {
    action
        .limit()
        .map_or_else(String::new, |limit| limit.rate.to_string())
}

/// Nothing of a single step: it stands above already.
fn history(templates: &Templates, steps: &[Step]) -> String {
    let [first, _, ..] = steps else {
        return String::new();
    };
    let mut text = format!("\n{}\n", templates.words("history", |_| time(first.at)));
    for step in steps {
        let words = templates.words(step.kind.name(), |_| time(step.at));
        text.push_str(&format!("  {words}\n"));
    }
    text
}

/// An address by itself, a prefix with its length.
fn shown(prefix: IpNetwork) -> String {
    let hosts = if prefix.is_ipv4() { 32 } else { 128 };
    if prefix.prefix() == hosts {
        prefix.ip().to_string()
    } else {
        prefix.to_string()
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use contract::Generation;
    use redirector_common::abi::{RefusalText, Via};

    use super::*;
    use crate::policy::dial::{FlagId, FlagRequest, PoolTerms, Proposal};

    fn flag(target: &str, action: &str, treatment: Option<&str>) -> Flag {
        let request = FlagRequest {
            target: target.to_owned(),
            reason: String::from("spam run"),
            actor: String::from("alice"),
            action: Some(action.to_owned()),
            treatment: treatment.map(str::to_owned),
            rate: (action == "limit").then(|| String::from("30/min")),
            life: Some(String::from("24h")),
            ..FlagRequest::default()
        };
        let pool = PoolTerms {
            name: String::from("default"),
            via: Via::Rewrite,
            third_party: false,
        };
        Flag {
            id: FlagId(7),
            terms: Proposal::read(&request, &[pool], Timestamp::UNIX_EPOCH).unwrap(),
            generation: Generation(1),
            replaces: None,
            tenant: None,
            activated_at: None,
            ended: None,
        }
    }

    fn step(kind: Kind, before: Height, after: Height) -> Step {
        Step {
            kind,
            at: Timestamp::UNIX_EPOCH,
            flag: FlagId(7),
            before: before.name().to_owned(),
            after: after.name().to_owned(),
        }
    }

    fn text(steps: &[Step], flag: &Flag) -> Text {
        let refused = Words::standard(RefusalText::Refused, "Example", "https://h.example");
        let facts = Facts {
            operator: "Example",
            help_url: "https://h.example",
            refused: &refused,
        };
        let templates = Templates::load(None, "en").unwrap();
        facts.text(&templates, steps, flag).unwrap()
    }

    #[test]
    fn a_notice_says_what_mail_servers_are_told() {
        for (action, treatment, expected) in [
            (
                "refuse",
                None,
                "554 5.7.1 Example: mail from 192.0.2.10 is refused, see https://h.example",
            ),
            (
                "redirect",
                Some("walled"),
                "550 5.7.1 mail from 192.0.2.10 is blocked by Example: spam run",
            ),
            (
                "redirect",
                Some("filter"),
                "mail from 192.0.2.10 is filtered: spam run",
            ),
            (
                "redirect",
                Some("opaque"),
                "mail from 192.0.2.10 is filtered: spam run",
            ),
            ("limit", None, "above 30/min are dropped"),
            ("drop", None, "sees a time-out"),
            ("reset", None, "is reset"),
        ] {
            let flag = flag("192.0.2.10", action, treatment);
            let after = Height::of(&flag.terms.action);
            let text = text(&[step(Kind::Flag, Height::None, after)], &flag);
            assert!(text.body.contains(expected), "{}", text.body);
            assert_eq!(text.subject, "Outgoing mail from 192.0.2.10 is restricted");
            for part in [
                "spam run",
                "by a person",
                "1970-01-02 00:00 UTC",
                "https://h.example",
                "F7",
            ] {
                assert!(text.body.contains(part), "{part}: {}", text.body);
            }
            assert!(
                !text.body.contains('{') && !text.body.contains("since"),
                "{}",
                text.body
            );
        }
    }

    #[test]
    fn steps_that_are_told_together_are_all_there() {
        let flag = flag("2001:db8:a:a::10", "refuse", None);
        let steps = [
            step(Kind::Lift, Height::Drop, Height::None),
            step(Kind::Flag, Height::None, Height::Refuse),
        ];
        let text = text(&steps, &flag);
        assert_eq!(text.kind, Kind::Ease);
        assert_eq!(
            text.subject,
            "Outgoing mail from 2001:db8:a:a::/64 is restricted less"
        );
        for part in [
            "since 1970-01-01 00:00 UTC:",
            "00:00 UTC: free again\n",
            "00:00 UTC: restricted\n",
        ] {
            assert!(text.body.contains(part), "{part}: {}", text.body);
        }
    }
}
