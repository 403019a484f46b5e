//! Exemptions: customers that neither rules nor people flag for a while, because somebody has promised it.
//!
//! An [`ExemptionRequest`] is what a person asks for; [`ExemptionRequest::read`] is its only way in. A second person must
//! approve it before it protects, and it ends by itself. [`Exemptions`] is all that stand.

use std::{collections::BTreeMap, fmt};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    dial::{
        Ended, REASON_OCTETS, Refusal, duration, line, read_target,
        term::{read_person, same_person},
    },
    prefixes::Prefixes,
};

/// Number of an exemption; never 0, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct ExemptionId(pub u32);

/// What `POST /v1/exemptions` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExemptionRequest {
    /// Address or prefix. One IPv6 address stands for its /64 unless `exact`.
    #[schema(example = "192.0.2.10")]
    pub target: String,
    /// Reference into another system: the contract, the ticket.
    #[schema(example = "contract 17, annex 2")]
    pub reference: String,
    /// Why, for the trail.
    #[serde(default)]
    pub reason: String,
    /// Who; a person or a program.
    #[serde(default)]
    pub actor: String,
    /// Its last day in UTC, as `2026-12-31`, or its end, as `2026-12-31T12:00:00Z`.
    #[schema(example = "2026-12-31")]
    pub until: Option<String>,
    /// Its life instead, as `30d`; at most `366d`.
    #[serde(rename = "for")]
    #[schema(example = "30d")]
    pub life: Option<String>,
    /// A single IPv6 address means itself.
    #[serde(default)]
    pub exact: bool,
}

/// One exemption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// Number.
    pub id: ExemptionId,
    /// Whom it is about; network bits only.
    pub prefix: IpNetwork,
    /// Into another system.
    pub reference: String,
    /// Why.
    pub reason: String,
    /// Who has asked for it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself, approved or not.
    pub until: Timestamp,
    /// Who has approved it, and when.
    pub approved: Option<(String, Timestamp)>,
    /// Its end, if it has ended.
    pub ended: Option<Ended>,
}

/// All that stand, approved or not.
#[derive(Clone, Debug, Default)]
pub struct Exemptions {
    all: BTreeMap<ExemptionId, Exemption>,
    by_prefix: Prefixes<ExemptionId>,
}

impl ExemptionRequest {
    /// Reads it; its number is given by the store.
    ///
    /// # Errors
    ///
    /// [`Refusal`] names the field.
    pub fn read(&self, now: Timestamp) -> Result<Exemption, Refusal> {
        if self.reason.trim().is_empty() {
            let text = "an exemption needs a reason, for the trail";
            return Err(Refusal::Guard(String::from(text)));
        }
        Ok(Exemption {
            id: ExemptionId(0),
            prefix: read_target(&self.target, self.exact)?,
            reference: line("reference", &self.reference, REFERENCE_OCTETS)?,
            reason: line("reason", &self.reason, REASON_OCTETS)?,
            actor: read_person(&self.actor)?,
            created_at: now,
            until: self.end(now)?,
            approved: None,
            ended: None,
        })
    }

    fn end(&self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let (said, until) = match (self.until.as_deref(), self.life.as_deref()) {
            (Some(until), None) => (format!("--until {until}"), read_day(until)),
            (None, Some(life)) => {
                let until = duration(life).and_then(|life| now.checked_add(life).ok());
                (format!("--for {life}"), until)
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(Refusal::Usage(String::from(
                    "an exemption needs an end: either --until with its last day, or --for with how long it is to last",
                )));
            }
        };
        let until = until.ok_or_else(|| {
            Refusal::Usage(format!(
                "{said}: allowed are a day, as 2026-12-31, a time, as 2026-12-31T12:00:00Z, or for --for a duration, as 30d"
            ))
        })?;
        if until <= now {
            return Err(Refusal::Usage(format!("{said}: that is over already")));
        }
        let longest = duration(LONGEST_EXEMPTION).unwrap_or(SignedDuration::ZERO);
        if until.duration_since(now) > longest {
            return Err(Refusal::Guard(format!(
                "{said}: an exemption lasts at most {LONGEST_EXEMPTION}; ask again before it ends"
            )));
        }
        Ok(until)
    }
}

impl Exemption {
    /// Whether it protects.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.approved.is_some() && now < self.until
    }

    /// As approved.
    ///
    /// # Errors
    ///
    /// [`Refusal::Guard`] to whoever has asked for it, and where somebody has approved it already.
    pub fn approved(&self, by: &str, now: Timestamp) -> Result<Self, Refusal> {
        if let Some((before, at)) = &self.approved {
            return Err(Refusal::Guard(format!(
                "{before} has approved exemption {} already, on {at}",
                self.id
            )));
        }
        if same_person(by, &self.actor) {
            return Err(Refusal::Guard(format!(
                "{by} has asked for exemption {} on {}, so somebody else must approve it; until then it protects nobody",
                self.id, self.prefix
            )));
        }
        Ok(Self {
            approved: Some((by.to_owned(), now)),
            ..self.clone()
        })
    }

    /// As a guard says it.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "exempt until {} (exemption {}, reference {})",
            self.until, self.id, self.reference
        )
    }
}

impl Exemptions {
    /// One of them.
    #[must_use]
    pub fn get(&self, id: ExemptionId) -> Option<&Exemption> {
        self.all.get(&id)
    }

    /// The one of exactly this prefix.
    #[must_use]
    pub fn on(&self, prefix: IpNetwork) -> Option<&Exemption> {
        self.all.get(self.by_prefix.on(prefix)?)
    }

    /// Those of a prefix and around it, in force or not, the most specific first.
    pub fn over(&self, target: IpNetwork) -> impl Iterator<Item = &Exemption> {
        let over = self.by_prefix.over(target);
        over.filter_map(|(_, id)| self.all.get(id))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Exemption> {
        self.all.values()
    }

    /// The one in force that keeps a prefix, or part of it, from being flagged; one around it before one inside of it.
    #[must_use]
    pub fn forbids(&self, target: IpNetwork, now: Timestamp) -> Option<&Exemption> {
        let over = self.by_prefix.over(target).map(|(_, id)| id);
        let touching = over.chain(self.by_prefix.within(target).map(|(_, id)| id));
        let mut touching = touching.filter_map(|id| self.all.get(id));
        touching.find(|exemption| exemption.is_in_force(now))
    }

    /// The one in force around a prefix.
    #[must_use]
    pub fn around(&self, target: IpNetwork, now: Timestamp) -> Option<&Exemption> {
        self.over(target)
            .find(|exemption| exemption.is_in_force(now))
    }

    /// Those whose time has come.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Exemption> {
        let due = self.all.values().filter(|it| it.until <= now);
        due.cloned().collect()
    }

    /// When the next one ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.all.values().map(|exemption| exemption.until).min()
    }

    /// Adds one, or puts it in the place of what was known of it; one that has ended is forgotten.
    pub fn put(&mut self, exemption: Exemption) {
        if exemption.ended.is_some() {
            self.all.remove(&exemption.id);
            self.by_prefix.remove(exemption.prefix);
        } else {
            self.by_prefix.insert(exemption.prefix, exemption.id);
            self.all.insert(exemption.id, exemption);
        }
    }
}

impl FromIterator<Exemption> for Exemptions {
    fn from_iter<T: IntoIterator<Item = Exemption>>(exemptions: T) -> Self {
        let mut all = Self::default();
        for exemption in exemptions {
            all.put(exemption);
        }
        all
    }
}

impl fmt::Display for ExemptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A day means its end in UTC; that day itself is part of it.
fn read_day(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.trim().parse::<Timestamp>() {
        return Some(at);
    }
    let day: civil::Date = text.trim().parse().ok()?;
    let zoned = day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// Longest life of an exemption.
pub const LONGEST_EXEMPTION: &str = "366d";
const REFERENCE_OCTETS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn request(target: &str) -> ExemptionRequest {
        ExemptionRequest {
            target: target.to_owned(),
            reference: String::from("contract 17"),
            reason: String::from("sends for a bank"),
            actor: String::from("alice"),
            life: Some(String::from("30d")),
            ..ExemptionRequest::default()
        }
    }

    fn read(id: u32, target: &str) -> Exemption {
        let read = request(target).read(now()).unwrap();
        let id = ExemptionId(id);
        Exemption { id, ..read }
    }

    #[test]
    fn an_end_is_a_day_a_time_or_a_life() {
        let until = |until: Option<&str>, life: Option<&str>| {
            let request = ExemptionRequest {
                until: until.map(str::to_owned),
                life: life.map(str::to_owned),
                ..request("192.0.2.10")
            };
            request.read(now()).map(|it| it.until.to_string())
        };
        let ends = |at: &str| Ok(at.to_owned());
        assert_eq!(
            until(Some("2026-03-31"), None),
            ends("2026-04-01T00:00:00Z")
        );
        assert_eq!(
            until(Some("2026-03-01"), None),
            ends("2026-03-02T00:00:00Z")
        );
        assert_eq!(
            until(Some("2026-03-31T08:00:00Z"), None),
            ends("2026-03-31T08:00:00Z")
        );
        assert_eq!(until(None, Some("24h")), ends("2026-03-02T12:00:00Z"));
        for (day, life, words) in [
            (None, None, "needs an end"),
            (Some("2026-03-31"), Some("1d"), "needs an end"),
            (Some("2026-02-28"), None, "over already"),
            (None, Some("-1d"), "over already"),
            (Some("soon"), None, "allowed are a day"),
            (Some("2027-03-04"), None, "at most 366d"),
            (None, Some("367d"), "at most 366d"),
        ] {
            let refusal = until(day, life).unwrap_err().to_string();
            assert!(refusal.contains(words), "{day:?} {life:?}: {refusal}");
        }
    }

    #[test]
    fn it_protects_once_a_second_person_has_approved_it_and_until_its_end() {
        let asked = read(1, "192.0.2.0/28");
        assert!(!asked.is_in_force(now()));
        let refused = asked.approved("ALICE", now()).unwrap_err().to_string();
        assert!(refused.contains("somebody else"), "{refused}");
        let approved = asked.approved("bob", now()).unwrap();
        assert!(approved.is_in_force(now()));
        assert!(!approved.is_in_force(approved.until));
        let refused = approved.approved("carol", now()).unwrap_err().to_string();
        assert!(refused.contains("bob has approved"), "{refused}");
    }

    #[test]
    fn whatever_touches_it_is_kept_free() {
        let approve = |it: Exemption| it.approved("bob", now()).unwrap();
        let mut all: Exemptions = [
            approve(read(1, "192.0.2.16/28")),
            approve(read(2, "2001:db8:a:a::10")),
            read(3, "192.0.2.64/28"),
        ]
        .into_iter()
        .collect();
        let number = |all: &Exemptions, target: &str| {
            let target = target.parse().unwrap();
            all.forbids(target, now()).map(|it| it.id.0)
        };
        for (target, expected) in [
            ("192.0.2.20/32", Some(1)),
            ("192.0.2.16/28", Some(1)),
            ("192.0.2.0/24", Some(1)),
            ("192.0.2.0/28", None),
            ("192.0.2.64/32", None),
            ("2001:db8:a:a::/64", Some(2)),
            ("2001:db8:a:a::77/128", Some(2)),
            ("2001:db8:a:b::/64", None),
        ] {
            assert_eq!(number(&all, target), expected, "{target}");
        }
        let ended = Exemption {
            ended: Some(Ended {
                at: now(),
                by: String::from("bob"),
                reason: String::from("over"),
            }),
            ..all.get(ExemptionId(1)).cloned().unwrap()
        };
        all.put(ended);
        assert_eq!(number(&all, "192.0.2.20/32"), None);
        assert_eq!(all.len(), 2);
    }
}
