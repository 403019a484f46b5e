//! `[behaviour]` and, in `identity`, `[[identity]]`: what one customer may do, what is found suspicious, and which site of a
//! shared host a message comes from.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use contract::LimitsName;
use relay_proto::behaviour::{Distinct, Limits, Measure, Name, Period, texts};
use serde::Deserialize;

use super::Invalid;

mod identity;

pub(super) use identity::RawIdentity;
pub use identity::{IdentityBy, IdentityRule};

/// What one customer may do, and how much of it is remembered.
#[derive(Debug, Clone)]
pub struct BehaviourConfig {
    /// Limits are in force, and findings are told; otherwise all of it is only counted.
    pub enforce: bool,
    /// What a customer hears that has reached a limit.
    pub over: Over,
    /// So many customers are remembered.
    pub customers: usize,
    /// IPv6 addresses that share so many bits are one customer.
    pub ipv6_prefix: u8,
    /// Of each customer.
    pub limits: Limits,
    /// Of those whose flag has the name.
    pub named_limits: BTreeMap<LimitsName, Limits>,
    /// Of each site inside of one.
    pub identity_limits: Limits,
    /// What is found to be spam, or like it.
    pub suspicion: Suspicion,
    /// What tells one site of a shared host from the others; all that fit count.
    pub identities: Vec<IdentityRule>,
}

/// What a customer hears that has reached a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// 4xx: its own queue tries again.
    Defer,
    /// 5xx: its senders are told at once.
    Refuse,
}

/// From when on something is a finding; what becomes of the message then is the verdict's.
#[derive(Debug, Clone)]
pub struct Suspicion {
    /// Fewer answers of servers in an hour say nothing.
    pub answers_min: u64,
    /// The share of them that says that there is no such user; more than 1 = never.
    pub unknown_share: f64,
    /// The share that is a refusal by policy; more than 1 = never.
    pub refused_share: f64,
    /// So many customers have sent the same text in an hour; `None` = it does not matter.
    pub same_text_customers: Option<NonZeroU64>,
    /// One customer has sent the same text to so many in an hour; `None` = it does not matter.
    pub same_text_recipients: Option<NonZeroU64>,
    /// So many texts are remembered.
    pub texts: usize,
}

/// `[behaviour]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBehaviour {
    enforce: bool,
    over: String,
    customers: usize,
    ipv6_prefix: u8,
    limits: BTreeMap<String, u64>,
    named_limits: BTreeMap<String, BTreeMap<String, u64>>,
    identity_limits: BTreeMap<String, u64>,
    answers_min: u64,
    unknown_share: f64,
    refused_share: f64,
    same_text_customers: u64,
    same_text_recipients: u64,
    texts: usize,
}

impl Default for RawBehaviour {
    fn default() -> Self {
        Self {
            enforce: true,
            over: "defer".into(),
            customers: 4096,
            ipv6_prefix: 64,
            limits: BTreeMap::new(),
            named_limits: BTreeMap::new(),
            identity_limits: BTreeMap::new(),
            answers_min: 50,
            unknown_share: 0.5,
            refused_share: 0.5,
            // What programs write for their owners is the same from many honest hosts.
            same_text_customers: 0,
            same_text_recipients: 0,
            texts: 16_384,
        }
    }
}

impl RawBehaviour {
    pub(super) fn check(
        self,
        identities: Vec<RawIdentity>,
        message_octets_max: u64,
    ) -> Result<BehaviourConfig, Invalid> {
        let over = match self.over.as_str() {
            "defer" => Over::Defer,
            "refuse" => Over::Refuse,
            other => {
                let problem = "must be \"defer\" (4xx) or \"refuse\" (5xx)";
                return Err(Invalid::new("behaviour.over", other, problem));
            }
        };
        if !(1..=CUSTOMERS_MAX).contains(&self.customers) {
            let problem = format!("must be between 1 and {CUSTOMERS_MAX}");
            return Err(Invalid::new("behaviour.customers", self.customers, problem));
        }
        if !(32..=128).contains(&self.ipv6_prefix) {
            let problem = "must be between 32 and 128 bits";
            let key = "behaviour.ipv6_prefix";
            return Err(Invalid::new(key, self.ipv6_prefix, problem));
        }
        if self.answers_min == 0 {
            let problem = "must be at least 1: a share of nothing says nothing";
            return Err(Invalid::new("behaviour.answers_min", 0, problem));
        }
        if self.same_text_customers > texts::SENDERS_MAX as u64 {
            let problem = format!(
                "must be at most {}: of more the relay remembers none (0 = it does not matter)",
                texts::SENDERS_MAX
            );
            let key = "behaviour.same_text_customers";
            return Err(Invalid::new(key, self.same_text_customers, problem));
        }
        if !(1..=TEXTS_MAX).contains(&self.texts) {
            let problem = format!("must be between 1 and {TEXTS_MAX}");
            return Err(Invalid::new("behaviour.texts", self.texts, problem));
        }
        if identities.len() > IDENTITIES_MAX {
            let problem = format!("must appear at most {IDENTITIES_MAX} times");
            return Err(Invalid::new("identity", identities.len(), problem));
        }
        let mut limits = Limits::default();
        for (name, limit) in GENEROUS {
            limits.set(name, NonZeroU64::new(limit));
        }
        set(
            &mut limits,
            "behaviour.limits",
            &self.limits,
            message_octets_max,
        )?;
        let named_limits = named(&limits, &self.named_limits, message_octets_max)?;
        let mut identity_limits = Limits::default();
        let key = "behaviour.identity_limits";
        set(
            &mut identity_limits,
            key,
            &self.identity_limits,
            message_octets_max,
        )?;
        let identities = identities.into_iter().map(RawIdentity::check);
        Ok(BehaviourConfig {
            enforce: self.enforce,
            over,
            customers: self.customers,
            ipv6_prefix: self.ipv6_prefix,
            limits,
            named_limits,
            identity_limits,
            suspicion: Suspicion {
                answers_min: self.answers_min,
                unknown_share: share("behaviour.unknown_share", self.unknown_share)?,
                refused_share: share("behaviour.refused_share", self.refused_share)?,
                same_text_customers: NonZeroU64::new(self.same_text_customers),
                same_text_recipients: NonZeroU64::new(self.same_text_recipients),
                texts: self.texts,
            },
            identities: identities.collect::<Result<_, _>>()?,
        })
    }
}

/// What a name does not say is as for everybody.
fn named(
    everybodys: &Limits,
    tables: &BTreeMap<String, BTreeMap<String, u64>>,
    message_octets_max: u64,
) -> Result<BTreeMap<LimitsName, Limits>, Invalid> {
    let own = |(text, table): (&String, &BTreeMap<String, u64>)| {
        let name = text.parse::<LimitsName>();
        let name = name.map_err(|allowed| Invalid::new("behaviour.named_limits", text, allowed))?;
        let mut limits = *everybodys;
        let key = format!("behaviour.named_limits.{name}");
        set(&mut limits, &key, table, message_octets_max)?;
        Ok((name, limits))
    };
    tables.iter().map(own).collect()
}

fn set(
    limits: &mut Limits,
    table: &str,
    named: &BTreeMap<String, u64>,
    message_octets_max: u64,
) -> Result<(), Invalid> {
    for (key, &limit) in named {
        let of_identities = table.ends_with("identity_limits");
        let fits = |name: &Name| match name {
            // A site makes no connections, and its addresses are not remembered.
            Name::Rate(Measure::Connections, _) | Name::Distinct(..) => !of_identities,
            Name::Rate(..) => true,
        };
        let Some(name) = Name::all()
            .filter(fits)
            .find(|name| name.to_string() == *key)
        else {
            let all: Vec<_> = Name::all().filter(fits).map(|it| it.to_string()).collect();
            let problem = format!("is no limit; there are {}", all.join(", "));
            return Err(Invalid::new(&format!("{table}.{key}"), limit, problem));
        };
        let is_octets = matches!(name, Name::Rate(Measure::Octets, _));
        if is_octets && limit > 0 && limit < message_octets_max {
            let problem = format!(
                "must be at least message.max_octets ({message_octets_max}), or 0 for no limit: a message of that \
                 size would never pass"
            );
            return Err(Invalid::new(&format!("{table}.{key}"), limit, problem));
        }
        limits.set(name, NonZeroU64::new(limit));
    }
    Ok(())
}

fn share(key: &str, share: f64) -> Result<f64, Invalid> {
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else if share.abs() < f64::EPSILON {
        // No share is more than that.
        Ok(f64::INFINITY)
    } else {
        let problem = "must be between 0 and 1, as 0.5; 0 = it does not matter";
        Err(Invalid::new(key, share, problem))
    }
}

/// More than a busy honest host sends; what is more than this is worth a question.
const GENEROUS: [(Name, u64); 11] = [
    (Name::Rate(Measure::Connections, Period::Minute), 600),
    (Name::Rate(Measure::Connections, Period::Hour), 10_000),
    (Name::Rate(Measure::Messages, Period::Minute), 600),
    (Name::Rate(Measure::Messages, Period::Hour), 10_000),
    (Name::Rate(Measure::Messages, Period::Day), 50_000),
    (Name::Rate(Measure::Recipients, Period::Hour), 20_000),
    (Name::Rate(Measure::Recipients, Period::Day), 100_000),
    (Name::Rate(Measure::Octets, Period::Day), 100 << 30),
    (Name::Distinct(Distinct::Recipients, Period::Hour), 10_000),
    (Name::Distinct(Distinct::Recipients, Period::Day), 50_000),
    (Name::Distinct(Distinct::Senders, Period::Hour), 2000),
];
const CUSTOMERS_MAX: usize = 1_000_000;
const TEXTS_MAX: usize = 1_000_000;
/// Each is looked for in the header of each message.
const IDENTITIES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<BehaviourConfig, Invalid> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            behaviour: RawBehaviour,
            #[serde(default)]
            identity: Vec<RawIdentity>,
        }
        let file: File = toml::from_str(text).unwrap();
        file.behaviour.check(file.identity, 50 << 20)
    }

    #[test]
    fn what_is_not_said_is_generous() {
        let config = check("").unwrap();
        let mut limits = Limits::default();
        for (name, limit) in GENEROUS {
            limits.set(name, NonZeroU64::new(limit));
        }
        assert_eq!(config.limits, limits);
        assert_eq!(config.identity_limits, Limits::default());
        assert!(config.enforce && config.over == Over::Defer);
        let config =
            check("[behaviour.limits]\nmessages_per_hour = 0\nmessages_per_day = 7").unwrap();
        limits.set(Name::Rate(Measure::Messages, Period::Hour), None);
        limits.set(
            Name::Rate(Measure::Messages, Period::Day),
            NonZeroU64::new(7),
        );
        assert_eq!(config.limits, limits);
    }

    #[test]
    fn what_a_name_does_not_say_is_as_for_everybody() {
        let config = check(
            "[behaviour.limits]\nmessages_per_day = 7\n[behaviour.named_limits.small]\nmessages_per_hour = 2\n\
             [behaviour.named_limits.bulk]\nmessages_per_day = 0\n",
        );
        let config = config.unwrap();
        let of = |name: &str| config.named_limits[&name.parse().unwrap()];
        let mut small = config.limits;
        small.set(
            Name::Rate(Measure::Messages, Period::Hour),
            NonZeroU64::new(2),
        );
        assert_eq!(of("small"), small);
        let mut bulk = config.limits;
        bulk.set(Name::Rate(Measure::Messages, Period::Day), None);
        assert_eq!(of("bulk"), bulk);
    }

    #[test]
    fn identities_are_told_by_what_the_rules_name() {
        let config = check(
            "[[identity]]\nby = \"header\"\nheader = \"X-PHP-Originating-Script\"\nfrom = [\"192.0.2.0/24\"]\n\
             [[identity]]\nby = \"sender-domain\"",
        );
        let identities = config.unwrap().identities;
        let script = IdentityBy::Header("X-PHP-Originating-Script".into());
        assert_eq!(identities[0].by, script);
        assert_eq!(identities[0].from.len(), 1);
        assert_eq!(identities[1].by, IdentityBy::SenderDomain);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, key) in [
            ("[behaviour]\nover = \"drop\"", "behaviour.over"),
            ("[behaviour]\ncustomers = 0", "behaviour.customers"),
            ("[behaviour]\nipv6_prefix = 129", "behaviour.ipv6_prefix"),
            ("[behaviour]\nanswers_min = 0", "behaviour.answers_min"),
            (
                "[behaviour]\nunknown_share = 1.5",
                "behaviour.unknown_share",
            ),
            (
                "[behaviour]\nrefused_share = -0.5",
                "behaviour.refused_share",
            ),
            (
                "[behaviour]\nsame_text_customers = 33",
                "behaviour.same_text_customers",
            ),
            ("[behaviour]\ntexts = 0", "behaviour.texts"),
            (
                "[behaviour.limits]\nmessages_per_year = 1",
                "behaviour.limits.messages_per_year",
            ),
            (
                "[behaviour.limits]\noctets_per_hour = 1000",
                "behaviour.limits.octets_per_hour",
            ),
            (
                "[behaviour.identity_limits]\nconnections_per_hour = 1",
                "behaviour.identity_limits.connections_per_hour",
            ),
            (
                "[behaviour.named_limits.small]\nmessages_per_year = 1",
                "behaviour.named_limits.small.messages_per_year",
            ),
            (
                "[behaviour.named_limits.Small]\nmessages_per_day = 1",
                "behaviour.named_limits",
            ),
            ("[[identity]]\nby = \"name\"", "identity.by"),
            ("[[identity]]\nby = \"header\"", "identity.header"),
            (
                "[[identity]]\nby = \"header\"\nheader = \"X Y\"",
                "identity.header",
            ),
            (
                "[[identity]]\nby = \"user\"\nheader = \"X-Y\"",
                "identity.header",
            ),
            (
                "[[identity]]\nby = \"user\"\nfrom = [\"all\"]",
                "identity.from",
            ),
        ] {
            assert_eq!(check(text).unwrap_err().key, key, "{text}");
        }
    }
}
