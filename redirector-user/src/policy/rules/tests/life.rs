//! Probation, lifts, and what a person's word changes.

use super::*;

const A: &str = "192.0.2.10/32";

fn ending<'a>(rule: Option<&'a Rule>, number: i64) -> Ending<'a> {
    Ending {
        flag: FlagId(7),
        rule,
        at: minute(number),
        by: "outgated",
        why: "expired",
    }
}

fn probing() -> RuleSet {
    parse(&SPRAY.replace(
        "window =",
        "probation = \"10m\"\nprobation_factor = 0.5\nmax_lifts = 2\nwindow =",
    ))
}

#[test]
fn an_expiry_leads_into_probation_with_lower_limits() {
    let rules = probing();
    let (mut engine, mut world) = (Engine::new(rules.clone()), Toy::new());
    let mut conduct = Conduct::fresh(minute(0));
    conduct.ended_by_itself(&ending(rules.named("spray"), 0));
    assert_eq!(conduct.factor("spray", minute(9)), Some(0.5));
    assert_eq!(conduct.factor("other", minute(9)), None);
    assert_eq!(conduct.factor("spray", minute(10)), None);
    let before = turn(&mut engine, &world, &rotation(1, &[(A, syns(60))]));
    assert_eq!(before, [], "without probation that is nothing");
    world.conduct.insert(who(A), conduct.clone());
    let fired = turn(&mut engine, &world, &rotation(3, &[(A, syns(60))]));
    assert_eq!(
        fired[0].cause.in_words(),
        "syns 60 (> 50) in 2m, on probation (limits times 0.5)"
    );
    // Once it is flagged, probation is a mark and no more.
    world
        .positions
        .insert(who(A), by_rule("spray", Height::Limit));
    // What has held goes on until its window is empty.
    for number in [4, 5] {
        drop(turn(&mut engine, &world, &rotation(number, &[])));
    }
    assert_eq!(
        turn(&mut engine, &world, &rotation(6, &[(A, syns(60))])),
        []
    );
    world.positions.clear();
    let over = turn(&mut engine, &world, &rotation(12, &[(A, syns(60))]));
    assert_eq!(over, [], "probation is over");
}

#[test]
fn after_so_many_lifts_only_a_person_lifts() {
    let rules = probing();
    let (mut engine, mut world) = (Engine::new(rules.clone()), Toy::new());
    let mut conduct = Conduct::fresh(minute(0));
    for number in [0, 1] {
        world.conduct.insert(who(A), conduct.clone());
        let fired = turn(&mut engine, &world, &rotation(number, &[(A, syns(200))]));
        assert!(!fired[0].cause.only_by_person, "{number}");
        conduct.ended_by_itself(&ending(rules.named("spray"), number));
    }
    world.conduct.insert(who(A), conduct.clone());
    let fired = turn(&mut engine, &world, &rotation(2, &[(A, syns(200))]));
    assert!(fired[0].cause.only_by_person);
    assert!(
        fired[0]
            .cause
            .in_words()
            .ends_with("only a person lifts it")
    );
    let Doing::Flag { request, .. } = &fired[0].doing else {
        panic!("{fired:?}");
    };
    assert_eq!(request.life.as_deref(), Some("90d"));
    // A person's word begins everything anew, and what it was about is not judged again.
    conduct.lifted_by_person(minute(2));
    assert_eq!((conduct.lifts, &conduct.probation), (0, &None));
    world.conduct.insert(who(A), conduct);
    assert_eq!(
        turn(&mut engine, &world, &rotation(3, &[(A, syns(200))])),
        []
    );
    let fired = turn(&mut engine, &world, &rotation(4, &[(A, syns(200))]));
    assert!(!fired[0].cause.only_by_person);
}

#[test]
fn a_release_marks_the_flag_and_outlives_it() {
    let rules = probing();
    let mut conduct = Conduct::fresh(minute(0));
    let release = Ending {
        by: "alice",
        why: "a newsletter that was asked for",
        ..ending(rules.named("spray"), 0)
    };
    conduct.released(&release, minute(60));
    let probation = conduct.probation.clone().unwrap();
    assert_eq!(
        (probation.until, probation.by.as_str()),
        (minute(70), "alice")
    );
    // When the flag ends by itself, the word that a person has said stays.
    conduct.ended_by_itself(&ending(rules.named("spray"), 60));
    assert_eq!(conduct.probation, Some(probation));
    assert_eq!(conduct.lifts, 1);
    // A person's flag has no rule to say how long.
    let mut persons = Conduct::fresh(minute(0));
    persons.released(
        &Ending {
            rule: None,
            ..release
        },
        minute(60),
    );
    let probation = persons.probation.unwrap();
    assert_eq!(
        (probation.until, probation.factor),
        (minute(60 + 24 * 60), 0.5)
    );
    assert_eq!(probation.rule, None);
}

#[test]
fn who_behaves_is_forgotten() {
    let day = 24 * 60;
    let mut conduct = Conduct::fresh(minute(0));
    assert!(!conduct.is_forgotten(minute(90 * day - 1)));
    assert!(conduct.is_forgotten(minute(90 * day)));
    conduct.released(&ending(None, 0), minute(90 * day));
    assert!(!conduct.is_forgotten(minute(90 * day)));
    assert!(conduct.is_forgotten(minute(91 * day)));
}
