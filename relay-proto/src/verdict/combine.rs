//! The rule by which reports become one verdict.

use super::{Action, Concern, Finding, Judgement, OnError, Policy, Report, Verdict};

/// Combines what was said about one message. Of several reasons of the same weight the first one stands.
#[must_use]
pub fn combine(reports: &[Report], policy: &Policy) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Accept { limited: false },
        concern: None,
        log_odds: None,
    };
    for report in reports {
        if let Some(log_odds) = report.log_odds {
            judgement.log_odds = Some(judgement.log_odds.unwrap_or(0.0) + log_odds);
        }
        let (verdict, concern) = alone(&report.finding, policy);
        judgement.weigh(verdict, concern);
    }
    if let (Some(sum), Some(enough)) = (judgement.log_odds, policy.spam_log_odds)
        && sum >= enough
    {
        let reason = "the content is classified as spam";
        judgement.weigh(policy.spam.verdict(reason), Some(Concern::Spam));
    }
    judgement
}

/// Whether nothing that other scanners might say could change the verdict, so that they need not be waited for.
#[must_use]
pub fn is_final(finding: &Finding, policy: &Policy) -> bool {
    let (verdict, _) = alone(finding, policy);
    matches!(verdict, Verdict::Reject { .. })
}

/// What a finding would lead to if it were the only one.
fn alone(finding: &Finding, policy: &Policy) -> (Verdict, Option<Concern>) {
    let accept = |limited| (Verdict::Accept { limited }, None);
    match finding {
        Finding::Clean
        | Finding::Skipped
        | Finding::Failed {
            on_error: OnError::Open,
        } => accept(false),
        Finding::Failed {
            on_error: OnError::Limit,
        } => accept(true),
        Finding::Failed {
            on_error: OnError::Defer,
        } => {
            let reason = UNAVAILABLE.to_owned();
            (Verdict::Defer { reason }, None)
        }
        Finding::Defer { reason } => {
            let reason = reason.clone();
            (Verdict::Defer { reason }, None)
        }
        Finding::Unscannable { reason } => {
            let reason = format!("the content cannot be scanned: {reason}");
            (policy.unscannable.verdict(&reason), None)
        }
        Finding::Found { concern, reason } => {
            let action = match concern {
                Concern::Spam => policy.spam,
                Concern::Malware => policy.malware,
            };
            (action.verdict(reason), Some(*concern))
        }
    }
}

impl Action {
    fn verdict(self, reason: &str) -> Verdict {
        let reason = reason.to_owned();
        match self {
            Self::Accept => Verdict::Accept { limited: false },
            Self::Hold => Verdict::Hold { reason },
            Self::Defer => Verdict::Defer { reason },
            Self::Reject => Verdict::Reject {
                reason,
                keep: false,
            },
            Self::RejectAndKeep => Verdict::Reject { reason, keep: true },
        }
    }
}

impl Judgement {
    /// Takes what weighs more than what stood so far.
    fn weigh(&mut self, verdict: Verdict, concern: Option<Concern>) {
        match (&mut self.verdict, verdict) {
            (Verdict::Accept { limited }, Verdict::Accept { limited: also }) => *limited |= also,
            // The first reason stands, but what one scanner wants to be kept is kept.
            (Verdict::Reject { keep, .. }, Verdict::Reject { keep: also, .. }) => *keep |= also,
            (old, new) if weight(&new) > weight(old) => {
                *old = new;
                self.concern = concern;
            }
            _ => {}
        }
    }
}

const fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Accept { .. } => 0,
        Verdict::Hold { .. } => 1,
        Verdict::Defer { .. } => 2,
        Verdict::Reject { .. } => 3,
    }
}

/// What the sender hears whose message nobody could look at.
const UNAVAILABLE: &str = "a content scanner is not available, try again later";

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy {
        spam: Action::Reject,
        malware: Action::RejectAndKeep,
        unscannable: Action::Accept,
        spam_log_odds: Some(5.0),
    };

    fn report(finding: Finding) -> Report {
        Report {
            scanner: "x",
            finding,
            score: None,
            log_odds: None,
            reasons: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }

    fn unsure(log_odds: f64) -> Report {
        Report {
            log_odds: Some(log_odds),
            ..report(Finding::Clean)
        }
    }

    fn found(concern: Concern, reason: &str) -> Finding {
        let reason = reason.to_owned();
        Finding::Found { concern, reason }
    }

    fn spam(reason: &str) -> Finding {
        found(Concern::Spam, reason)
    }

    fn defer(reason: &str) -> Finding {
        let reason = reason.to_owned();
        Finding::Defer { reason }
    }

    const fn failed(on_error: OnError) -> Finding {
        Finding::Failed { on_error }
    }

    #[test]
    fn the_gravest_finding_decides_and_the_first_of_its_weight_speaks() {
        let deferring = failed(OnError::Defer);
        let open = failed(OnError::Open);
        let unavailable = "451 4.7.1 a content scanner is not available, try again later id=7";
        let cases = [
            (vec![], None),
            (vec![Finding::Clean, open.clone(), Finding::Skipped], None),
            (vec![failed(OnError::Limit)], None),
            (vec![open.clone(), deferring.clone()], Some(unavailable)),
            (
                vec![defer("slow down"), deferring.clone()],
                Some("451 4.7.1 slow down id=7"),
            ),
            (
                vec![deferring, defer("slow down"), spam("spam"), spam("worse")],
                Some("550 5.7.1 spam id=7 see https://help.example"),
            ),
            (
                vec![spam("spam"), Finding::Clean, open],
                Some("550 5.7.1 spam id=7 see https://help.example"),
            ),
        ];
        for (findings, said) in cases {
            let reports: Vec<_> = findings.into_iter().map(report).collect();
            let reply = combine(&reports, &POLICY)
                .verdict
                .reply("7", "https://help.example");
            let reply = reply.map(|reply| reply.to_string());
            assert_eq!(reply.as_deref(), said, "{reports:?}");
        }
    }

    #[test]
    fn each_kind_of_finding_has_its_action() {
        let policy = Policy {
            spam: Action::Hold,
            malware: Action::Accept,
            unscannable: Action::Defer,
            spam_log_odds: None,
        };
        let unscannable = Finding::Unscannable {
            reason: "too deep".into(),
        };
        let verdict = |finding| combine(&[report(finding)], &policy).verdict;
        let held = Verdict::Hold {
            reason: "spam".into(),
        };
        assert_eq!(verdict(spam("spam")), held);
        let passed = Verdict::Accept { limited: false };
        assert_eq!(verdict(found(Concern::Malware, "Eicar")), passed);
        let deferred = Verdict::Defer {
            reason: "the content cannot be scanned: too deep".into(),
        };
        assert_eq!(verdict(unscannable), deferred);
    }

    #[test]
    fn scanners_that_are_not_sure_add_up() {
        let judge = |reports: &[Report]| combine(reports, &POLICY);
        let apart = judge(&[unsure(3.0), unsure(1.9)]);
        assert_eq!(apart.verdict, Verdict::Accept { limited: false });
        assert_eq!(apart.log_odds, Some(4.9));
        let together = judge(&[unsure(3.0), unsure(2.0)]);
        assert!(matches!(together.verdict, Verdict::Reject { .. }));
        assert_eq!(together.concern, Some(Concern::Spam));
        let doubted = judge(&[unsure(9.0), unsure(-5.0)]);
        assert_eq!(doubted.verdict, Verdict::Accept { limited: false });
    }

    #[test]
    fn what_one_scanner_wants_kept_is_kept() {
        let reports = [spam("spam"), found(Concern::Malware, "Eicar")].map(report);
        let expected = Verdict::Reject {
            reason: "spam".into(),
            keep: true,
        };
        let judgement = combine(&reports, &POLICY);
        assert_eq!(judgement.verdict, expected);
        assert_eq!(judgement.concern, Some(Concern::Spam));
    }

    #[test]
    fn a_scanners_reason_cannot_forge_a_reply() {
        let verdict = combine(&[report(spam("spam\r\n250 ok"))], &POLICY).verdict;
        let reply = verdict.reply("7", "https://help.example").unwrap();
        let mut wire = bytes::BytesMut::new();
        reply.encode(false, &mut wire);
        let wire = String::from_utf8_lossy(&wire);
        assert!(wire.lines().all(|line| line.starts_with("550")), "{wire}");
    }

    fn any_finding() -> impl Strategy<Value = Finding> {
        prop_oneof![
            Just(Finding::Clean),
            Just(Finding::Skipped),
            Just(spam("spam")),
            Just(found(Concern::Malware, "Eicar")),
            Just(defer("later")),
            Just(Finding::Unscannable {
                reason: "deep".into()
            }),
            Just(failed(OnError::Open)),
            Just(failed(OnError::Limit)),
            Just(failed(OnError::Defer)),
        ]
    }

    proptest! {
        #[test]
        fn one_more_report_never_makes_a_verdict_lighter(
            findings in prop::collection::vec(any_finding(), 0..6),
            more in any_finding(),
        ) {
            let mut reports: Vec<_> = findings.into_iter().map(report).collect();
            let before = weight(&combine(&reports, &POLICY).verdict);
            reports.push(report(more));
            prop_assert!(weight(&combine(&reports, &POLICY).verdict) >= before);
        }

        #[test]
        fn after_a_final_finding_nothing_but_keeping_can_change(
            findings in prop::collection::vec(any_finding(), 0..6),
            last in any_finding(),
        ) {
            let is_final = findings.iter().any(|finding| is_final(finding, &POLICY));
            let mut reports: Vec<_> = findings.into_iter().map(report).collect();
            let before = combine(&reports, &POLICY).verdict;
            reports.push(report(last));
            let after = combine(&reports, &POLICY).verdict;
            if is_final {
                let code = |verdict: &Verdict| verdict.reply("7", "x").map(|reply| reply.to_string());
                prop_assert_eq!(code(&before), code(&after));
            }
        }
    }
}
