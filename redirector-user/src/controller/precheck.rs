//! Customers who ask for port 25: looked at, and let out.
//!
//! Looking holds no lock and changes nothing. An approval is a flag like any other, made as `POST /v1/flags` makes it; what
//! was seen stands in the trail of that flag, with the reason of whoever opened it in spite of it.

use tokio::sync::Semaphore;

use super::{Controller, Problem, clock};
use crate::{
    api::view::{FlagView, PrecheckView},
    policy::dial::{Proposal, REASON_OCTETS, line},
    precheck::{ApproveRequest, Finding, PrecheckRequest, Question, Verdict, ask, judge, worst},
};

impl Controller {
    /// Looks at a customer, and opens port 25 for it if that is asked for and nothing speaks against it, or somebody says
    /// why it does not matter. Nothing is opened where the answer has a `refused`.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] for who is no customer, or for a flag that cannot be; [`Problem::Busy`].
    pub async fn precheck(&self, request: &PrecheckRequest) -> Result<PrecheckView, Problem> {
        let question = Question::read(request)?;
        // Only customers are knocked at: whoever may ask must not have the edge look around elsewhere.
        let guards = self.guards(&*self.lock().await);
        guards.check(question.prefix)?;
        for address in &question.addresses {
            guards.check((*address).into())?;
        }
        if let Some(approve) = &request.approve {
            // What cannot become a flag is said before anybody waits for the DNS.
            guards.check_flag(&Proposal::read(&request.flag(approve), &[], clock())?)?;
            if let Some(why) = &approve.overriding {
                line("override", why, REASON_OCTETS)?;
            }
        }
        let Ok(_place) = RUNNING.try_acquire() else {
            return Err(Problem::Busy(String::from(
                "other prechecks run; ask again when they are done",
            )));
        };
        let facts = ask::facts(&question, &self.config.precheck).await;
        let facts = facts.map_err(|error| Problem::Busy(error.to_string()))?;
        let findings = judge(&question, &facts);
        let verdict = worst(&findings);
        let mut view = PrecheckView {
            target: question.prefix,
            domain: question.domain.clone(),
            verdict,
            findings,
            refused: None,
            flag: None,
        };
        if let Some(approve) = &request.approve {
            match (verdict.lets_out(), &approve.overriding) {
                (false, None) => view.refused = Some(refusal(&view.findings)),
                (true, _) | (false, Some(_)) => {
                    let flag = self.let_out(request, approve, &view).await?;
                    view.flag = Some(Box::new(flag));
                }
            }
        }
        Ok(view)
    }

    async fn let_out(
        &self,
        request: &PrecheckRequest,
        approve: &ApproveRequest,
        view: &PrecheckView,
    ) -> Result<FlagView, Problem> {
        let bad = view.findings.iter();
        let bad: Vec<&Finding> = bad.filter(|it| it.verdict != Verdict::Pass).collect();
        let seen = serde_json::json!({
            "domain": view.domain,
            "verdict": view.verdict,
            "passed": view.findings.len() - bad.len(),
            "else": bad.iter().take(TOLD_MAX).map(|it| said(it)).collect::<Vec<_>>(),
            "more": bad.len().saturating_sub(TOLD_MAX),
            "override": approve.overriding,
        });
        let wanted = request.flag(approve);
        let flag = self.add_flag_after(&wanted, Some(seen)).await?.view;
        tracing::info!(
            flag.id = flag.id.0,
            verdict = view.verdict.name(),
            "port 25 opened after a precheck"
        );
        Ok(flag)
    }
}

fn refusal(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    format!(
        "not opened: {} failed, {} could not be told; mend them and ask again, or say why it does not matter (--override \
         REASON)",
        count(Verdict::Fail),
        count(Verdict::Unknown)
    )
}

fn said(finding: &Finding) -> String {
    let Finding {
        check,
        subject,
        verdict,
        seen,
        ..
    } = finding;
    format!("{} {} {subject}: {seen}", verdict.name(), check.name())
}

/// How many run at a time: each has hundreds of sockets.
static RUNNING: Semaphore = Semaphore::const_new(2);
/// Of a /24 without names there would be thousands.
const TOLD_MAX: usize = 32;
