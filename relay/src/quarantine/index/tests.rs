use super::*;
use crate::quarantine::record::tests::record;

fn index() -> Index {
    let mut index = Index::default();
    for (id, at, customer, simhash, text) in [
        ("A", "2026-11-20T12:00:00Z", "192.0.2.10", Some(0b10000), 1),
        ("B", "2026-11-21T12:00:00Z", "192.0.2.11", Some(0b10111), 2),
        (
            "C",
            "2026-11-22T12:00:00Z",
            "2001:db8:a:a::10",
            Some(0b11111),
            3,
        ),
        ("D", "2026-11-23T12:00:00Z", "192.0.2.10", None, 1),
    ] {
        let mut record = record(id, at, customer);
        record.simhash = simhash;
        record.text_hash = Some(text);
        index.insert(&record, State::Kept);
    }
    index
}

fn ids(found: &[Found]) -> String {
    found.iter().map(|found| found.id.to_string()).collect()
}

#[test]
fn records_are_found_by_all_that_is_asked_the_newest_first() {
    let mut index = index();
    index.get_mut(&"B".parse().unwrap()).unwrap().state = State::Released;
    let all = Wanted::default();
    let cases = [
        (all.clone(), "DCBA"),
        (
            Wanted {
                customer: Some("192.0.2.10/32".parse().unwrap()),
                ..all.clone()
            },
            "DA",
        ),
        (
            Wanted {
                customer: Some("2001:db8::/32".parse().unwrap()),
                ..all.clone()
            },
            "C",
        ),
        (
            Wanted {
                since: Some("2026-11-21T12:00:00Z".parse().unwrap()),
                ..all.clone()
            },
            "DCB",
        ),
        (
            Wanted {
                verdict: Some("spam".into()),
                ..all.clone()
            },
            "DCBA",
        ),
        (
            Wanted {
                verdict: Some("malware".into()),
                ..all.clone()
            },
            "",
        ),
        (
            Wanted {
                flag_id: Some(17),
                ..all.clone()
            },
            "DCBA",
        ),
        (
            Wanted {
                identity: Some("ann".into()),
                ..all.clone()
            },
            "",
        ),
        (
            Wanted {
                state: Some(State::Released),
                ..all.clone()
            },
            "B",
        ),
        (
            Wanted {
                releasable: true,
                ..all.clone()
            },
            "DCA",
        ),
        // By three bits, by the very text; C is four bits from A.
        (
            Wanted {
                alike: Some("A".parse().unwrap()),
                ..all.clone()
            },
            "DBA",
        ),
        (
            Wanted {
                alike: Some("D".parse().unwrap()),
                ..all.clone()
            },
            "DA",
        ),
    ];
    for (wanted, expected) in cases {
        let found = index.find(&wanted, 10).unwrap();
        assert_eq!(ids(&found), expected, "{wanted:?}");
    }
    assert_eq!(ids(&index.find(&all, 2).unwrap()), "DC");
    let unknown = Wanted {
        alike: Some("Z".parse().unwrap()),
        ..all
    };
    assert!(index.find(&unknown, 10).is_none());
}

#[test]
fn octets_are_counted_and_given_back() {
    let mut index = index();
    assert_eq!((index.len(), index.octets()), (4, 4 * 1800));
    let again = record("A", "2026-11-20T12:00:00Z", "192.0.2.10");
    index.insert(&again, State::Kept);
    assert_eq!((index.len(), index.octets()), (4, 4 * 1800));
    index.lost(Part::Body, &again.id, 1600);
    index.remove(&"B".parse().unwrap());
    assert_eq!((index.len(), index.octets()), (3, 2 * 1800 + 200));
    index.remove(&again.id);
    assert_eq!((index.len(), index.octets()), (2, 2 * 1800));
    // After a restart parts are there that were found.
    index.recover(&again, State::Kept);
    assert_eq!((index.len(), index.octets()), (3, 2 * 1800));
    assert!(!index.get(&again.id).unwrap().is_releasable());
    for _ in 0..2 {
        assert!(index.found(Part::Body, &again.id, 1600));
    }
    assert_eq!(index.octets(), 2 * 1800 + 1600);
    assert!(index.get(&again.id).unwrap().is_releasable());
    assert!(!index.found(Part::Body, &"Z".parse().unwrap(), 1600));
}

#[test]
fn a_sample_is_of_what_is_wanted_and_everybody_has_a_chance() {
    let index = index();
    let all = Wanted::default();
    assert_eq!(index.sample(&all, 10).len(), 4);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let sample = index.sample(&all, 2);
        assert_eq!(sample.len(), 2);
        assert_ne!(sample[0].id, sample[1].id);
        seen.extend(sample.into_iter().map(|found| found.id.to_string()));
    }
    assert_eq!(seen.len(), 4);
    let one = Wanted {
        customer: Some("192.0.2.11/32".parse().unwrap()),
        ..all
    };
    assert_eq!(ids(&index.sample(&one, 3)), "B");
}

#[test]
fn a_million_records_take_less_than_half_a_gigabyte() {
    // Leaves of the tree are half full at worst; a name has its octets elsewhere, and an allocation at least 32.
    let each = 2 * size_of::<(RecordId, Entry)>() + 2 * 32;
    assert!(1_000_000 * each < 500_000_000, "{each} octets");
}
