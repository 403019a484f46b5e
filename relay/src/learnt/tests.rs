use std::fs;
use std::io::Write;

use super::*;

struct Fixture {
    learnt: Learnt,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

fn fixture(per_customer: usize) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("learnt.journal");
    Fixture {
        learnt: Learnt::open(&file, per_customer),
        file,
        _directory: directory,
    }
}

fn customer(text: &str) -> CustomerAddr {
    CustomerAddr::new(text.parse().unwrap())
}

fn mx(number: u32) -> OriginalDst {
    OriginalDst::new(SocketAddr::new(
        IpAddr::V4((0xcb00_7100 + number).into()),
        25,
    ))
}

fn record(line: &str) -> Result<Record, Damaged> {
    line.parse()
}

#[test]
fn what_was_learnt_outlives_the_relay_and_belongs_to_the_pair() {
    let fixture = fixture(20);
    let (four, six) = (customer("192.0.2.10"), customer("2001:db8:a:a::10"));
    fixture.learnt.learn(four, mx(1), Why::Verifies).unwrap();
    fixture.learnt.learn(six, mx(1), Why::OldTls).unwrap();
    for learnt in [&fixture.learnt, &Learnt::open(&fixture.file, 20)] {
        assert_eq!(learnt.why(four, mx(1)), Some(Why::Verifies));
        assert_eq!(learnt.why(four, mx(2)), None);
        assert_eq!(learnt.why(customer("192.0.2.11"), mx(1)), None);
        // IPv6 hosts rotate inside of a /64.
        let neighbour = customer("2001:db8:a:a:1:2:3:4");
        assert_eq!(learnt.why(neighbour, mx(1)), Some(Why::OldTls));
        assert_eq!(learnt.why(customer("2001:db8:a:b::10"), mx(1)), None);
        assert_eq!(learnt.learn(four, mx(1), Why::OldTls), Err(Refused::Known));
    }
}

#[test]
fn a_customer_has_a_budget_and_nobody_has_one_of_zero() {
    let fixture = fixture(2);
    let greedy = customer("192.0.2.10");
    for (number, expected) in [(1, Ok(())), (2, Ok(())), (3, Err(Refused::Budget))] {
        let learnt = fixture.learnt.learn(greedy, mx(number), Why::Verifies);
        assert_eq!(learnt, expected);
    }
    let other = customer("192.0.2.11");
    assert_eq!(fixture.learnt.learn(other, mx(3), Why::Verifies), Ok(()));
    // Less is allowed than was learnt before: nothing is spliced any more.
    assert_eq!(Learnt::open(&fixture.file, 0).why(greedy, mx(1)), None);
}

#[test]
fn what_a_person_revokes_a_running_relay_forgets_and_does_not_learn_again() {
    let fixture = fixture(2);
    let four = customer("192.0.2.10");
    for number in [1, 2] {
        fixture
            .learnt
            .learn(four, mx(number), Why::Verifies)
            .unwrap();
    }
    let learner = Learner::of(four.ip());
    let revoked = revoke(&fixture.file, learner, Some(mx(1).socket_addr())).unwrap();
    assert_eq!(revoked, [mx(1).socket_addr()]);
    assert_eq!(fixture.learnt.why(four, mx(1)), None);
    assert_eq!(fixture.learnt.why(four, mx(2)), Some(Why::Verifies));
    let again = fixture.learnt.learn(four, mx(1), Why::Verifies);
    assert_eq!(again, Err(Refused::Revoked));
    // It does not count against the budget.
    fixture.learnt.learn(four, mx(3), Why::Verifies).unwrap();
    let mut all = revoke(&fixture.file, learner, None).unwrap();
    all.sort();
    assert_eq!(all, [mx(2).socket_addr(), mx(3).socket_addr()]);
    assert_eq!(revoke(&fixture.file, learner, None).unwrap(), []);
    let (entries, damaged) = list(&fixture.file).unwrap();
    assert!(entries.iter().all(|entry| entry.state == State::Revoked));
    assert_eq!((entries.len(), damaged), (3, 0));
}

#[test]
fn damaged_lines_are_skipped_wherever_they_stand() {
    let fixture = fixture(20);
    let four = customer("192.0.2.10");
    fixture.learnt.learn(four, mx(1), Why::Verifies).unwrap();
    let mut file = fs::File::options()
        .append(true)
        .open(&fixture.file)
        .unwrap();
    file.write_all(
        b"learnt verifies 192.0.2.11 203.0.113.1:25 2999-01-01T00:00:00Z #00000000\n\xff\xfe\n\n",
    )
    .unwrap();
    // Torn by a crash: the next line must not be part of it.
    file.write_all(b"learnt verifies 192.0").unwrap();
    fixture.learnt.learn(four, mx(2), Why::Verifies).unwrap();
    let learnt = Learnt::open(&fixture.file, 20);
    assert_eq!(learnt.why(four, mx(1)), Some(Why::Verifies));
    assert_eq!(learnt.why(four, mx(2)), Some(Why::Verifies));
    assert_eq!(learnt.why(customer("192.0.2.11"), mx(1)), None);
    assert_eq!(list(&fixture.file).unwrap().1, 4);
}

#[test]
fn a_long_journal_is_written_anew_and_its_other_readers_notice() {
    let fixture = fixture(20);
    let reader = Learnt::open(&fixture.file, 20);
    let lapsed: String = (0..2000)
        .map(|number| {
            let record = Record {
                learner: Learner::of("192.0.2.99".parse().unwrap()),
                destination: mx(number % 200).socket_addr(),
                what: What::Learnt(Why::OldTls),
                until: "2020-01-01T00:00:00Z".parse().unwrap(),
            };
            format!("{record}\n")
        })
        .collect();
    fs::write(&fixture.file, lapsed).unwrap();
    assert_eq!(reader.why(customer("192.0.2.99"), mx(1)), None);
    let four = customer("192.0.2.10");
    fixture.learnt.learn(four, mx(1), Why::Verifies).unwrap();
    assert_eq!(
        fs::read_to_string(&fixture.file).unwrap().lines().count(),
        1
    );
    assert_eq!(reader.why(four, mx(1)), Some(Why::Verifies));
    fixture.learnt.learn(four, mx(2), Why::Verifies).unwrap();
    assert_eq!(reader.why(four, mx(2)), Some(Why::Verifies));
    fs::remove_file(&fixture.file).unwrap();
    assert_eq!(reader.why(four, mx(2)), None);
}

#[test]
fn relays_that_write_at_once_lose_nothing() {
    let fixture = fixture(100);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let file = &fixture.file;
            scope.spawn(move || {
                let learnt = Learnt::open(file, 100);
                for number in 0..20 {
                    let destination = mx(writer * 20 + number);
                    learnt
                        .learn(customer("192.0.2.10"), destination, Why::Verifies)
                        .unwrap();
                }
            });
        }
    });
    let (entries, damaged) = list(&fixture.file).unwrap();
    assert_eq!((entries.len(), damaged), (80, 0));
}

#[test]
fn a_full_disk_costs_the_memory_of_nothing_but_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    // A directory in the journal's place: neither root can write it.
    let learnt = Learnt::open(directory.path(), 20);
    let four = customer("192.0.2.10");
    assert_eq!(learnt.learn(four, mx(1), Why::Verifies), Ok(()));
    assert_eq!(learnt.why(four, mx(1)), Some(Why::Verifies));
}

#[test]
fn a_record_is_read_as_it_was_written() {
    for what in [
        What::Learnt(Why::Verifies),
        What::Learnt(Why::OldTls),
        What::Revoked,
    ] {
        for destination in ["203.0.113.10:25", "[2001:db8:b:1::10]:25"] {
            let expected = Record {
                learner: Learner::of("2001:db8:a:a::10".parse().unwrap()),
                destination: destination.parse().unwrap(),
                what,
                until: "2026-03-01T12:00:00Z".parse().unwrap(),
            };
            let line = expected.to_string();
            assert_eq!(record(&line), Ok(expected));
            for end in 0..line.len() {
                let torn = line.get(..end).unwrap();
                assert!(record(torn).is_err(), "{torn}");
            }
        }
    }
}
