use super::*;
use crate::policy::dial::{Action, FlagRequest};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).unwrap()
}

fn asked(life: &str, review: Option<&str>) -> Result<Proposal, Refusal> {
    let request = FlagRequest {
        target: String::from("192.0.2.10"),
        reason: String::from("no contract"),
        actor: String::from("alice"),
        action: Some(String::from("drop")),
        life: Some(life.to_owned()),
        review: review.map(str::to_owned),
        ..FlagRequest::default()
    };
    Proposal::read(&request, &[], at(0))
}

#[track_caller]
fn refused(outcome: Result<Proposal, Refusal>, words: &str) {
    let refusal = outcome.unwrap_err();
    assert!(refusal.to_string().contains(words), "{refusal}");
}

const DAY: i64 = 86_400;

#[test]
fn for_ever_is_the_longest_life_until_a_second_person_agrees() {
    let flag = asked("ever", Some("30d")).unwrap();
    assert_eq!(flag.action, Action::Drop);
    assert_eq!(flag.expires_at, at(90 * DAY));
    assert_eq!(flag.review_at(), None);
    for same in ["alice", " Alice "] {
        refused(flag.approved(same, at(5)), "somebody else must approve it");
    }
    let approved = flag.approved("bob", at(5)).unwrap();
    assert_eq!(approved.expires_at.to_string(), "9999-01-01T00:00:00Z");
    assert_eq!(approved.due_at(), at(5 + 30 * DAY));
    refused(
        approved.approved("carol", at(6)),
        "bob has approved already",
    );
    refused(approved.extended("7d", at(6)), "stands for ever");

    let rejected = flag.rejected("alice", at(5)).unwrap();
    assert_eq!(rejected.expires_at, at(90 * DAY));
    refused(
        rejected.approved("bob", at(6)),
        "alice has rejected already",
    );
    refused(
        asked("7d", None).unwrap().approved("bob", at(1)),
        "nobody has asked",
    );
}

#[test]
fn for_ever_and_its_reviews_go_together() {
    refused(asked("ever", None), "--review");
    refused(asked("7d", Some("30d")), "--review 30d");
    refused(asked("ever", Some("0s")), "not a time from one review");
    refused(asked("ever", Some("soon")), "not a time from one review");
    refused(asked("ever", Some("367d")), "within 366d");
    let limit = asked("7d", None).unwrap();
    refused(limit.reviewed("30d", at(1)), "has no reviews");
}

#[test]
fn a_review_moves_and_is_told_again() {
    let flag = asked("ever", Some("30d")).unwrap();
    let approved = flag.approved("bob", at(0)).unwrap();
    let told = approved.with_review_told();
    let untold = |flag: &Proposal| flag.for_ever.as_ref().and_then(|it| it.untold_review());
    assert_eq!(untold(&approved), Some(at(30 * DAY)));
    assert_eq!(untold(&told), None);
    assert_eq!(told.due_at(), at(30 * DAY));
    let again = told.reviewed("60d", at(31 * DAY)).unwrap();
    assert_eq!(untold(&again), Some(at(91 * DAY)));
}

#[test]
fn an_end_only_moves_away_and_never_beyond_the_longest_life() {
    let flag = asked("7d", None).unwrap();
    let extended = flag.extended("14d", at(DAY)).unwrap();
    assert_eq!(extended.expires_at, at(15 * DAY));
    assert_eq!(extended.created_at, flag.created_at);
    refused(flag.extended("6d", at(DAY)), "lives until");
    refused(flag.extended("91d", at(DAY)), "at most 90d");
    refused(flag.extended("ever", at(DAY)), "flagging anew");
    refused(flag.extended("-1d", at(DAY)), "not a duration");
}

#[test]
fn only_people_decide() {
    assert_eq!(read_person(" bob "), Ok(String::from("bob")));
    assert!(matches!(read_person("  "), Err(Refusal::Guard(_))));
    for odd in ["rule:burst", "b\u{7}", &"x".repeat(101)] {
        assert!(matches!(read_person(odd), Err(Refusal::Usage(_))), "{odd}");
    }
}
