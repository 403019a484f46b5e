//! What the controller is told of a message: its verdict, if it was not just accepted, and its share in the customer's
//! figures.

use contract::event::{Concern, Decision, Happening, MessageVerdict, REASONS_MAX, ScannerWord};
use relay_proto::verdict::{self, Finding, Judgement, Report, Verdict};

use super::outcome::{Described, Outcome};
use crate::Relay;
use crate::metrics::Counter;

/// Tells, and counts.
pub(super) fn tell(relay: &Relay, outcome: &Outcome, described: &Described<'_>) {
    let reporter = relay.reporter();
    let reports = described.asked.reports();
    let judgement = relay.scanners.judge(reports);
    let decision = match decision(&judgement.verdict, outcome) {
        // There is no place for copies.
        Decision::Kept if relay.quarantine.is_none() => Decision::Rejected,
        decision => decision,
    };
    let concern = concern(&judgement, reports);
    let customer = described.admitted.customer.ip();
    let flag_id = described.admitted.flag_id();
    let recipients = described.recipients.len();
    reporter.count(customer, flag_id, |rates| {
        rates.messages += 1;
        rates.octets += described.octets;
        rates.recipients += recipients as u64;
        rates.refused += u64::from(refuses(decision) || outcome.is_a_limit());
        rates.spam += u64::from(judgement.concern.is_some());
        relay.behaviour.describe(customer, rates);
    });
    if decision == Decision::Accepted {
        return;
    }
    let verdict = MessageVerdict {
        id: described.id.to_owned(),
        verdict: decision,
        concern,
        reasons: reasons(&judgement.verdict, reports),
        log_odds: judgement.log_odds,
        scanners: reports.iter().map(word).collect(),
        octets: described.octets,
        recipients: u32::try_from(recipients).unwrap_or(u32::MAX),
        identity: described.asked.site().map(str::to_owned),
    };
    reporter.happened(customer, flag_id, Happening::Verdict(verdict));
}

fn decision(verdict: &Verdict, outcome: &Outcome) -> Decision {
    match verdict {
        Verdict::Accept { limited } => {
            let too_many = *limited && outcome.counter == Counter::UnscannedLimited;
            if too_many {
                Decision::Deferred
            } else {
                Decision::Accepted
            }
        }
        // Where nothing can wait it was refused and kept.
        Verdict::Hold { .. } if outcome.counter == Counter::Rejected => Decision::Kept,
        Verdict::Hold { .. } => Decision::Held,
        Verdict::Defer { .. } => Decision::Deferred,
        Verdict::Reject { keep: true, .. } => Decision::Kept,
        Verdict::Reject { keep: false, .. } => Decision::Rejected,
    }
}

fn refuses(decision: Decision) -> bool {
    match decision {
        Decision::Rejected | Decision::Kept | Decision::Deferred => true,
        Decision::Accepted | Decision::Held => false,
    }
}

fn concern(judgement: &Judgement, reports: &[Report]) -> Option<Concern> {
    match judgement.concern {
        Some(verdict::Concern::Spam) => Some(Concern::Spam),
        Some(verdict::Concern::Malware) => Some(Concern::Malware),
        None => {
            let beyond = |report: &Report| matches!(report.finding, Finding::Unscannable { .. });
            reports.iter().any(beyond).then_some(Concern::Unscannable)
        }
    }
}

/// What its sender was told, then what the scanners saw.
fn reasons(verdict: &Verdict, reports: &[Report]) -> Vec<String> {
    let told = match verdict {
        Verdict::Hold { reason } | Verdict::Defer { reason } | Verdict::Reject { reason, .. } => {
            Some(reason)
        }
        Verdict::Accept { .. } => None,
    };
    let seen = reports.iter().flat_map(|report| {
        let reasons = report.reasons.iter();
        reasons.map(move |reason| format!("{}: {reason}", report.scanner))
    });
    let all = told.cloned().into_iter().chain(seen);
    all.take(REASONS_MAX).map(|text| nameless(&text)).collect()
}

/// Without local-parts: scanners say what they found, and part of it is from the message.
fn nameless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.split('@').peekable();
    while let Some(part) = rest.next() {
        if rest.peek().is_none() {
            out.push_str(part);
            break;
        }
        // RFC 5322 section 3.2.3: what an atom may not hold ends it; what is quoted has quotes.
        let is_outside = |c: char| c.is_whitespace() || "()<>[]:;,\\\"'".contains(c);
        let kept = part.trim_end_matches(|c: char| !is_outside(c) || c == '"');
        out.push_str(kept);
        out.push_str("*@");
    }
    out
}

fn word(report: &Report) -> ScannerWord {
    ScannerWord {
        scanner: report.scanner.to_owned(),
        finding: report.finding.word().to_owned(),
        score: report.score,
        elapsed_ms: u32::try_from(report.elapsed.as_millis()).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_local_part_is_told() {
        let cases = [
            ("GTUBE", "GTUBE"),
            (
                "FORGED(0.3)[ann@example.org, bob+x@example.net]",
                "FORGED(0.3)[*@example.org, *@example.net]",
            ),
            ("ann@example.org", "*@example.org"),
            ("from <\"ann\"@example.org>", "from <*@example.org>"),
            ("@@", "*@*@"),
        ];
        for (said, told) in cases {
            assert_eq!(nameless(said), told);
        }
    }
}
