use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn fingerprint(number: usize) -> Fingerprint {
    of_customer([192, 0, 2, 10], number)
}

fn of_customer(customer: [u8; 4], number: usize) -> Fingerprint {
    let mut hash = ContentHash::default();
    hash.update(&number.to_be_bytes());
    hash.fingerprint(CustomerAddr::new(customer.into()), &ReversePath::Null, &[])
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join(FILE)
}

/// Opens what the relay before this one has left.
fn reopen(directory: &TempDir, before: Arc<Unheard>) -> Arc<Unheard> {
    assert_eq!(Arc::strong_count(&before), 1);
    drop(before);
    Unheard::open(directory.path())
}

#[tokio::test]
async fn a_fingerprint_is_used_once_also_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let mut unheard = Unheard::open(directory.path());
    assert!(!unheard.take(fingerprint(1)).await);
    for number in [1, 2, 3, 3] {
        unheard.remember(fingerprint(number)).await;
    }
    assert!(unheard.take(fingerprint(1)).await);
    assert!(!unheard.take(fingerprint(1)).await);

    for _ in 0..3 {
        unheard = reopen(&directory, unheard);
        assert!(!unheard.take(fingerprint(1)).await);
    }
    assert!(unheard.take(fingerprint(2)).await);
    // It was delivered twice without a word: two retries will come.
    assert!(unheard.take(fingerprint(3)).await);
    unheard = reopen(&directory, unheard);
    assert!(unheard.take(fingerprint(3)).await);
    assert!(!unheard.take(fingerprint(3)).await);
    assert!(!unheard.take(fingerprint(2)).await);
    // Nothing of what was used stays.
    let _unheard = reopen(&directory, unheard);
    assert_eq!(fs::read(file(&directory)).unwrap(), b"");
}

#[tokio::test]
async fn a_crash_at_any_octet_costs_the_last_record_at_most() {
    let directory = tempfile::tempdir().unwrap();
    let mut unheard = Unheard::open(directory.path());
    unheard.remember(fingerprint(1)).await;
    unheard.remember(fingerprint(2)).await;
    assert!(unheard.take(fingerprint(1)).await);
    let whole = fs::read(file(&directory)).unwrap();
    let record = whole.len() / 3;
    for length in 0..=whole.len() {
        fs::write(file(&directory), &whole[..length]).unwrap();
        unheard = reopen(&directory, unheard);
        let (first, second) = (
            unheard.take(fingerprint(1)).await,
            unheard.take(fingerprint(2)).await,
        );
        let expected = match length / record {
            0 => (false, false),
            1 => (true, false),
            2 => (true, true),
            _ => (false, true),
        };
        assert_eq!((first, second), expected, "{length} octets");
    }
}

#[tokio::test]
async fn two_relays_do_not_share_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    let first = Unheard::open(directory.path());
    let second = Unheard::open(directory.path());
    second.remember(fingerprint(1)).await;
    assert!(!second.take(fingerprint(1)).await);
    first.remember(fingerprint(1)).await;
    assert!(first.take(fingerprint(1)).await);
}

#[tokio::test]
async fn a_damaged_record_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let unheard = Unheard::open(directory.path());
    for number in 1..=3 {
        unheard.remember(fingerprint(number)).await;
    }
    let mut octets = fs::read(file(&directory)).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    fs::write(file(&directory), octets).unwrap();
    let unheard = reopen(&directory, unheard);
    assert!(unheard.take(fingerprint(1)).await);
    assert!(!unheard.take(fingerprint(2)).await);
    assert!(unheard.take(fingerprint(3)).await);
}

#[tokio::test]
async fn without_a_journal_nothing_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(file(&directory)).unwrap();
    let unheard = Unheard::open(directory.path());
    unheard.remember(fingerprint(1)).await;
    assert!(!unheard.take(fingerprint(1)).await);

    // One that breaks later is given up, with all that it knew, and the file with it: what is used from
    // then on would be used again after a restart.
    let directory = tempfile::tempdir().unwrap();
    let unheard = Unheard::open(directory.path());
    unheard.remember(fingerprint(1)).await;
    unheard.remember(fingerprint(2)).await;
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let path = file(&directory);
    unheard
        .journal
        .lock()
        .unwrap()
        .as_mut()
        .unwrap()
        .break_with(full.unwrap());
    assert!(!unheard.take(fingerprint(1)).await);
    assert!(!unheard.take(fingerprint(2)).await);
    assert!(!path.exists());
    let unheard = reopen(&directory, unheard);
    assert!(!unheard.take(fingerprint(2)).await);
}

#[test]
fn the_numbers_are_bounded_and_a_customer_pushes_out_its_own() {
    let mut entries = Entries::default();
    let insert = |entries: &mut Entries, fingerprint| {
        let expires = 1000;
        entries.insert(
            Entry {
                fingerprint,
                expires,
            },
            900,
        );
    };
    insert(&mut entries, of_customer([10, 0, 0, 1], 0));
    for number in 0..=CUSTOMER_ENTRIES_MAX {
        insert(&mut entries, fingerprint(number));
    }
    assert_eq!(entries.by_number.len(), 1 + CUSTOMER_ENTRIES_MAX);
    assert!(entries.remove(&fingerprint(0), 900).is_none());
    assert!(entries.remove(&fingerprint(1), 900).is_some());
    assert!(
        entries
            .remove(&of_customer([10, 0, 0, 1], 0), 900)
            .is_some()
    );

    for number in 0..ENTRIES_MAX + 10 {
        let [.., a, b, c, d] = number.to_be_bytes();
        insert(&mut entries, of_customer([a, b, c, d], number));
    }
    assert_eq!(entries.by_number.len(), ENTRIES_MAX);
    assert_eq!(entries.by_fingerprint.len(), ENTRIES_MAX);
    assert_eq!(entries.of_customer.len(), ENTRIES_MAX);
    assert!(entries.remove(&of_customer([0, 0, 0, 9], 9), 900).is_none());
    let last = ENTRIES_MAX + 9;
    let [.., a, b, c, d] = last.to_be_bytes();
    assert!(
        entries
            .remove(&of_customer([a, b, c, d], last), 900)
            .is_some()
    );
}

#[test]
fn an_entry_ends_after_a_day_whatever_the_clock_does() {
    let day = LIFETIME.as_secs();
    let entry = Entry {
        fingerprint: fingerprint(1),
        expires: 1_000_000 + day,
    };
    let lives = |now| {
        let mut entries = Entries::default();
        entries.insert(entry, now);
        entries.remove(&fingerprint(1), now).is_some()
    };
    assert!(lives(1_000_000));
    assert!(lives(1_000_000 + day - 1));
    assert!(!lives(1_000_000 + day));
    // The clock was a year ahead when it was written.
    assert!(!lives(1_000_000 - 1));
}

#[test]
fn customer_envelope_and_content_all_count_and_the_order_of_recipients_does_not() {
    use relay_proto::wire::command::Command;

    let path = |address: &str| match Command::parse(format!("MAIL FROM:<{address}>").as_bytes()) {
        Ok(Command::Mail(mail)) => mail.reverse_path,
        other => panic!("{other:?}"),
    };
    let to = |address: &str| match Command::parse(format!("RCPT TO:<{address}>").as_bytes()) {
        Ok(Command::Rcpt(recipient)) => recipient,
        other => panic!("{other:?}"),
    };
    let of = |customer: &str, from: &str, recipients: &[&str], pieces: &[&[u8]]| {
        let mut hash = ContentHash::default();
        pieces.iter().for_each(|piece| hash.update(piece));
        let recipients: Vec<_> = recipients.iter().map(|address| to(address)).collect();
        let customer = CustomerAddr::new(customer.parse().unwrap());
        hash.fingerprint(customer, &path(from), &recipients)
    };
    let first = of("192.0.2.10", "a@x", &["b@y", "c@y"], &[b"Subject: x\r\n"]);
    let same = of(
        "192.0.2.10",
        "a@x",
        &["c@y", "b@y"],
        &[b"Subj", b"ect: x\r\n"],
    );
    assert_eq!(first, same);
    for other in [
        of("192.0.2.11", "a@x", &["b@y", "c@y"], &[b"Subject: x\r\n"]),
        of("192.0.2.10", "a@z", &["b@y", "c@y"], &[b"Subject: x\r\n"]),
        of("192.0.2.10", "a@x", &["b@y"], &[b"Subject: x\r\n"]),
        of("192.0.2.10", "a@x", &["b@y", "c@y"], &[b"Subject: y\r\n"]),
        of("2001:db8::10", "a@x", &["b@y", "c@y"], &[b"Subject: x\r\n"]),
    ] {
        assert_ne!(first, other);
    }
}
