//! Bypasses: destinations that nobody is redirected away from, as the submission service of a provider.
//!
//! A [`BypassRequest`] is what a person asks for; [`BypassRequest::read`] is its only way in. [`Bypasses`] is all that
//! stand. They concern redirects alone: whoever is refused, limited or dropped is so wherever the mail goes.

use std::{collections::BTreeMap, fmt};

use ipnetwork::IpNetwork;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    dial::{
        Ended, REASON_OCTETS, Refusal, duration, line, read_target,
        term::{EVER, read_person},
    },
    prefixes::Prefixes,
};

/// Number of a bypass; never 0, never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct BypassId(pub u32);

/// What `POST /v1/bypasses` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BypassRequest {
    /// Destination, an address or prefix. An IPv6 address means itself.
    #[schema(example = "203.0.113.25")]
    pub destination: String,
    /// Why, for people.
    #[serde(default)]
    #[schema(example = "smarthost of Example Ltd")]
    pub why: String,
    /// Who; a person or a program.
    #[serde(default)]
    pub actor: String,
    /// Its life, as `30d`, or `ever`; default `90d`.
    #[serde(rename = "for")]
    #[schema(example = "30d")]
    pub life: Option<String>,
}

/// One bypass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass {
    /// Number.
    pub id: BypassId,
    /// The destination; network bits only.
    pub prefix: IpNetwork,
    /// Why.
    pub why: String,
    /// Who has added it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself; `None` = never.
    pub until: Option<Timestamp>,
    /// Its end, if it has ended.
    pub ended: Option<Ended>,
}

/// All that stand.
#[derive(Clone, Debug, Default)]
pub struct Bypasses {
    all: BTreeMap<BypassId, Bypass>,
    by_prefix: Prefixes<BypassId>,
}

impl BypassRequest {
    /// Reads it; its number is given by the store.
    ///
    /// # Errors
    ///
    /// [`Refusal`] names the field.
    pub fn read(&self, now: Timestamp) -> Result<Bypass, Refusal> {
        if self.why.trim().is_empty() {
            let text = "a bypass needs its reason (--why), for whoever looks at it later";
            return Err(Refusal::Guard(String::from(text)));
        }
        let prefix = read_target(&self.destination, true)?;
        let shortest = if prefix.is_ipv4() {
            SHORTEST4
        } else {
            SHORTEST6
        };
        if prefix.prefix() < shortest {
            return Err(Refusal::Guard(format!(
                "{prefix} is a good part of the internet, and no flag would mean anything there; at most a /{shortest}"
            )));
        }
        Ok(Bypass {
            id: BypassId(0),
            prefix,
            why: line("why", &self.why, REASON_OCTETS)?,
            actor: read_person(&self.actor)?,
            created_at: now,
            until: self.end(now)?,
            ended: None,
        })
    }

    fn end(&self, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        let life = self.life.as_deref().unwrap_or(DEFAULT_BYPASS).trim();
        if life == EVER {
            return Ok(None);
        }
        let length = duration(life).filter(SignedDuration::is_positive);
        let until = length.and_then(|length| now.checked_add(length).ok());
        let until = until.ok_or_else(|| {
            Refusal::Usage(format!(
                "--for {life}: neither a duration, as 24h or 30d, nor {EVER}"
            ))
        })?;
        Ok(Some(until))
    }
}

impl Bypass {
    /// Whether nobody is redirected away from there.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.until.is_none_or(|until| now < until)
    }

    /// As an explanation says it.
    #[must_use]
    pub fn in_words(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {until}"),
            None => String::from("for ever"),
        };
        format!(
            "bypass {} on {}, {until}: {}",
            self.id, self.prefix, self.why
        )
    }
}

impl Bypasses {
    /// One of them.
    #[must_use]
    pub fn get(&self, id: BypassId) -> Option<&Bypass> {
        self.all.get(&id)
    }

    /// The one of exactly this prefix.
    #[must_use]
    pub fn on(&self, prefix: IpNetwork) -> Option<&Bypass> {
        self.all.get(self.by_prefix.on(prefix)?)
    }

    /// The one in force over a destination, the most specific of several.
    #[must_use]
    pub fn over(&self, destination: IpNetwork, now: Timestamp) -> Option<&Bypass> {
        let over = self.by_prefix.over(destination);
        let mut over = over.filter_map(|(_, id)| self.all.get(id));
        over.find(|bypass| bypass.is_in_force(now))
    }

    /// Those that are in force.
    pub fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &Bypass> {
        self.all.values().filter(move |it| it.is_in_force(now))
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

    /// Those whose time has come.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Bypass> {
        let due = self.all.values().filter(|it| !it.is_in_force(now));
        due.cloned().collect()
    }

    /// When the next one ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.all.values().filter_map(|bypass| bypass.until).min()
    }

    /// Adds one; one that has ended is forgotten.
    pub fn put(&mut self, bypass: Bypass) {
        if bypass.ended.is_some() {
            self.all.remove(&bypass.id);
            self.by_prefix.remove(bypass.prefix);
        } else {
            self.by_prefix.insert(bypass.prefix, bypass.id);
            self.all.insert(bypass.id, bypass);
        }
    }
}

impl FromIterator<Bypass> for Bypasses {
    fn from_iter<T: IntoIterator<Item = Bypass>>(bypasses: T) -> Self {
        let mut all = Self::default();
        for bypass in bypasses {
            all.put(bypass);
        }
        all
    }
}

impl fmt::Display for BypassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Life of a bypass when nothing is said: one that was forgotten should not stay for ever.
pub const DEFAULT_BYPASS: &str = "90d";
const SHORTEST4: u8 = 8;
const SHORTEST6: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn read(destination: &str, life: Option<&str>) -> Result<Bypass, Refusal> {
        let request = BypassRequest {
            destination: destination.to_owned(),
            why: String::from("smarthost"),
            actor: String::from("alice"),
            life: life.map(str::to_owned),
        };
        request.read(now())
    }

    #[test]
    fn a_destination_is_itself_and_ends_or_not() {
        let bypass = read("2001:db8:b::25", None).unwrap();
        assert_eq!(bypass.prefix.to_string(), "2001:db8:b::25/128");
        assert_eq!(bypass.until.unwrap().to_string(), "2026-05-30T12:00:00Z");
        assert!(bypass.is_in_force(now()));
        assert!(!bypass.is_in_force(bypass.until.unwrap()));
        let ever = read("203.0.113.0/24", Some("ever")).unwrap();
        assert_eq!(ever.until, None);
        assert!(ever.is_in_force("2999-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_spares_too_much_or_ends_before_it_begins_is_refused() {
        for (destination, life, words) in [
            ("0.0.0.0/0", None, "at most a /8"),
            ("2000::/3", None, "at most a /16"),
            ("203.0.113.1/24", None, "the prefix is 203.0.113.0/24"),
            ("mx.example.net", None, "neither an address nor a prefix"),
            ("203.0.113.1", Some("0s"), "neither a duration"),
            ("203.0.113.1", Some("soon"), "neither a duration"),
        ] {
            let refusal = read(destination, life).unwrap_err().to_string();
            assert!(refusal.contains(words), "{destination}: {refusal}");
        }
        let silent = BypassRequest {
            destination: String::from("203.0.113.1"),
            actor: String::from("alice"),
            ..BypassRequest::default()
        };
        assert!(matches!(silent.read(now()), Err(Refusal::Guard(_))));
    }

    #[test]
    fn the_most_specific_one_is_named() {
        let numbered = |id, destination| Bypass {
            id: BypassId(id),
            ..read(destination, Some("1d")).unwrap()
        };
        let mut all: Bypasses = [numbered(1, "203.0.113.0/24"), numbered(2, "203.0.113.25")]
            .into_iter()
            .collect();
        let over = |all: &Bypasses, address: &str| {
            all.over(address.parse().unwrap(), now()).map(|it| it.id.0)
        };
        assert_eq!(over(&all, "203.0.113.25"), Some(2));
        assert_eq!(over(&all, "203.0.113.26"), Some(1));
        assert_eq!(over(&all, "198.51.100.1"), None);
        assert!(all.due(now()).is_empty());
        let end = all.next_end().unwrap();
        assert_eq!(all.due(end).len(), 2);
        let ended = Bypass {
            ended: Some(Ended {
                at: end,
                by: String::from("outgated"),
                reason: String::from("over"),
            }),
            ..numbered(2, "203.0.113.25")
        };
        all.put(ended);
        assert_eq!(over(&all, "203.0.113.25"), Some(1));
        assert_eq!((all.len(), all.is_empty()), (1, false));
    }
}
