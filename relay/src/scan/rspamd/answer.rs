//! What rspamd's answer means.

use std::collections::HashMap;

use relay_proto::verdict::{Concern, Finding, Scale};
use serde::Deserialize;

use super::super::{Opinion, ScanError, words};

/// The part of it that we read. What it proposes to do to the message (`milter`) is not among it.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    action: String,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    symbols: HashMap<String, Symbol>,
    #[serde(default)]
    is_skipped: bool,
}

/// A rule that has matched.
#[derive(Debug, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

impl Answer {
    /// Of the octets of an answer.
    pub(super) fn read(octets: &[u8]) -> Result<Self, ScanError> {
        serde_json::from_slice(octets).map_err(|error| ScanError::Answer(error.to_string()))
    }

    /// The names of the actions are rspamd's.
    pub(super) fn opinion(self, scale: Scale) -> Result<Opinion, ScanError> {
        // Its settings rules may tell it not to look at mail of the operator's own networks or users. What nobody has
        // looked at is not clean.
        if self.is_skipped {
            return Err(ScanError::Answer(SKIPPED.into()));
        }
        let finding = match self.action.as_str() {
            // To discard is to accept and drop in silence, which this relay never does.
            "reject" | "discard" => Finding::Found {
                concern: Concern::Spam,
                reason: "the content is classified as spam".into(),
            },
            "soft reject" | "greylist" => Finding::Defer {
                reason: "the content filter asks you to try again later".into(),
            },
            "no action" | "add header" | "rewrite subject" | "quarantine" => Finding::Clean,
            other => {
                let other = words::clean(other, NAME_MAX);
                return Err(ScanError::Answer(format!("unknown action {other:?}")));
            }
        };
        // JSON has no infinity, but 1e999 is read as one.
        let score = self.score.filter(|score| score.is_finite());
        Ok(Opinion {
            finding,
            score,
            log_odds: score.and_then(|score| scale.log_odds(score)),
            reasons: reasons(self.symbols),
        })
    }
}

/// The symbols that weigh most for or against the message, the heaviest first. What they have matched is left out: it is often
/// an address, or words of the message.
fn reasons(symbols: HashMap<String, Symbol>) -> Vec<String> {
    let mut weighing: Vec<(String, f64)> = symbols
        .into_iter()
        .map(|(name, symbol)| (name, symbol.score))
        .filter(|(_, score)| score.is_finite() && *score != 0.0)
        .collect();
    weighing.sort_by(|(name, score), (other_name, other_score)| {
        let by_weight = other_score.abs().total_cmp(&score.abs());
        by_weight.then_with(|| name.cmp(other_name))
    });
    weighing.truncate(REASONS_MAX);
    weighing
        .into_iter()
        .map(|(name, score)| format!("{}({score:.2})", words::clean(&name, NAME_MAX)))
        .collect()
}

const SKIPPED: &str = "it was told not to look: one of its settings rules, of a priority above low, fits this customer";
const REASONS_MAX: usize = 10;
const NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(octets: &str) -> Result<Opinion, ScanError> {
        Answer::read(octets.as_bytes())?.opinion(Scale::default())
    }

    #[test]
    fn its_action_decides_and_the_heaviest_symbols_are_the_reasons() {
        let said = opinion(
            r#"{"action": "no action", "score": 8.0, "is_skipped": false, "symbols": {
                "LIGHT": {"name": "LIGHT", "score": 0.1, "options": ["x"]}, "ZERO": {"score": 0},
                "GOOD": {"score": -2.5}, "BAD\r\n": {"score": 5.25}},
                "milter": {"add_headers": {"X-Spam": {"value": "y"}}, "reject": "discard"}}"#,
        )
        .unwrap();
        assert_eq!(said.finding, Finding::Clean);
        assert_eq!(said.score, Some(8.0));
        assert_eq!(said.log_odds, Scale::default().log_odds(8.0));
        assert_eq!(said.reasons, ["BAD??(5.25)", "GOOD(-2.50)", "LIGHT(0.10)"]);
        for (action, expected) in [
            ("reject", "found"),
            ("discard", "found"),
            ("greylist", "defer"),
        ] {
            let said = opinion(&format!("{{\"action\": \"{action}\"}}")).unwrap();
            let finding = match said.finding {
                Finding::Found { .. } => "found",
                Finding::Defer { .. } => "defer",
                other => panic!("{other:?}"),
            };
            assert_eq!(finding, expected, "{action}");
            assert_eq!(said.log_odds, None);
        }
    }

    #[test]
    fn many_symbols_become_few_reasons() {
        let symbols: Vec<String> = (0..5000)
            .map(|number| format!("\"{}{number}\": {{\"score\": {number}}}", "S".repeat(200)))
            .collect();
        let octets = format!(
            "{{\"action\": \"reject\", \"symbols\": {{{}}}}}",
            symbols.join(",")
        );
        let said = opinion(&octets).unwrap();
        assert_eq!(said.reasons.len(), REASONS_MAX);
        assert!(said.reasons.iter().all(|reason| reason.len() < 100));
    }

    #[test]
    fn nonsense_is_no_answer() {
        for octets in [
            "",
            "{}",
            "[]",
            "null",
            "\"reject\"",
            "{\"action\": 5}",
            "{\"action\": \"eat\"}",
            "<html>",
            "{\"action\": \"reject\"",
            "{\"action\": \"no action\", \"is_skipped\": true}",
        ] {
            assert!(opinion(octets).is_err(), "{octets}");
        }
        let said = opinion(r#"{"action": "no action", "score": 1e999}"#);
        assert!(said.is_err() || said.unwrap().log_odds.is_none());
    }
}
