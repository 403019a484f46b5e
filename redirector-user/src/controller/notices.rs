//! Telling customers: from events to notices, and from notices to the submission server.
//!
//! One task goes through the events and queues a notice for each turn of the dial that a customer notices; how far it is,
//! is stored with what it queues. The other sends what is due, one at a time. Neither holds the one lock, and a server that
//! does not answer costs nobody anything.

mod sending;

use std::sync::Arc;

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    time::{Duration, sleep, timeout},
};

use super::{Controller, Problem, StartError, clock};
use crate::{
    api::view::{NoticePreview, NoticeState, NoticeView},
    config::{Config, Notices},
    feed::{Item, Own},
    notice::{Facts, Kind, Post, Step, Templates, Text},
    policy::{
        dial::{Flag, FlagId, FlagRequest, Height, Proposal, read_target},
        tenant::{Assignment, Tenant},
    },
    store::{
        StoreError,
        events::{Stored, Wanted},
        notices::{Due, Notice},
    },
};

/// What it takes to tell customers.
#[derive(Debug)]
pub(super) struct Telling {
    templates: Templates,
    post: Post,
    /// Something was queued.
    queued: Notify,
}

impl Telling {
    /// Looks at what is configured.
    pub(super) fn load(config: &Config) -> Result<Option<Self>, StartError> {
        let load = |notices: &Notices| {
            Ok::<_, StartError>(Self {
                templates: Templates::load(notices.templates.as_deref(), &notices.language)?,
                post: Post::set_up(notices)?,
                queued: Notify::new(),
            })
        };
        config.notices.as_ref().map(load).transpose()
    }
}

impl Controller {
    /// Makes notices of events, for ever.
    pub(super) async fn make_notices(self: Arc<Self>) {
        let Some(telling) = &self.telling else {
            return std::future::pending().await;
        };
        let mut newest = self.store.newest_event();
        let mut through = None;
        loop {
            newest.mark_unchanged();
            if !self.is_steward() {
                // Another edge goes on from where the store says, and so will this one.
                through = None;
                let _since = self.until_steward().await;
            }
            match self.make_more_notices(telling, &mut through).await {
                Ok(()) => drop(timeout(LONGEST_NAP, newest.changed()).await),
                Err(error) => {
                    tracing::error!(%error, "notices cannot be made of events");
                    sleep(STORE_RETRY).await;
                }
            }
        }
    }

    async fn make_more_notices(
        &self,
        telling: &Telling,
        through: &mut Option<u64>,
    ) -> Result<(), StoreError> {
        let mut unkept = 0;
        loop {
            let after = match *through {
                Some(after) => after,
                None => self.store.begin_notices().await?,
            };
            let page = self.store.events(&wanted(after)).await?;
            let Some(last) = page.last().map(|event| event.seq) else {
                *through = Some(after);
                return Ok(());
            };
            let (mut dues, mut items) = (Vec::new(), Vec::new());
            for event in &page {
                for (flag, step) in self.steps_of(event).await? {
                    let mail = self.contact_of(&flag).await?;
                    self.note_step(telling, &flag, mail, step, &mut dues, &mut items);
                }
            }
            // Nothing is lost if that is not kept at once: the same events make the same nothing.
            unkept += page.len();
            if !dues.is_empty() || !items.is_empty() || unkept >= KEPT_AFTER {
                unkept = 0;
                let now = clock();
                let next_at = now.checked_add(TOGETHER).unwrap_or(Timestamp::MAX);
                self.store
                    .queue_notices(last, &dues, items, now, next_at)
                    .await?;
                telling.queued.notify_one();
            }
            *through = Some(last);
        }
    }

    /// Turns of the dial that an event tells of, each with the flag that it is about.
    async fn steps_of(&self, event: &Stored) -> Result<Vec<(Flag, Step)>, StoreError> {
        let id = |name: &str| {
            let id = event.detail.get(name).and_then(serde_json::Value::as_u64);
            id.and_then(|id| u32::try_from(id).ok())
        };
        let (first, last, ended) = match (event.relay.as_ref(), event.kind.as_str()) {
            (None, Own::FLAG_ADDED) => (
                event.flag.map(|flag| flag.0),
                event.flag.map(|flag| flag.0),
                false,
            ),
            (None, Own::FLAG_LIFTED | Own::FLAG_EXPIRED) => (
                event.flag.map(|flag| flag.0),
                event.flag.map(|flag| flag.0),
                true,
            ),
            (None, Own::FLAGS_IMPORTED) => (id("first"), id("last"), false),
            _ => return Ok(Vec::new()),
        };
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Vec::new());
        };
        let mut steps = Vec::new();
        let mut after = first.saturating_sub(1);
        while after < last {
            let at_most = (last - after).min(FLAGS_AT_ONCE);
            let flags = self.store.flags(true, after, at_most).await?;
            let Some(newest) = flags.last().map(|flag| flag.id.0) else {
                break;
            };
            for flag in flags
                .into_iter()
                .filter(|flag| flag.id.0 <= last && !flag.terms.quiet)
            {
                let before = match flag.replaces.filter(|_| !ended) {
                    Some(replaced) => self.store.flag(replaced).await?,
                    None => None,
                };
                steps
                    .extend(step(&flag, before.as_ref(), ended, event.at).map(|step| (flag, step)));
            }
            after = newest;
        }
        Ok(steps)
    }

    /// Whom to tell, and what everybody who follows the events is told.
    fn note_step(
        &self,
        telling: &Telling,
        flag: &Flag,
        mail: Option<String>,
        step: Step,
        dues: &mut Vec<Due>,
        items: &mut Vec<Item>,
    ) {
        let prefix = flag.terms.prefix;
        let Some(text) = self
            .facts()
            .text(&telling.templates, std::slice::from_ref(&step), flag)
        else {
            return;
        };
        let own = Own::NoticeMade {
            kind: step.kind.name(),
            flag: flag.id,
            subject: &text.subject,
            text: &text.body,
            nobody: mail.is_none(),
        };
        items.push(own.at(step.at, Some(prefix)));
        dues.extend(mail.map(|mail| Due { prefix, mail, step }));
    }

    /// Who is told of what happens to a flag: the customer that it was made for, or whom the configuration names for its
    /// prefix; nobody, if nobody is known.
    async fn contact_of(&self, flag: &Flag) -> Result<Option<String>, StoreError> {
        let customer = match &flag.tenant {
            Some(tenant) => self.store.customer(&tenant.customer).await?,
            None => None,
        };
        let contact = customer.and_then(|customer| customer.contact);
        Ok(contact.or_else(|| {
            self.config
                .contacts
                .of(flag.terms.prefix)
                .map(str::to_owned)
        }))
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            operator: &self.config.operator,
            help_url: &self.config.help_url,
            refused: &self.config.refuse.text,
        }
    }

    /// Refuses a file by which more customers would be written to than anybody means to.
    pub(super) fn refuse_many_notices(&self, terms: &[Proposal]) -> Result<(), Problem> {
        let loud = |terms: &&Proposal| {
            let kind = Kind::between(Height::None, Height::of(&terms.action));
            !terms.quiet && kind.is_some() && self.config.contacts.of(terms.prefix).is_some()
        };
        if self.telling.is_none() {
            return Ok(());
        }
        let loud = terms.iter().filter(loud).count();
        if loud <= FILE_TOLD_MAX {
            return Ok(());
        }
        Err(Problem::Guard(format!(
            "{loud} customers would be written to, and a file may do that to {FILE_TOLD_MAX}; say --quiet, or no in the \
             column notify, or split the file"
        )))
    }

    /// The newest notices, the newest first.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`].
    pub async fn list_notices(&self, at_most: u32) -> Result<Vec<NoticeView>, Problem> {
        let notices = self.store.notices(at_most).await?;
        Ok(notices.into_iter().map(view).collect())
    }

    /// What somebody would be told of a prefix: of its flag, or, where there is none, of one that is made up.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] where customers are not told.
    pub async fn preview_notice(&self, target: &str, kind: &str) -> Result<NoticePreview, Problem> {
        let prefix = read_target(target, false)?;
        let kind = Kind::from_name(kind).ok_or_else(|| {
            let allowed = Kind::ALL.map(Kind::name).join(", ");
            Problem::Usage(format!("kind {kind:?}: unknown; allowed are {allowed}"))
        })?;
        let telling = self.telling.as_ref().ok_or_else(|| {
            let text = "customers are not told: [notices] in outgated.toml says how they would be";
            Problem::Guard(String::from(text))
        })?;
        let flag = {
            let state = self.lock().await;
            state.flags.on(prefix).cloned()
        };
        let flag = match flag {
            Some(flag) => flag,
            None => {
                let tenant = self
                    .store
                    .with_tenants(|tenants| tenants.of(prefix).map(Assignment::tenant));
                made_up(prefix, tenant, clock())?
            }
        };
        let height = Height::of(&flag.terms.action);
        let (before, after) = match kind {
            Kind::Flag => (Height::None, height),
            Kind::Raise => (Height::Limit, height),
            Kind::Ease => (Height::Drop, height),
            Kind::Lift => (height, Height::None),
        };
        let step = Step {
            kind,
            at: clock(),
            flag: flag.id,
            before: before.name().to_owned(),
            after: after.name().to_owned(),
        };
        let Text { subject, body, .. } = self.facts().previewed(&telling.templates, &step, &flag);
        Ok(NoticePreview {
            kind,
            mail: self.contact_of(&flag).await?,
            subject,
            text: body,
        })
    }
}

/// What a flag's coming or going is for its customer.
fn step(flag: &Flag, before: Option<&Flag>, ended: bool, at: Timestamp) -> Option<Step> {
    let height = Height::of(&flag.terms.action);
    // Of a quiet one the customer knows nothing.
    let replaced = before.filter(|before| !before.terms.quiet);
    let replaced = replaced.map_or(Height::None, |before| Height::of(&before.terms.action));
    let (before, after) = match ended {
        true => (height, Height::None),
        false => (replaced, height),
    };
    Some(Step {
        kind: Kind::between(before, after)?,
        at,
        flag: flag.id,
        before: before.name().to_owned(),
        after: after.name().to_owned(),
    })
}

fn view(notice: Notice) -> NoticeView {
    NoticeView {
        id: notice.id,
        kind: Kind::of_all(&notice.steps),
        flags: notice.steps.iter().map(|step| step.flag).collect(),
        prefix: notice.prefix,
        mail: notice.mail,
        created_at: notice.created_at,
        state: match notice.done {
            None => NoticeState::Waiting,
            Some((true, _)) => NoticeState::Sent,
            Some((false, _)) => NoticeState::Lost,
        },
        next_at: notice.done.is_none().then_some(notice.next_at),
        done_at: notice.done.map(|(_, at)| at),
        attempts: notice.attempts,
        error: notice.error,
    }
}

/// A flag to show a text with.
fn made_up(prefix: IpNetwork, tenant: Option<Tenant>, now: Timestamp) -> Result<Flag, Problem> {
    let request = FlagRequest {
        target: prefix.to_string(),
        reason: String::from("here stands the reason"),
        actor: String::from("nobody"),
        action: Some(String::from("refuse")),
        ..FlagRequest::default()
    };
    Ok(Flag {
        id: FlagId(0),
        terms: Proposal::read(&request, &[], now)?,
        generation: contract::Generation(0),
        replaces: None,
        tenant: tenant.map(Box::new),
        activated_at: None,
        ended: None,
    })
}

/// A page of events after this one.
const fn wanted(after: u64) -> Wanted {
    Wanted {
        after: Some(after),
        limit: PAGE,
        kind: None,
        customer: None,
        since: None,
    }
}

const PAGE: u32 = 100;
const FLAGS_AT_ONCE: u32 = 500;
/// Events that are gone through again after a restart, at most.
const KEPT_AFTER: usize = 1000;
/// Flags of one file whose customers are written to: more is an accident.
const FILE_TOLD_MAX: usize = 1000;
/// What happens within that time is told together: a rule's flag that ends, and the person's flag that is back.
const TOGETHER: SignedDuration = SignedDuration::from_secs(3);
const LONGEST_NAP: Duration = Duration::from_secs(60);
const STORE_RETRY: Duration = Duration::from_secs(5);
