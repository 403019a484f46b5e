//! How long a flag stands: until its end, or for ever, which takes a second person and reviews.
//!
//! Whoever asks for "for ever" gets an ordinary flag of the longest life at once, so that nothing waits for anybody. A
//! second person makes it stand for ever; then it has no end, but a day on which somebody is to look at it again.
//!
//! Nothing here touches a clock or the store: each change of a term makes another [`Proposal`].

use jiff::{SignedDuration, Timestamp};

use super::{
    Proposal, Refusal,
    request::{LONGEST_LIFE, duration, read_life},
};
use crate::policy::rules::ACTOR_PREFIX;

/// That a flag is to stand for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForEver {
    /// Seconds from one review to the next.
    pub review_s: u32,
    /// How far that is.
    pub stage: Stage,
}

/// How far a flag is on its way to stand for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A second person is yet to agree.
    Pending,
    /// It stands for ever.
    Approved {
        /// Who agreed.
        by: String,
        /// When.
        at: Timestamp,
        /// When somebody is to look at it again.
        review_at: Timestamp,
        /// Whether it was told that this day has come.
        told: bool,
    },
    /// It ends as any other flag.
    Rejected {
        /// Who said so.
        by: String,
        /// When.
        at: Timestamp,
    },
}

impl ForEver {
    /// What somebody asks for.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`], [`Refusal::Guard`] beyond [`LONGEST_REVIEW`].
    pub fn asked(review: &str) -> Result<Self, Refusal> {
        let review_s = read_review(review)?;
        let stage = Stage::Pending;
        Ok(Self { review_s, stage })
    }

    /// When somebody is to look at it again, once it stands for ever.
    #[must_use]
    pub const fn review_at(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Approved { review_at, .. } => Some(*review_at),
            Stage::Pending | Stage::Rejected { .. } => None,
        }
    }

    /// The same, if nobody was told yet.
    #[must_use]
    pub fn untold_review(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Approved {
                review_at,
                told: false,
                ..
            } => Some(*review_at),
            Stage::Approved { .. } | Stage::Pending | Stage::Rejected { .. } => None,
        }
    }
}

impl Stage {
    /// Its name in the table, and for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
        }
    }

    /// Who has agreed, or has not.
    #[must_use]
    pub fn decided_by(&self) -> Option<&str> {
        match self {
            Self::Pending => None,
            Self::Approved { by, .. } | Self::Rejected { by, .. } => Some(by),
        }
    }
}

/// Terms of a flag, as they may change while it stands.
impl Proposal {
    /// When somebody is to look at it again; only of a flag that stands for ever.
    #[must_use]
    pub fn review_at(&self) -> Option<Timestamp> {
        self.for_ever.as_ref().and_then(|it| it.review_at())
    }

    /// The next day that matters: of its review, or of its end.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.review_at().unwrap_or_else(|| self.expires_at.at())
    }

    /// With a later end: that long from now.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for what is no life of a flag, would not be later, or has no end to be moved.
    pub fn extended(&self, life: &str, now: Timestamp) -> Result<Self, Refusal> {
        if let Some(review_at) = self.review_at() {
            return Err(Refusal::Guard(format!(
                "the flag on {} stands for ever: it has no end to be moved, but a review on {review_at}; --review moves \
                 that",
                self.prefix
            )));
        }
        if life.trim() == EVER {
            return Err(Refusal::Usage(format!(
                "--for {EVER}: a flag becomes one for ever by flagging anew (`outgate flag add {} --for {EVER} --review \
                 90d`), because a second person must agree",
                self.prefix
            )));
        }
        let expires_at = now.checked_add(read_life(life)?);
        let expires_at = expires_at.map_err(|error| {
            Refusal::Usage(format!("--for {life}: {error}; at most {LONGEST_LIFE}"))
        })?;
        if self.expires_at >= expires_at {
            return Err(Refusal::Guard(format!(
                "--for {life}: the flag on {} lives until {} already, which is later; `outgate flag rm` ends it sooner",
                self.prefix, self.expires_at
            )));
        }
        Ok(Self {
            expires_at: expires_at.into(),
            ..self.clone()
        })
    }

    /// With its next review that long from now.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for a flag that has an end, and for what is no time from one review to the next.
    pub fn reviewed(&self, review: &str, now: Timestamp) -> Result<Self, Refusal> {
        let review_s = read_review(review)?;
        let Some(ForEver {
            stage: Stage::Approved { by, at, .. },
            ..
        }) = self.for_ever.as_deref()
        else {
            return Err(Refusal::Guard(format!(
                "--review {review}: the flag on {} ends on {} and has no reviews; --for moves its end",
                self.prefix, self.expires_at
            )));
        };
        let stage = Stage::Approved {
            by: by.clone(),
            at: *at,
            review_at: later(now, review_s),
            told: false,
        };
        Ok(self.at_stage(ForEver { review_s, stage }))
    }

    /// As one that stands for ever.
    ///
    /// # Errors
    ///
    /// [`Refusal::Guard`] where nothing waits for it, or to whoever has asked for it.
    pub fn approved(&self, by: &str, now: Timestamp) -> Result<Self, Refusal> {
        let review_s = self.waiting_for_approval()?;
        if same_person(by, &self.actor) {
            return Err(Refusal::Guard(format!(
                "{by} has asked for the flag on {} to stand for ever, so somebody else must approve it; until then it ends \
                 on {} as any other",
                self.prefix, self.expires_at
            )));
        }
        let stage = Stage::Approved {
            by: by.to_owned(),
            at: now,
            review_at: later(now, review_s),
            told: false,
        };
        let approved = self.at_stage(ForEver { review_s, stage });
        Ok(Self {
            expires_at: far().into(),
            ..approved
        })
    }

    /// As one that ends as any other. Whoever has asked may say so, too: that takes the wish back.
    ///
    /// # Errors
    ///
    /// [`Refusal::Guard`] where nothing waits for it.
    pub fn rejected(&self, by: &str, now: Timestamp) -> Result<Self, Refusal> {
        let review_s = self.waiting_for_approval()?;
        let stage = Stage::Rejected {
            by: by.to_owned(),
            at: now,
        };
        Ok(self.at_stage(ForEver { review_s, stage }))
    }

    /// As one of which was told that its review has come.
    #[must_use]
    pub fn with_review_told(&self) -> Self {
        let mut told = self.clone();
        if let Some(for_ever) = told.for_ever.as_mut()
            && let Stage::Approved { told, .. } = &mut for_ever.stage
        {
            *told = true;
        }
        told
    }

    /// What is asked for, if that waits for a second person.
    fn waiting_for_approval(&self) -> Result<u32, Refusal> {
        let what = match self.for_ever.as_deref() {
            Some(ForEver {
                review_s,
                stage: Stage::Pending,
            }) => return Ok(*review_s),
            None => String::from("nobody has asked for it to stand for ever"),
            Some(ForEver {
                stage: Stage::Approved { by, .. },
                ..
            }) => format!("{by} has approved already that it stands for ever"),
            Some(ForEver {
                stage: Stage::Rejected { by, .. },
                ..
            }) => format!("{by} has rejected already that it stands for ever"),
        };
        Err(Refusal::Guard(format!(
            "the flag on {} waits for no approval: {what}; `outgate flag history {}` tells more",
            self.prefix, self.prefix
        )))
    }

    fn at_stage(&self, for_ever: ForEver) -> Self {
        Self {
            for_ever: Some(Box::new(for_ever)),
            ..self.clone()
        }
    }
}

/// Whether two names are one person's, as people type them.
#[must_use]
pub fn same_person(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.trim().to_lowercase();
    plain(one) == plain(other)
}

/// Reads the name of a person who decides something.
///
/// # Errors
///
/// [`Refusal::Guard`] without a name, [`Refusal::Usage`] for one that is none.
pub fn read_person(actor: &str) -> Result<String, Refusal> {
    let actor = actor.trim();
    if actor.is_empty() {
        let text = "this needs an actor, for the trail; say who you are";
        return Err(Refusal::Guard(String::from(text)));
    }
    if actor.starts_with(ACTOR_PREFIX) {
        return Err(Refusal::Usage(format!(
            "actor {actor:?}: {ACTOR_PREFIX} names what rules do by themselves; say who you are"
        )));
    }
    super::request::line("actor", actor, ACTOR_OCTETS)
}

fn read_review(text: &str) -> Result<u32, Refusal> {
    let review = duration(text).filter(SignedDuration::is_positive);
    let seconds = review.map(|review| review.as_secs().max(1));
    let seconds = seconds.ok_or_else(|| {
        Refusal::Usage(format!(
            "--review {text}: not a time from one review to the next, as 30d or 90d"
        ))
    })?;
    let longest = duration(LONGEST_REVIEW).map_or(0, |longest| longest.as_secs());
    let within = u32::try_from(seconds).ok().filter(|_| seconds <= longest);
    within.ok_or_else(|| {
        Refusal::Guard(format!(
            "--review {text}: a flag that stands for ever is looked at again within {LONGEST_REVIEW}"
        ))
    })
}

fn later(now: Timestamp, seconds: u32) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds.into()))
        .unwrap_or(now)
}

/// What stands in the place of an end where there is none.
fn far() -> Timestamp {
    Timestamp::from_second(FAR_S).unwrap_or(Timestamp::MAX)
}

/// A life that has no end, as people write it.
pub const EVER: &str = "ever";
/// Longest time from one review to the next.
pub const LONGEST_REVIEW: &str = "366d";
/// 9999-01-01: a day that every database and every program can write.
const FAR_S: i64 = 253_370_764_800;
const ACTOR_OCTETS: usize = 100;

#[cfg(test)]
mod tests;
