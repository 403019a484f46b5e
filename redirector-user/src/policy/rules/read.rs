//! The judgement over a file of rules: all of it or nothing.

use std::{collections::BTreeSet, fmt, num::NonZeroU32, ops::RangeInclusive, time::Duration};

use ipnetwork::IpNetwork;
use jiff::{Span, SpanRelativeTo};
use toml::de::{DeTable, DeValue};

use super::{
    Condition, Rule, RuleSet, Scope, Template, Terms, Then, When, in_words,
    raw::{RawCaps, RawRule, RawRules, RawScope, RawThen, RawWhen},
};
use crate::policy::{
    dial::{Action, DEFAULT_LIFE, FlagRequest, Height, PoolTerms, Refusal, read_action},
    guards::Caps,
};

/// What is wrong with a file of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field}: {problem}")]
pub struct Wrong {
    /// Number of the line, from 1.
    pub line: usize,
    /// Path of the key, as `rule[0].then.ttl`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

impl RuleSet {
    /// Reads a file; `pools` are the configured ones in order.
    ///
    /// # Errors
    ///
    /// [`Wrong`], about the first thing that is.
    pub fn parse(text: &str, pools: &[PoolTerms]) -> Result<Self, Wrong> {
        let raw: RawRules = toml::from_str(text).map_err(|error| {
            let (field, _, problem) = crate::config::key_of(text, &error);
            let at = error.span().map_or(0, |span| span.start);
            Wrong {
                line: line_of(text, at),
                field,
                problem,
            }
        })?;
        read(raw, pools).map_err(|Fault { field, problem }| Wrong {
            line: line_of(text, place_of(text, &field).unwrap_or_default()),
            field,
            problem,
        })
    }
}

/// What is wrong, before its line is known.
struct Fault {
    field: String,
    problem: String,
}

fn fault(field: impl Into<String>, problem: impl fmt::Display) -> Fault {
    Fault {
        field: field.into(),
        problem: problem.to_string(),
    }
}

fn read(raw: RawRules, pools: &[PoolTerms]) -> Result<RuleSet, Fault> {
    let overall = RawCaps {
        new_flags_per_minute: raw.caps.new_flags_per_minute.or(Some(PER_MINUTE)),
        share_of_prefix: raw.caps.share_of_prefix.or(Some(SHARE)),
    };
    let caps = caps("caps", &overall)?;
    if raw.rule.len() > RULES_MOST {
        return Err(fault("rule", format!("at most {RULES_MOST} rules")));
    }
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (index, raw) in raw.rule.into_iter().enumerate() {
        let rule = rule(&format!("rule[{index}]"), raw, pools)?;
        if !names.insert(rule.name.clone()) {
            let problem = format!("{} is the name of a rule above, too", rule.name);
            return Err(fault(format!("rule[{index}].name"), problem));
        }
        rules.push(rule);
    }
    Ok(RuleSet { caps, rules })
}

fn rule(at: &str, raw: RawRule, pools: &[PoolTerms]) -> Result<Rule, Fault> {
    let key = |field: &str| format!("{at}.{field}");
    let probation = raw.probation.as_deref();
    let probation = probation.map(|text| span(key("probation"), text, TTLS));
    let max_lifts = raw.max_lifts.map(|most| {
        let problem = format!("{most}: allowed are 1 to 1000");
        let read = u32::try_from(most).ok();
        read.filter(|most| (1..=1000).contains(most))
            .ok_or_else(|| fault(key("max_lifts"), problem))
    });
    let rule = Rule {
        name: name(key("name"), raw.name)?,
        window: span(key("window"), &raw.window, WINDOWS)?,
        held_for: span(key("for"), &raw.held_for, HELD)?,
        when: when(&key("when"), &raw.when)?,
        scope: scope(&key("scope"), &raw.scope)?,
        then: then(&key("then"), raw.then, pools)?,
        caps: caps(&key("caps"), &raw.caps)?,
        probation: probation.transpose()?,
        probation_factor: factor(key("probation_factor"), raw.probation_factor)?,
        max_lifts: max_lifts.transpose()?,
    };
    let raises = matches!(rule.then, Then::Raise(_));
    let strays = [
        ("probation", rule.probation.is_some()),
        ("probation_factor", raw.probation_factor.is_some()),
        ("max_lifts", rule.max_lifts.is_some()),
    ];
    let stray = strays.iter().find(|(_, given)| *given && !raises);
    if let Some((field, _)) = stray {
        let problem = "belongs to the rule that raises the dial, whose flags it is about";
        return Err(fault(key(field), problem));
    }
    if raw.probation_factor.is_some() && rule.probation.is_none() {
        let problem = "without a probation there is nothing that it applies to";
        return Err(fault(key("probation_factor"), problem));
    }
    Ok(rule)
}

fn name(field: String, name: String) -> Result<String, Fault> {
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    if (1..=NAME_OCTETS).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    let allowed = format!("allowed are 1 to {NAME_OCTETS} letters, digits, '-', '_' and '.'");
    Err(fault(field, format!("{name:?}: {allowed}")))
}

fn when(at: &str, raw: &RawWhen) -> Result<When, Fault> {
    let conditions = |kind: &str, texts: &[String]| -> Result<Vec<Condition>, Fault> {
        let read = texts.iter().enumerate().map(|(index, text)| {
            let wrong = |problem| {
                fault(
                    format!("{at}.{kind}[{index}]"),
                    format!("{text:?}: {problem}"),
                )
            };
            text.parse().map_err(wrong)
        });
        read.collect()
    };
    let when = When {
        all: conditions("all", &raw.all)?,
        any: conditions("any", &raw.any)?,
    };
    match when.conditions().count() {
        1..=CONDITIONS_MOST => Ok(when),
        _ => {
            let allowed = format!("allowed are 1 to {CONDITIONS_MOST} conditions, in all and any");
            Err(fault(at, allowed))
        }
    }
}

fn scope(at: &str, raw: &RawScope) -> Result<Scope, Fault> {
    let prefixes = |kind: &str, texts: &[String]| -> Result<Vec<IpNetwork>, Fault> {
        let read = texts.iter().enumerate().map(|(index, text)| {
            let read = text.parse::<IpNetwork>().ok();
            let read = read.filter(|prefix| prefix.ip() == prefix.network());
            let problem =
                format!("{text:?}: allowed is a prefix without host bits, as 192.0.2.0/24");
            read.ok_or_else(|| fault(format!("{at}.{kind}[{index}]"), problem))
        });
        read.collect()
    };
    let present = raw.present.iter().enumerate().map(|(index, text)| {
        Height::from_name(text).ok_or_else(|| {
            let known = Height::ALL.map(Height::name).join(", ");
            let problem = format!("{text:?}: allowed are {known}");
            fault(format!("{at}.present[{index}]"), problem)
        })
    });
    Ok(Scope {
        prefixes: prefixes("prefixes", &raw.prefixes)?,
        except: prefixes("except", &raw.except)?,
        present: present.collect::<Result<_, _>>()?,
    })
}

fn then(at: &str, raw: RawThen, pools: &[PoolTerms]) -> Result<Then, Fault> {
    let key = |field: &str| format!("{at}.{field}");
    let given = [
        ("action", raw.action.is_some()),
        ("pool", raw.pool.is_some()),
        ("treatment", raw.treatment.is_some()),
        ("egress", raw.egress.is_some()),
        ("delivery", raw.delivery.is_some()),
        ("tier", raw.tier.is_some()),
        ("limits", raw.limits.is_some()),
        ("confirmed", raw.confirmed),
        ("rate", raw.rate.is_some()),
        ("burst", raw.burst.is_some()),
        ("cut", raw.cut),
        ("ttl", raw.ttl.is_some()),
    ];
    match raw.dial.as_str() {
        "lift" => match given.iter().find(|(_, given)| *given) {
            Some((field, _)) => Err(fault(key(field), "a rule that lifts makes no flag")),
            None => Ok(Then::Lift),
        },
        "raise" => Ok(Then::Raise(terms(&key, raw, pools)?)),
        "lower" => Ok(Then::Lower(terms(&key, raw, pools)?)),
        other => {
            let problem = format!("{other:?}: allowed are raise, lower and lift");
            Err(fault(key("dial"), problem))
        }
    }
}

fn terms(key: &impl Fn(&str) -> String, raw: RawThen, pools: &[PoolTerms]) -> Result<Terms, Fault> {
    let action = raw.action.ok_or_else(|| {
        let problem = "missing; allowed are observe, limit, redirect, refuse, reset and drop";
        fault(key("action"), problem)
    })?;
    let ttl = raw.ttl.unwrap_or_else(|| String::from(DEFAULT_LIFE));
    span(key("ttl"), &ttl, TTLS)?;
    let reason = raw.reason.ok_or_else(|| {
        let problem = "missing; it is what the customer reads and what the trail keeps";
        fault(key("reason"), problem)
    })?;
    let request = FlagRequest {
        action: Some(action),
        pool: raw.pool,
        treatment: raw.treatment,
        egress: raw.egress,
        delivery: raw.delivery,
        tier: raw.tier,
        limits: raw.limits,
        confirmed: raw.confirmed,
        rate: raw.rate,
        burst: raw.burst,
        cut: raw.cut,
        life: Some(ttl),
        ..FlagRequest::default()
    };
    let action = read_action(&request, pools).map_err(|refusal| match refusal {
        Refusal::Usage(problem) | Refusal::Guard(problem) => fault(key("action"), problem),
    })?;
    if action == Action::Pass {
        let problem =
            "pass is an exemption, which only a person gives; dial = \"lift\" lifts a rule's flag";
        return Err(fault(key("action"), problem));
    }
    Ok(Terms {
        height: Height::of(&action),
        action,
        reason: Template::read(&reason).map_err(|problem| fault(key("reason"), problem))?,
        request,
    })
}

fn caps(at: &str, raw: &RawCaps) -> Result<Caps, Fault> {
    let per_minute = raw.new_flags_per_minute.map(|most| {
        let read = u32::try_from(most).ok().and_then(NonZeroU32::new);
        let problem = format!(
            "{most}: allowed are 1 to {}; `outgate rules freeze` is 0",
            u32::MAX
        );
        read.ok_or_else(|| fault(format!("{at}.new_flags_per_minute"), problem))
    });
    let share = raw.share_of_prefix.map(|share| match share {
        share if share > 0.0 && share <= 1.0 => Ok(share),
        share => {
            let problem = format!("{share}: allowed are shares above 0 and at most 1, as 0.05");
            Err(fault(format!("{at}.share_of_prefix"), problem))
        }
    });
    Ok(Caps {
        per_minute: per_minute.transpose()?,
        share: share.transpose()?,
    })
}

fn factor(field: String, raw: Option<f64>) -> Result<f64, Fault> {
    match raw.unwrap_or(PROBATION_FACTOR) {
        factor if factor > 0.0 && factor <= 1.0 => Ok(factor),
        factor => {
            let problem = format!("{factor}: allowed are numbers above 0 and at most 1, as 0.5");
            Err(fault(field, problem))
        }
    }
}

fn span(field: String, text: &str, range: RangeInclusive<u64>) -> Result<Duration, Fault> {
    let read = text.parse::<Span>().ok();
    let read = read.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let read = read.and_then(|span| Duration::try_from(span).ok());
    let read = read.filter(|span| range.contains(&span.as_secs()) && span.subsec_nanos() == 0);
    let words = |seconds: &u64| in_words(Duration::from_secs(*seconds));
    let (least, most) = (words(range.start()), words(range.end()));
    let problem =
        format!("{text:?}: allowed are whole seconds from {least} to {most}, as 90s, 10m or 2h");
    read.ok_or_else(|| fault(field, problem))
}

/// Where the value of a key begins; where the one does that it is missing from.
fn place_of(text: &str, field: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut at = None;
    let mut here: Option<&DeValue<'_>> = None;
    for word in field.split('.') {
        let (name, index) = match word.split_once('[') {
            Some((name, index)) => (name, index.strip_suffix(']')?.parse::<usize>().ok()),
            None => (word, None),
        };
        let next = match here {
            None => table.get_ref().get(name),
            Some(value) => value.as_table().and_then(|table| table.get(name)),
        };
        let Some(next) = next else {
            break;
        };
        at = Some(next.span().start);
        here = Some(next.get_ref());
        if let Some(item) = index.and_then(|index| next.get_ref().as_array()?.get(index)) {
            at = Some(item.span().start);
            here = Some(item.get_ref());
        }
    }
    at
}

fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// As far as the radar remembers, and an answer can wait.
const WINDOWS: RangeInclusive<u64> = 1..=7200;
const HELD: RangeInclusive<u64> = 0..=86_400;
/// As long as flags live.
const TTLS: RangeInclusive<u64> = 1..=90 * 86_400;
const RULES_MOST: usize = 100;
const CONDITIONS_MOST: usize = 16;
/// An actor has at most 100 octets.
const NAME_OCTETS: usize = 64;
/// Caps over all rules when nothing is said.
const PER_MINUTE: i64 = 10;
const SHARE: f64 = 0.05;
const PROBATION_FACTOR: f64 = 0.5;
