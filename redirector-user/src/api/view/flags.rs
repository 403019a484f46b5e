//! Flags, their trail, and files of them.

use std::collections::BTreeMap;

use contract::{Delivery, Egress, Generation, LimitsName, Tier, Treatment};
use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChangeView, ProbationView, SeenView, SparedView};
use crate::policy::{
    dial::{Flag, FlagId},
    moment::Moment,
    rules::Cause,
    tenant::CustomerId,
};

/// One flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagView {
    /// Number.
    pub id: FlagId,
    /// Whom it is about.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// Name of the action.
    pub action: String,
    /// Of a redirect, else `None`.
    pub pool: Option<String>,
    /// Of a redirect, else `None`.
    pub treatment: Option<Treatment>,
    /// Of a redirect, else `None`.
    pub egress: Option<Egress>,
    /// Of a redirect, else `None`.
    pub delivery: Option<Delivery>,
    /// Of a redirect whose mail may not be looked at as the relay's own configuration says, else `None`.
    pub tier: Option<Tier>,
    /// Of a redirect with limits of its own at the relay, else `None`.
    #[serde(default)]
    pub limits: Option<LimitsName>,
    /// Of a redirect, else `None`: known to abuse, and never spliced by what the relay learns.
    pub confirmed: Option<bool>,
    /// Of a limit, as `30/min`, else `None`.
    pub rate: Option<String>,
    /// Of a limit, else `None`.
    pub burst: Option<u16>,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Reference into another system.
    pub ticket: Option<String>,
    /// Nobody writes to the customer about it.
    #[serde(default)]
    pub quiet: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When the kernel first had it.
    pub activated_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who ended it; `outgated` for an expiry.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub ended_reason: Option<String>,
    /// Whether it is in force.
    pub state: FlagState,
    /// Relays that it waits for while it is pending.
    pub awaiting: Vec<String>,
    /// Of a redirect: the relays of its pool that take new connections now.
    pub serving: Vec<String>,
    /// The flag of the same prefix that it ended.
    pub replaces: Option<FlagId>,
    /// Whom it is for: whose the prefix was when it was made.
    #[serde(default)]
    pub customer: Option<CustomerId>,
    /// Which file brought it.
    #[serde(default)]
    pub origin: Option<String>,
    /// The figures that caused it, if a rule made it.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// That it may be wrong, or that its customer is watched more closely after it.
    #[serde(default)]
    pub probation: Option<ProbationView>,
    /// That it is to stand for ever: `pending`, `approved` or `rejected`. It has no end once it is approved, and
    /// `expires_at` is a far day then.
    #[serde(default)]
    pub approval: Option<String>,
    /// Who has approved or rejected that.
    #[serde(default)]
    pub decided_by: Option<String>,
    /// When somebody is to look at it again, if it stands for ever.
    #[serde(default)]
    pub review_at: Option<Timestamp>,
    /// Why it is there although its customer was exempt, if so.
    #[serde(default)]
    pub despite_exemption: Option<String>,
    /// Protected prefixes inside of it, which stay free; empty in lists.
    #[serde(default)]
    pub spared: Vec<SparedView>,
    /// State of the policy that brought it.
    pub generation: Generation,
    /// What happened to it, oldest first; empty in lists, and in answers to changes.
    pub history: Vec<HistoryView>,
    /// What relays saw of the customer; `None` in lists, and where nothing is redirected.
    #[serde(default)]
    pub seen: Option<SeenView>,
}

impl FlagView {
    /// A flag as it is told; `awaiting` are the relays that it waits for, `serving` those that would take its
    /// connections.
    #[must_use]
    pub fn new(
        flag: Flag,
        awaiting: Vec<String>,
        serving: Vec<String>,
        history: Vec<HistoryView>,
    ) -> Self {
        let state = match (&flag.ended, flag.activated_at) {
            (Some(_), _) => FlagState::Ended,
            (None, Some(_)) => FlagState::Active,
            (None, None) => FlagState::Pending,
        };
        let Flag {
            id,
            terms,
            generation,
            tenant,
            replaces,
            activated_at,
            ended,
        } = flag;
        let for_ever = terms.for_ever.as_deref();
        let approval = for_ever.map(|it| it.stage.name().to_owned());
        let decided_by = for_ever.and_then(|it| it.stage.decided_by());
        let (decided_by, review_at) = (decided_by.map(str::to_owned), terms.review_at());
        let redirect = terms.action.redirect().cloned();
        let limit = terms.action.limit();
        Self {
            id,
            prefix: terms.prefix,
            action: terms.action.name().to_owned(),
            treatment: redirect.as_ref().map(|redirect| redirect.treatment),
            egress: redirect.as_ref().map(|redirect| redirect.egress),
            delivery: redirect.as_ref().map(|redirect| redirect.delivery),
            tier: redirect.as_ref().and_then(|redirect| redirect.tier),
            limits: redirect
                .as_ref()
                .and_then(|redirect| redirect.limits.clone()),
            confirmed: redirect.as_ref().map(|redirect| redirect.confirmed),
            pool: redirect.map(|redirect| redirect.pool),
            rate: limit.map(|limit| limit.rate.to_string()),
            burst: limit.map(|limit| limit.burst.get()),
            reason: terms.reason.into(),
            actor: terms.actor.into(),
            ticket: terms.ticket.map(String::from),
            quiet: terms.quiet,
            created_at: terms.created_at.at(),
            expires_at: terms.expires_at.at(),
            activated_at: activated_at.map(Moment::at),
            ended_at: ended.as_ref().map(|ended| ended.at),
            ended_reason: ended.as_ref().map(|ended| ended.reason.clone()),
            ended_by: ended.map(|ended| ended.by),
            state,
            awaiting,
            serving,
            replaces,
            customer: tenant.map(|tenant| tenant.customer),
            origin: terms.origin.map(String::from),
            cause: terms.cause.map(|cause| *cause),
            probation: None,
            approval,
            decided_by,
            review_at,
            despite_exemption: terms.despite_exemption.map(String::from),
            spared: Vec::new(),
            generation,
            history,
            seen: None,
        }
    }
}

/// Whether a flag is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlagState {
    /// The kernel has it.
    Active,
    /// It is stored, and waits for relays.
    Pending,
    /// It has ended.
    Ended,
}

/// `PUT /v1/flags/{prefix}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlagSetView {
    /// What was done.
    pub done: SetOutcome,
    /// The flag that stands now.
    #[serde(flatten)]
    pub flag: FlagView,
}

/// What was done so that a prefix has the flag that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetOutcome {
    /// There was none.
    Added,
    /// There was another.
    Replaced,
    /// It was so already.
    Nothing,
}

/// One row of a flag's trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub event: String,
    /// The rest; `None` once erased.
    pub detail: Option<serde_json::Value>,
}

/// `POST /v1/flags/import`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// Whether the file was only judged.
    pub dry_run: bool,
    /// Flags in it.
    pub flags: usize,
    /// Active flags of the same prefixes that they end.
    pub replaced: usize,
    /// Flags that stand already as the file says, and stay.
    #[serde(default)]
    pub unchanged: usize,
    /// Flags of its origin that it does not have any more, and that end.
    #[serde(default)]
    pub lifted: usize,
    /// Assignments in it.
    #[serde(default)]
    pub assignments: usize,
    /// Prefixes whose assignment is another by it.
    #[serde(default)]
    pub reassigned: usize,
    /// Flags that end because their prefix is another customer's by it.
    #[serde(default)]
    pub ended: usize,
    /// Customers that are new, changed or removed by it.
    #[serde(default)]
    pub customers: usize,
    /// Rows that are another origin's, and are left alone.
    #[serde(default)]
    pub conflicts: usize,
    /// Rows that say nothing about a customer here, by why.
    #[serde(default)]
    pub skipped: BTreeMap<String, usize>,
    /// What the guard says that bounds how much a file may change.
    #[serde(default)]
    pub guard: Option<String>,
    /// What differs, the first hundred thousand; conflicts alone where nobody asked for it.
    #[serde(default)]
    pub changes: Vec<ChangeView>,
    /// How many are stored and not yet in force.
    pub pending: usize,
    /// The relays that those wait for.
    pub awaiting: Vec<String>,
    /// State of the policy that brought them; `None` if nothing was stored.
    pub generation: Option<Generation>,
    /// Number of the first; the others follow on it.
    pub first: Option<FlagId>,
    /// Number of the last.
    pub last: Option<FlagId>,
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportStage {
    /// The file is judged.
    Reading,
    /// It is written into the store.
    Storing,
    /// It is put into the kernel.
    Enforcing,
}

/// `GET /v1/flags/import`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportProgress {
    /// What is being done.
    pub stage: ImportStage,
    /// Flags that it is done for.
    pub done: usize,
    /// Flags in the file; 0 while that is not known.
    pub of: usize,
}
