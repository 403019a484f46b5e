use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{config::Listings, dns::Silence, dnsbl::Family, precheck::Fqdn};

const LIST: usize = 0;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn zone(name: &str, families: &[Family]) -> Zone {
    Zone {
        name: Fqdn::new(name).unwrap(),
        families: families.iter().copied().collect(),
        counts: vec!["127.0.0.0/8".parse().unwrap()],
    }
}

fn config(zones: Vec<Zone>) -> Listings {
    Listings {
        zones,
        resolvers: Vec::new(),
        rate: NonZeroU32::new(5).unwrap(),
        sweep: Duration::from_secs(256),
        watch: Duration::from_secs(60),
        confirm: Duration::from_secs(20),
        keep: None,
    }
}

/// One list of IPv4, a /24, at second 0.
fn watch() -> Watch {
    with(Vec::new())
}

fn with(standing: Vec<(Fqdn, IpAddr, Standing)>) -> Watch {
    let ranges = Ranges::of(&["192.0.2.0/24".parse().unwrap()]);
    let config = config(vec![zone("ip.list.example", &[Family::V4])]);
    Watch::new(&config, ranges, standing, &BTreeMap::new(), at(0))
}

/// The same, believed.
fn believed() -> Watch {
    let mut watch = watch();
    assert_eq!(watch.next(at(0)), Some(Ask::OfItself(LIST)));
    assert_eq!(watch.heard_of_itself(LIST, at(0), None, at(0)), News::None);
    watch
}

fn named() -> Heard {
    Heard::Named {
        codes: vec![Ipv4Addr::new(127, 0, 0, 2)],
        words: String::from("why"),
    }
}

fn silent() -> Heard {
    Heard::Silent(String::from("SERVFAIL"))
}

/// What was noted, without who.
fn steps(watch: &mut Watch) -> Vec<Step> {
    watch.notes().into_iter().map(|noted| noted.step).collect()
}

#[test]
fn answers_are_judged_by_what_counts() {
    let mut zone = zone("ip.list.example", &[Family::V4]);
    zone.counts = vec![
        "127.0.0.2/31".parse().unwrap(),
        "127.0.0.9/32".parse().unwrap(),
    ];
    let heard = |codes: Result<&[[u8; 4]], &str>| {
        let listed = Listed {
            name: String::from("1.2.0.192.ip.list.example"),
            codes: match codes {
                Ok(codes) => Ok(codes.iter().copied().map(Ipv4Addr::from).collect()),
                Err(why) => Err(Silence {
                    what: String::from("A x"),
                    why: why.to_owned(),
                }),
            },
            words: Ok(vec![String::from("a"), String::from("b")]),
        };
        Heard::judge(&zone, &listed)
    };
    let named = |codes: &[[u8; 4]]| Heard::Named {
        codes: codes.iter().copied().map(Ipv4Addr::from).collect(),
        words: String::from("a b"),
    };
    assert_eq!(heard(Ok(&[])), Heard::Absent);
    assert_eq!(
        heard(Ok(&[[127, 0, 0, 3], [127, 0, 0, 2]])),
        named(&[[127, 0, 0, 2], [127, 0, 0, 3]])
    );
    // A policy list's word about a range is no listing where it does not count.
    assert_eq!(heard(Ok(&[[127, 0, 0, 10]])), Heard::Absent);
    assert_eq!(
        heard(Ok(&[[127, 0, 0, 10], [127, 0, 0, 9]])),
        named(&[[127, 0, 0, 9]])
    );
    for refusal in [
        &[[127, 255, 255, 254]][..],
        &[[127, 0, 0, 2], [127, 255, 255, 255]],
        &[[10, 0, 0, 1]],
    ] {
        assert!(
            matches!(heard(Ok(refusal)), Heard::Silent(_)),
            "{refusal:?}"
        );
    }
    assert!(matches!(heard(Err("SERVFAIL")), Heard::Silent(why) if why.contains("SERVFAIL")));
}

#[test]
fn a_listing_opens_and_closes_at_the_second_look() {
    let confirm = SignedDuration::from_secs(20);
    let mut standing = Standing {
        first_at: at(100),
        last_at: at(100),
        opened_at: None,
        absent_at: None,
        codes: Vec::new(),
        words: String::new(),
    };
    let hear = |standing: Option<&Standing>, heard: &Heard, second| {
        Standing::hear(standing, heard, at(second), confirm)
    };
    assert_eq!(hear(None, &named(), 100), Step::Begins);
    assert_eq!(hear(None, &Heard::Absent, 100), Step::Nothing);
    assert_eq!(hear(None, &silent(), 100), Step::Nothing);
    assert_eq!(hear(Some(&standing), &named(), 119), Step::Stays);
    assert_eq!(hear(Some(&standing), &named(), 120), Step::Opens);
    assert_eq!(hear(Some(&standing), &Heard::Absent, 101), Step::Forgets);
    assert_eq!(hear(Some(&standing), &silent(), 120), Step::Nothing);
    assert_eq!(standing.second_look(confirm), Some(at(120)));
    standing.opened_at = Some(at(120));
    assert_eq!(standing.second_look(confirm), None);
    assert_eq!(hear(Some(&standing), &named(), 130), Step::Stays);
    assert_eq!(hear(Some(&standing), &Heard::Absent, 200), Step::Doubts);
    standing.absent_at = Some(at(200));
    assert_eq!(standing.second_look(confirm), Some(at(220)));
    assert_eq!(hear(Some(&standing), &Heard::Absent, 219), Step::Nothing);
    assert_eq!(hear(Some(&standing), &silent(), 220), Step::Nothing);
    assert_eq!(hear(Some(&standing), &named(), 220), Step::Stays);
    assert_eq!(hear(Some(&standing), &Heard::Absent, 220), Step::Closes);
}

#[test]
fn nobody_is_asked_about_before_the_list_has_shown_that_it_is_to_be_believed() {
    let mut watch = watch();
    watch.keep_watch(BTreeSet::from([address("192.0.2.10")]), at(0));
    assert_eq!(watch.next(at(0)), Some(Ask::OfItself(LIST)));
    assert_eq!(watch.next(at(0)), None, "one question is enough");
    let why = || Some(String::from("it names everybody"));
    assert_eq!(
        watch.heard_of_itself(LIST, at(0), why(), at(1)),
        News::SetAside(String::from("it names everybody"))
    );
    // Later and later, and never about anybody.
    let mut asked = Vec::new();
    for second in 1..2000 {
        if let Some(ask) = watch.next(at(second)) {
            assert_eq!(ask, Ask::OfItself(LIST));
            assert_eq!(
                watch.heard_of_itself(LIST, at(second), why(), at(second)),
                News::None
            );
            asked.push(second);
        }
    }
    assert_eq!(asked[..6], [11, 31, 71, 151, 311, 611]);
    let of = watch.of_zones(at(2000));
    assert!(matches!(&of[0].trust, Trust::Aside { since, .. } if *since == at(1)));
    assert_eq!(
        watch.heard_of_itself(LIST, at(2000), None, at(2000)),
        News::Back
    );
    assert!(matches!(watch.next(at(2000)), Some(Ask::Address(LIST, _))));
}

#[test]
fn what_opens_waits_for_the_list_s_word() {
    let mut watch = believed();
    let who = address("192.0.2.10");
    watch.heard(LIST, who, named(), at(10));
    assert_eq!(steps(&mut watch), [Step::Begins]);
    assert!(!watch.is_urgent());
    watch.heard(LIST, who, named(), at(31));
    assert_eq!(
        steps(&mut watch),
        [],
        "nobody has asked the list of itself since"
    );
    assert_eq!(watch.next(at(31)), Some(Ask::OfItself(LIST)));
    // A question from before the second look proves nothing.
    watch.heard_of_itself(LIST, at(30), None, at(32));
    assert_eq!(steps(&mut watch), []);
    assert_eq!(watch.next(at(32)), Some(Ask::OfItself(LIST)));
    watch.heard_of_itself(LIST, at(32), None, at(33));
    assert!(watch.is_urgent());
    let notes = watch.notes();
    assert_eq!(
        (notes[0].step, notes[0].standing.opened_at),
        (Step::Opens, Some(at(31)))
    );
    assert_eq!(watch.of_zones(at(33))[0].open, 1);

    // What is gone is gone only while the list is there.
    watch.heard(LIST, who, Heard::Absent, at(100));
    watch.heard(LIST, who, Heard::Absent, at(121));
    assert_eq!(steps(&mut watch), [Step::Doubts]);
    watch.heard_of_itself(
        LIST,
        at(121),
        Some(String::from("it names nobody")),
        at(122),
    );
    assert_eq!(
        (steps(&mut watch), watch.of_zones(at(122))[0].open),
        (vec![], 1)
    );
    watch.heard_of_itself(LIST, at(140), None, at(140));
    assert_eq!(steps(&mut watch), []);
    watch.heard(LIST, who, Heard::Absent, at(200));
    watch.heard_of_itself(LIST, at(201), None, at(201));
    assert_eq!(steps(&mut watch), [Step::Closes]);
    assert_eq!(watch.of_zones(at(202))[0].open, 0);
}

#[test]
fn silence_is_looked_into_and_changes_nothing() {
    let mut watch = believed();
    let who = address("192.0.2.10");
    watch.heard(LIST, who, named(), at(10));
    assert_eq!(steps(&mut watch), [Step::Begins]);
    for last in 20..28 {
        assert!(!matches!(watch.next(at(0)), Some(Ask::OfItself(_))));
        watch.heard(LIST, address(&format!("192.0.2.{last}")), silent(), at(11));
    }
    assert_eq!(watch.next(at(11)), Some(Ask::OfItself(LIST)));
    watch.heard(LIST, who, silent(), at(40));
    assert_eq!(steps(&mut watch), []);
    let of = &watch.of_zones(at(41))[0];
    assert_eq!((of.unconfirmed, of.silent), (1, 9));
}

#[test]
fn a_restart_goes_on_with_what_was_to_be_confirmed() {
    let list = Fqdn::new("ip.list.example").unwrap();
    let standing = |opened_at: Option<i64>, absent_at: Option<i64>| Standing {
        first_at: at(-100),
        last_at: at(-90),
        opened_at: opened_at.map(at),
        absent_at: absent_at.map(at),
        codes: Vec::new(),
        words: String::new(),
    };
    let mut watch = with(vec![
        (list.clone(), address("192.0.2.1"), standing(None, None)),
        (
            list.clone(),
            address("192.0.2.2"),
            standing(Some(-80), None),
        ),
        (
            list.clone(),
            address("192.0.2.3"),
            standing(Some(-80), Some(-5)),
        ),
        // Of a family that this list is not asked about.
        (list, address("2001:db8:a::1"), standing(Some(-80), None)),
    ]);
    let of = &watch.of_zones(at(0))[0];
    assert_eq!((of.open, of.unconfirmed, of.watched), (2, 1, 3));
    watch.heard_of_itself(LIST, at(0), None, at(0));
    watch.heard(LIST, address("192.0.2.1"), named(), at(1));
    watch.heard(LIST, address("192.0.2.2"), named(), at(1));
    watch.heard(LIST, address("192.0.2.3"), Heard::Absent, at(16));
    watch.heard_of_itself(LIST, at(17), None, at(17));
    assert_eq!(steps(&mut watch), [Step::Stays, Step::Opens, Step::Closes]);
}

#[test]
fn each_address_is_asked_about_once_a_round_and_the_likely_ones_more_often() {
    let mut watch = believed();
    let likely = address("192.0.2.77");
    watch.keep_watch(BTreeSet::from([likely]), at(0));
    let mut asked: BTreeMap<IpAddr, Vec<i64>> = BTreeMap::new();
    // A second has five turns.
    for turn in 0..5 * 256 {
        let now = Timestamp::from_millisecond(turn * 200).unwrap();
        match watch.next(now) {
            Some(Ask::Address(LIST, who)) => {
                asked.entry(who).or_default().push(turn);
                watch.heard(LIST, who, Heard::Absent, now);
            }
            Some(Ask::OfItself(lane)) => drop(watch.heard_of_itself(lane, now, None, now)),
            Some(Ask::Address(..)) | None => {}
        }
    }
    assert_eq!(asked.len(), 256);
    for (who, turns) in &asked {
        match *who == likely {
            true => assert!((5..=7).contains(&turns.len()), "{turns:?}"),
            false => assert_eq!(turns.len(), 1, "{who}"),
        }
    }
    // Evenly: in each quarter of the time a quarter of them.
    let early = asked.values().filter(|turns| turns[0] < 5 * 64).count();
    assert!((62..=67).contains(&early), "{early}");
    let (sweep, all) = watch.of_zones(at(256))[0].sweep.clone().unwrap();
    assert_eq!((sweep.place, all), (256, 256));
    assert!(sweep.finished_at.is_some());
}

#[test]
fn the_round_has_its_turns_however_many_are_watched() {
    let mut watch = believed();
    let kept = (0..=255).map(|last| IpAddr::from([192, 0, 2, last]));
    watch.keep_watch(kept.collect(), at(0));
    let before = watch.of_zones(at(0))[0].sweep.clone().unwrap().0.place;
    for _ in 0..100 {
        assert!(watch.next(at(250)).is_some());
    }
    let place = watch.of_zones(at(250))[0].sweep.clone().unwrap().0.place;
    assert!(place - before >= 20, "{place}");
}

#[test]
fn who_is_not_likely_any_more_is_left_to_the_round() {
    let mut watch = believed();
    let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
    watch.keep_watch(BTreeSet::from([one, other]), at(0));
    assert_eq!(watch.of_zones(at(0))[0].watched, 2);
    watch.heard(LIST, other, named(), at(1));
    watch.keep_watch(BTreeSet::new(), at(2));
    // Whoever is found there is looked at until it is gone.
    assert_eq!(watch.of_zones(at(2))[0].watched, 1);
}

#[test]
fn what_a_person_has_asked_is_a_look() {
    let mut watch = believed();
    let list = Fqdn::new("ip.list.example").unwrap();
    let who = address("192.0.2.10");
    watch.heard_by_the_way(&list, who, named(), at(10));
    watch.heard_by_the_way(&Fqdn::new("other.example").unwrap(), who, named(), at(10));
    assert_eq!(steps(&mut watch), [Step::Begins]);
    watch.heard_by_the_way(&list, who, named(), at(31));
    watch.heard_of_itself(LIST, at(31), None, at(32));
    assert_eq!(steps(&mut watch), [Step::Opens]);
}

#[test]
fn a_round_begins_anew_when_its_time_is_over() {
    let ranges = Ranges::of(&["192.0.2.0/30".parse().unwrap()]);
    let hour = SignedDuration::from_secs(40);
    let mut sweep = Sweep::new(at(0));
    let mut taken = Vec::new();
    for second in 0..60 {
        if sweep.take(&ranges, hour, at(second)).is_some() {
            taken.push(second);
        }
    }
    assert_eq!(taken, [0, 10, 20, 30, 40, 50]);
    assert_eq!((sweep.began_at, sweep.finished_at), (at(40), Some(at(30))));
    // Nobody is asked about twice as fast after a pause.
    assert!(sweep.take(&ranges, hour, at(500)).is_some());
    assert_eq!(
        Sweep::new(at(0)).take(&Ranges::default(), hour, at(0)),
        None
    );
}

proptest! {
    #[test]
    fn a_round_meets_each_address_once(lengths in prop::collection::vec(22_u8..=32, 1..4)) {
        let prefixes: Vec<ipnetwork::IpNetwork> = lengths
            .iter()
            .enumerate()
            .map(|(index, length)| format!("10.{index}.0.0/{length}").parse().unwrap())
            .collect();
        let ranges = Ranges::of(&prefixes);
        let met: BTreeSet<Ipv4Addr> = (0..ranges.addresses()).filter_map(|place| ranges.at(place)).collect();
        prop_assert_eq!(met.len() as u64, ranges.addresses());
        let inside = |it: &Ipv4Addr| prefixes.iter().any(|prefix| prefix.contains(IpAddr::V4(*it)));
        prop_assert!(met.iter().all(inside));
        prop_assert_eq!(ranges.at(ranges.addresses()), None);
    }

    /// However answers come, one address has at most one listing, which opens before it closes.
    #[test]
    fn listings_open_and_close_in_turn(answers in prop::collection::vec((0_u8..4, 1_i64..40), 1..60)) {
        let mut watch = believed();
        let who = address("192.0.2.10");
        let (mut now, mut open) = (0, false);
        for (answer, pause) in answers {
            now += pause;
            match answer {
                0 => watch.heard(LIST, who, named(), at(now)),
                1 => watch.heard(LIST, who, Heard::Absent, at(now)),
                2 => watch.heard(LIST, who, silent(), at(now)),
                _ => drop(watch.heard_of_itself(LIST, at(now), None, at(now))),
            }
            for noted in watch.notes() {
                match noted.step {
                    Step::Opens => prop_assert!(!std::mem::replace(&mut open, true)),
                    Step::Closes => prop_assert!(std::mem::replace(&mut open, false)),
                    Step::Begins | Step::Forgets => prop_assert!(!open),
                    Step::Doubts => prop_assert!(open),
                    Step::Nothing | Step::Stays => {}
                }
            }
            prop_assert_eq!(watch.of_zones(at(now))[0].open, usize::from(open));
        }
    }
}
