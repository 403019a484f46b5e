//! What holds whatever is counted.

use proptest::prelude::*;

use super::*;
use crate::policy::{
    dial::{Action, Ended, Flag, Proposal},
    guards::caps,
    rules::replay::Replay,
};

const RULES: &str = r#"
[caps]
new_flags_per_minute = 3
share_of_prefix = 0.03

[[rule]]
name = "spray"
window = "3m"
for = "1m"
when = { all = ["syns > 100 until 60"] }
probation = "5m"
max_lifts = 2
[rule.then]
action = "limit"
rate = "30/min"
ttl = "4m"
reason = "{syns}"
[rule.caps]
new_flags_per_minute = 2

[[rule]]
name = "worse"
window = "2m"
when = { all = ["syns > 400"] }
[rule.then]
action = "refuse"
ttl = "3m"
reason = "{syns}"

[[rule]]
name = "quiet"
window = "2m"
when = { all = ["syns < 10"] }
[rule.then]
dial = "lift"
"#;

/// SYNs of a dozen customers, minute by minute.
fn course() -> impl Strategy<Value = Vec<Vec<u64>>> {
    let syns = prop_oneof![2 => Just(0_u64), 2 => 0..80_u64, 2 => 80..600_u64];
    prop::collection::vec(prop::collection::vec(syns, 12), 1..30)
}

fn rotations(course: &[Vec<u64>]) -> Vec<Rotation> {
    let minutes = (1..).zip(course);
    let rotations = minutes.map(|(number, counts)| {
        let counts = (1_u8..).zip(counts).filter(|(_, count)| **count > 0);
        let seen = counts.map(|(last, count)| {
            let source = match last % 3 {
                0 => format!("2001:db8:a:{last}::/64"),
                _ => format!("192.0.2.{last}/32"),
            };
            (who(&source), syns(*count))
        });
        Rotation {
            seen: seen.collect(),
            ..Rotation::between(minute(number - 1), minute(number))
        }
    });
    rotations.collect()
}

/// A world that keeps time: flags end, and lead into probation, as the controller has them do.
struct Live {
    toy: Toy,
    until: BTreeMap<IpNetwork, (Timestamp, String)>,
    rules: RuleSet,
}

impl Live {
    fn turn(&mut self, engine: &mut Engine, rotation: &Rotation) -> Vec<Firing> {
        let over: Vec<_> = self
            .until
            .iter()
            .filter(|(_, (until, _))| *until <= rotation.until)
            .map(|(customer, (until, rule))| (*customer, *until, rule.clone()))
            .collect();
        for (customer, until, rule) in over {
            self.end(customer, until, &rule, "expired");
        }
        let fired = turn(engine, &self.toy, rotation);
        self.toy.follow(&fired);
        for firing in fired.iter().filter(|one| one.outcome == Outcome::Due) {
            match &firing.doing {
                Doing::Flag { request, .. } => {
                    let until = Proposal::ends(request, firing.at).unwrap();
                    self.until
                        .insert(firing.customer, (until, firing.rule.clone()));
                }
                Doing::Lift(_) => {
                    let rule = self.until[&firing.customer].1.clone();
                    self.end(firing.customer, firing.at, &rule, "lifted");
                }
            }
        }
        fired
    }

    fn end(&mut self, customer: IpNetwork, at: Timestamp, rule: &str, why: &str) {
        self.until.remove(&customer);
        // One that a rule has lifted is gone already.
        let stood = self.toy.positions.remove(&customer);
        self.toy.last_flag += 1;
        let flag = stood.map_or(FlagId(self.toy.last_flag), |stood| stood.flag);
        let conduct = self.toy.conduct.entry(customer);
        conduct
            .or_insert_with(|| Conduct::fresh(at))
            .ended_by_itself(&Ending {
                flag,
                rule: self.rules.named(rule),
                at,
                by: "outgated",
                why,
            });
    }
}

fn live() -> (Engine, Live) {
    let rules = parse(RULES);
    let live = Live {
        toy: Toy::new(),
        until: BTreeMap::new(),
        rules: rules.clone(),
    };
    (Engine::new(rules), live)
}

/// What two runs must agree in; numbers of flags are the world's own.
fn told(fired: &[Firing]) -> Vec<(Timestamp, IpNetwork, String, Outcome, Cause)> {
    let news = fired.iter().filter(|firing| firing.is_news);
    news.map(|one| {
        let (outcome, cause) = (one.outcome.clone(), one.cause.clone());
        (one.at, one.customer, one.rule.clone(), outcome, cause)
    })
    .collect()
}

proptest! {
    // Each is half an hour of a dozen customers, and a replay of it.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_replay_says_what_has_happened(course in course()) {
        let (mut engine, mut live) = live();
        let mut replay = Replay::new(parse(RULES), live.toy.guards.clone(), &[]);
        for rotation in rotations(&course) {
            // As it comes back from the store.
            let octets = encode(&rotation.seen);
            let stored = decode(rotation.from, rotation.until, &octets).unwrap();
            let really = live.turn(&mut engine, &rotation);
            let replayed = replay.turn(&stored);
            prop_assert_eq!(told(&really), told(&replayed));
        }
    }

    #[test]
    fn caps_are_never_exceeded(course in course()) {
        let (mut engine, mut live) = live();
        let mut raises: Vec<(Timestamp, String)> = Vec::new();
        for rotation in rotations(&course) {
            let fired = live.turn(&mut engine, &rotation);
            let due = fired.iter().filter(|one| one.outcome == Outcome::Due);
            let due = due.filter(|one| matches!(one.doing, Doing::Flag { .. }));
            raises.extend(due.map(|one| (one.at, one.rule.clone())));
            let minute_ago = rotation.until - SignedDuration::from_mins(1);
            let last: Vec<_> = raises.iter().filter(|(at, _)| *at > minute_ago).collect();
            prop_assert!(last.len() <= 3);
            prop_assert!(last.iter().filter(|(_, rule)| rule == "spray").count() <= 2);
            for prefix in &live.toy.guards.customer_prefixes {
                let flagged = live.toy.positions.keys();
                let flagged = flagged.filter(|one| prefix.contains(one.network())).count();
                prop_assert!(flagged as u64 <= caps::most_of(*prefix, 0.03));
            }
        }
    }

    #[test]
    fn frozen_rules_change_nothing(course in course()) {
        let (mut engine, mut live) = live();
        live.toy.frozen = true;
        for rotation in rotations(&course) {
            let fired = live.turn(&mut engine, &rotation);
            prop_assert!(fired.iter().all(|one| one.outcome != Outcome::Due));
        }
        prop_assert!(live.toy.positions.is_empty() && live.toy.conduct.is_empty());
    }

    #[test]
    fn nobody_escapes_by_sending_more(course in course(), whom in 0..12_usize, more in 0..500_u64) {
        // Without caps, whose point is that somebody else's flood may come first, and without the rule that lifts.
        let rules = parse(RULES.split("[[rule]]\nname = \"quiet\"").next().unwrap());
        let rules = RuleSet {
            caps: Caps::default(),
            rules: rules.rules.into_iter().map(|rule| Rule { caps: Caps::default(), ..rule }).collect(),
        };
        let mut louder = course.clone();
        for counts in &mut louder {
            counts[whom] += more;
        }
        let flagged = |course: &[Vec<u64>]| {
            let mut engine = Engine::new(rules.clone());
            let mut world = Toy::new();
            for rotation in rotations(course) {
                let fired = turn(&mut engine, &world, &rotation);
                world.follow(&fired);
            }
            world.positions
        };
        let (before, after) = (flagged(&course), flagged(&louder));
        for (customer, stands) in before {
            let now = after.get(&customer).map(|stands| stands.height);
            prop_assert!(now >= Some(stands.height), "{customer}: {now:?}");
        }
    }

    #[test]
    fn a_persons_flag_is_never_lowered(course in course(), height in 1..9_usize) {
        let (mut engine, mut live) = live();
        let customers: Vec<IpNetwork> = rotations(&course).iter().flat_map(|one| one.seen.keys().copied()).collect();
        let height = Height::ALL[height];
        for customer in &customers {
            live.toy.positions.insert(*customer, by_person(height));
        }
        for rotation in rotations(&course) {
            for firing in turn(&mut engine, &live.toy, &rotation) {
                match &firing.doing {
                    Doing::Flag { height: to, .. } => prop_assert!(*to > height),
                    Doing::Lift(_) => prop_assert!(false, "{firing:?}"),
                }
                prop_assert_eq!(firing.cause.beneath.as_ref().map(|one| one.flag), Some(FlagId(3)));
            }
        }
    }
}

#[test]
fn a_replay_knows_what_people_had_decided() {
    let flag = |id: u32, prefix: &str, action: Action, from: i64, until: i64| Flag {
        id: FlagId(id),
        terms: Proposal {
            prefix: who(prefix),
            action,
            reason: "r".into(),
            actor: "alice".into(),
            ticket: None,
            quiet: false,
            grace_s: 0,
            created_at: minute(from).into(),
            expires_at: minute(9999).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
        },
        generation: contract::Generation(1),
        tenant: None,
        replaces: None,
        activated_at: Some(minute(from).into()),
        ended: Some(Box::new(Ended {
            at: minute(until),
            by: String::from("alice"),
            reason: String::from("r"),
        })),
    };
    let flags = [
        flag(1, "192.0.2.0/28", Action::Pass, 0, 4),
        flag(2, "192.0.2.20/32", Action::Drop, 0, 9999),
    ];
    let guards = Toy::new().guards;
    let mut replay = Replay::new(parse(SPRAY), guards, &flags);
    let mut said = Vec::new();
    for number in 1..8 {
        let seen = [("192.0.2.10/32", syns(200)), ("192.0.2.20/32", syns(200))];
        let fired = replay.turn(&rotation(number, &seen));
        said.extend(
            fired
                .into_iter()
                .map(|one| (number, one.customer, one.outcome)),
        );
    }
    let exempt = Outcome::HeldBack(String::from("exempted by flag 1"));
    assert_eq!(
        said,
        [
            (1, who("192.0.2.10/32"), exempt),
            (4, who("192.0.2.10/32"), Outcome::Due),
        ]
    );
}
