//! What rules do, turn by turn.

use std::sync::Arc;

use super::*;
use crate::policy::guards::caps;

const A: &str = "192.0.2.10/32";
const A6: &str = "2001:db8:a:a::/64";

#[track_caller]
fn only(fired: Vec<Firing>) -> Firing {
    assert_eq!(fired.len(), 1, "{fired:#?}");
    fired.into_iter().next().unwrap()
}

#[test]
fn a_flood_turns_the_dial_up_and_says_why() {
    for source in [A, A6] {
        let (mut engine, mut world) = (Engine::new(parse(SPRAY)), Toy::new());
        assert_eq!(
            turn(&mut engine, &world, &rotation(1, &[(source, syns(60))])),
            []
        );
        let fired = only(turn(
            &mut engine,
            &world,
            &rotation(2, &[(source, syns(60))]),
        ));
        assert_eq!((&fired.outcome, fired.is_news), (&Outcome::Due, true));
        assert_eq!(fired.cause.in_words(), "syns 120 (> 100) in 2m");
        let Doing::Flag { request, height } = &fired.doing else {
            panic!("{fired:?}");
        };
        assert_eq!(*height, Height::Walled);
        assert_eq!(
            (request.actor.as_str(), request.reason.as_str()),
            ("rule:spray", "120 SYNs in 2m")
        );
        let cause = fired.cause.clone();
        let proposal = crate::policy::dial::Proposal::caused(request, &pools(), minute(2), cause);
        assert_eq!(proposal.unwrap().prefix, who(source));
        world.follow(&[fired]);
        // It stands as high as the rule wants it, so there is nothing to do.
        assert_eq!(
            turn(&mut engine, &world, &rotation(3, &[(source, syns(60))])),
            []
        );
    }
}

#[test]
fn what_must_last_is_waited_for_and_ends_below_its_lower_bound() {
    let rules = SPRAY.replace("window = \"2m\"", "window = \"1m\"\nfor = \"2m\"");
    let (mut engine, world) = (Engine::new(parse(&rules)), Toy::new());
    let mut due = Vec::new();
    // Above the limit; then above the lower bound, which is enough; then below it, and all begins anew.
    for (number, count) in (1..).zip([101, 60, 51, 50, 60, 101, 51, 51]) {
        let fired = turn(&mut engine, &world, &rotation(number, &[(A, syns(count))]));
        due.extend(fired.iter().map(|fired| (number, fired.cause.held_s)));
    }
    assert_eq!(due, [(3, 120), (8, 120)]);
}

#[test]
fn silence_ends_what_had_held() {
    let rules = SPRAY.replace("window = \"2m\"", "window = \"1m\"\nfor = \"2m\"");
    let (mut engine, world) = (Engine::new(parse(&rules)), Toy::new());
    for number in [1, 2] {
        assert_eq!(
            turn(&mut engine, &world, &rotation(number, &[(A, syns(200))])),
            []
        );
    }
    assert_eq!(turn(&mut engine, &world, &rotation(3, &[])), []);
    assert_eq!(
        turn(&mut engine, &world, &rotation(4, &[(A, syns(200))])),
        []
    );
}

#[test]
fn a_person_stands_above_rules() {
    let above = Position {
        height: Height::Drop,
        ..by_person(Height::Drop)
    };
    let exempt = Position {
        exempt: true,
        ..by_person(Height::None)
    };
    let lift = "[[rule]]\nname = \"quiet\"\nwhen = { all = [\"syns >= 0\"] }\nthen = { dial = \"lift\" }\n";
    let lower = "[[rule]]\nname = \"milder\"\nwhen = { all = [\"syns >= 0\"] }\nthen = { dial = \"lower\", action = \"observe\", reason = \"r\" }\n";
    let (mut engine, mut world) = (
        Engine::new(parse(&format!("{SPRAY}{lift}{lower}"))),
        Toy::new(),
    );
    world.positions.insert(who(A), above);
    assert_eq!(
        turn(&mut engine, &world, &rotation(1, &[(A, syns(200))])),
        []
    );
    world.positions.insert(who(A), exempt);
    let fired = only(turn(&mut engine, &world, &rotation(2, &[(A, syns(200))])));
    assert_eq!(
        fired.outcome,
        Outcome::HeldBack(String::from("exempted by flag 3"))
    );
    // A limit of a person's may be turned up, and comes back afterwards.
    world.positions.insert(who(A), by_person(Height::Limit));
    let fired = only(turn(&mut engine, &world, &rotation(3, &[(A, syns(200))])));
    assert_eq!(fired.outcome, Outcome::Due);
    assert_eq!(fired.cause.beneath.as_ref().unwrap().flag, FlagId(3));
    world.follow(&[fired]);
    // And nothing lowers it below that; lifting brings the limit back.
    let fired = only(turn(&mut engine, &world, &rotation(4, &[])));
    assert_eq!(
        (fired.rule.as_str(), &fired.doing),
        ("quiet", &Doing::Lift(FlagId(101)))
    );
    // What only a person may lift stays.
    let kept = Position {
        only_by_person: true,
        ..by_rule("spray", Height::Walled)
    };
    world.positions.insert(who(A), kept);
    assert_eq!(turn(&mut engine, &world, &rotation(5, &[])), []);
}

#[test]
fn of_several_rules_the_hardest_wins_and_raising_goes_before_lowering() {
    let limit = SPRAY.replace("\"spray\"", "\"slow\"").replace(
        "action = \"redirect\"\ntreatment = \"walled\"",
        "action = \"limit\"\nrate = \"30/min\"",
    );
    let lift = "[[rule]]\nname = \"quiet\"\nwhen = { all = [\"syns >= 0\"] }\nthen = { dial = \"lift\" }\n";
    let (mut engine, mut world) = (
        Engine::new(parse(&format!("{limit}{SPRAY}{lift}"))),
        Toy::new(),
    );
    world
        .positions
        .insert(who(A), by_rule("other", Height::Observe));
    let fired = only(turn(&mut engine, &world, &rotation(1, &[(A, syns(200))])));
    assert_eq!(fired.rule, "spray");
    let fired = only(turn(&mut engine, &world, &rotation(2, &[(A, syns(0))])));
    assert_eq!(fired.rule, "spray", "the window still holds the flood");
    let fired = only(turn(&mut engine, &world, &rotation(4, &[])));
    assert_eq!(fired.rule, "quiet");
}

#[test]
fn little_is_only_said_of_what_was_watched() {
    let quiet = "[[rule]]\nname = \"quiet\"\nwindow = \"10m\"\nwhen = { all = [\"syns < 10\"] }\nthen = { dial = \"lift\" }\n";
    let (mut engine, mut world) = (Engine::new(parse(quiet)), Toy::new());
    world
        .positions
        .insert(who(A), by_rule("spray", Height::Walled));
    for number in 1..=8 {
        assert_eq!(
            turn(&mut engine, &world, &rotation(number, &[])),
            [],
            "{number}"
        );
    }
    // Nine of ten minutes were watched.
    assert_eq!(
        only(turn(&mut engine, &world, &rotation(9, &[]))).rule,
        "quiet"
    );
}

#[test]
fn scope_says_whom_and_where_the_dial_must_stand() {
    let scoped = format!(
        "{SPRAY}[rule.scope]\nprefixes = [\"192.0.2.0/25\"]\nexcept = [\"192.0.2.11/32\"]\npresent = [\"none\", \"limit\"]\n"
    );
    let (mut engine, mut world) = (Engine::new(parse(&scoped)), Toy::new());
    let flood = syns(200);
    world
        .positions
        .insert(who("192.0.2.12/32"), by_rule("other", Height::Filter));
    world
        .positions
        .insert(who("192.0.2.13/32"), by_rule("other", Height::Limit));
    let seen = [
        "192.0.2.10/32",
        "192.0.2.11/32",
        "192.0.2.12/32",
        "192.0.2.13/32",
        "192.0.2.200/32",
        A6,
    ];
    let fired = turn(
        &mut engine,
        &world,
        &rotation(1, &seen.map(|source| (source, flood))),
    );
    let whom: Vec<String> = fired
        .iter()
        .map(|fired| fired.customer.to_string())
        .collect();
    assert_eq!(whom, ["192.0.2.10/32", "192.0.2.13/32"]);
}

#[test]
fn who_is_guarded_is_never_flagged_and_it_is_said_once() {
    let (mut engine, mut world) = (Engine::new(parse(SPRAY)), Toy::new());
    let listener = (
        "192.0.2.10/32".parse().unwrap(),
        String::from("the listener of relay-1"),
    );
    world.guards.protected = Arc::new([listener].into_iter().collect());
    let seen = [(A, syns(200)), ("203.0.113.1/32", syns(200))];
    let fired = turn(&mut engine, &world, &rotation(1, &seen));
    assert_eq!(fired.len(), 2);
    for fired in &fired {
        assert!(
            matches!(&fired.outcome, Outcome::HeldBack(by) if by.contains("relay-1") || by.contains("not a customer")),
            "{fired:?}"
        );
        assert!(fired.is_news);
    }
    let again = turn(&mut engine, &world, &rotation(2, &seen));
    assert!(again.iter().all(|fired| !fired.is_news), "{again:?}");
}

#[test]
fn caps_hold_the_mildest_back() {
    let caps = "[caps]\nnew_flags_per_minute = 2\nshare_of_prefix = 1.0\n";
    let (mut engine, mut world) = (Engine::new(parse(&format!("{caps}{SPRAY}"))), Toy::new());
    let seen = [
        ("192.0.2.1/32", syns(150)),
        ("192.0.2.2/32", syns(900)),
        ("192.0.2.3/32", syns(300)),
    ];
    let fired = turn(&mut engine, &world, &rotation(1, &seen));
    let outcomes: Vec<(String, bool)> = fired
        .iter()
        .map(|fired| (fired.customer.to_string(), fired.outcome == Outcome::Due))
        .collect();
    let expected = [
        ("192.0.2.2/32", true),
        ("192.0.2.3/32", true),
        ("192.0.2.1/32", false),
    ];
    assert_eq!(outcomes, expected.map(|(who, due)| (who.to_owned(), due)));
    world.follow(&fired);
    // A minute later there is room.
    let fired = only(turn(&mut engine, &world, &rotation(2, &seen)));
    assert_eq!(
        (fired.customer, &fired.outcome),
        (who("192.0.2.1/32"), &Outcome::Due)
    );
}

#[test]
fn frozen_rules_say_what_they_would_have_done() {
    let (mut engine, mut world) = (Engine::new(parse(SPRAY)), Toy::new());
    world.frozen = true;
    let fired = only(turn(&mut engine, &world, &rotation(1, &[(A, syns(200))])));
    assert_eq!((&fired.outcome, fired.is_news), (&Outcome::WouldHave, true));
    let again = only(turn(&mut engine, &world, &rotation(2, &[(A, syns(200))])));
    assert!(!again.is_news);
    world.frozen = false;
    let fired = only(turn(&mut engine, &world, &rotation(3, &[(A, syns(200))])));
    assert_eq!((&fired.outcome, fired.is_news), (&Outcome::Due, true));
}

#[test]
fn rules_that_stay_as_they_are_remember_over_a_reload() {
    let rules = SPRAY.replace("window = \"2m\"", "window = \"1m\"\nfor = \"2m\"");
    let other = SPRAY
        .replace("\"spray\"", "\"other\"")
        .replace("syns > 100 until 50", "syns > 9999");
    let (mut engine, world) = (Engine::new(parse(&rules)), Toy::new());
    turn(&mut engine, &world, &rotation(1, &[(A, syns(200))]));
    engine.replace(parse(&format!("{other}{rules}")));
    turn(&mut engine, &world, &rotation(2, &[(A, syns(200))]));
    assert_eq!(
        only(turn(&mut engine, &world, &rotation(3, &[(A, syns(200))]))).rule,
        "spray"
    );
    // One that was changed begins anew.
    engine.replace(parse(&rules.replace("> 100", "> 90")));
    assert_eq!(
        turn(&mut engine, &world, &rotation(4, &[(A, syns(200))])),
        []
    );
}

#[test]
fn shares_are_known_from_ten_on() {
    let seen = |ended, reset| {
        Figures::of(&Observation {
            ended,
            reset,
            ..Observation::NOTHING
        })
    };
    assert_eq!(seen(9, 9).get(Figure::RstShare), None);
    assert_eq!(seen(10, 5).get(Figure::RstShare), Some(0.5));
    assert_eq!(seen(10, 5).get(Figure::SpamShare), None);
    let relay = Observation {
        messages: 20,
        spam: 5,
        recipients: 40,
        unknown: 10,
        ..Observation::NOTHING
    };
    let figures = Figures::of(&relay);
    assert_eq!(figures.get(Figure::SpamShare), Some(0.25));
    assert_eq!(figures.get(Figure::UnknownShare), Some(0.25));
    let names: std::collections::BTreeSet<&str> = Figure::ALL.map(Figure::name).into();
    assert_eq!(names.len(), Figure::ALL.len());
    for figure in Figure::ALL {
        assert_eq!(Figure::from_name(figure.name()), Some(figure));
    }
    assert_eq!(caps::most_of(who(A), 1.0), 1);
}
