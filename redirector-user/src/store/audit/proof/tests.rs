//! Trails of several writers, and everything that somebody may do to one.

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::store::audit::{Begin, End, FORMAT, Line, NoExport, Reading, payload_hash};

/// Rows of two writers, each chain in order, as a store would have written them.
fn trail(rows: usize, erased: &[Index]) -> Vec<Row> {
    let mut trail = Vec::new();
    for writer in ["outgated-a", "outgated-b"] {
        let mut last = String::from(FIRST);
        for seq in (1..).take(rows) {
            let (salt, payload) = (format!("salt {seq}"), format!("{{\"n\":{seq}}}"));
            let mut row = Row {
                writer: writer.to_owned(),
                seq,
                at_us: 1_750_000_000_000_000 + seq,
                actor: String::from("alice"),
                kind: String::from("flag added"),
                subject: format!("flag:{seq}"),
                payload_hash: payload_hash(&salt, &payload),
                payload: Some(payload),
                salt: Some(salt),
                prev_hash: last.clone(),
                hash: String::new(),
            };
            row.hash = row.chained_hash();
            last.clone_from(&row.hash);
            trail.push(row);
        }
    }
    for index in erased {
        let row = index.get_mut(&mut trail);
        (row.payload, row.salt) = (None, None);
    }
    trail
}

fn prove(from: From, heads: Vec<Head>, rows: &[Row]) -> Proof {
    let mut prover = Prover::new(from, heads);
    rows.iter().for_each(|row| prover.take(row));
    prover.finish()
}

fn heads_of(proof: &Proof) -> Vec<Head> {
    let heads = proof.writers.iter().map(|writer| writer.head.parse());
    heads
        .map(|head| head.unwrap_or_else(|never| match never {}))
        .collect()
}

fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap()
}

/// What somebody who has the file may do to one row.
#[derive(Clone, Debug)]
enum Tampering {
    Actor,
    Time,
    Kind,
    Subject,
    Payload,
    Salt,
    HalfErased,
    Rehashed,
    Removed,
    Swapped,
    Doubled,
    Renamed,
}

fn tamperings() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        Just(Tampering::Actor),
        Just(Tampering::Time),
        Just(Tampering::Kind),
        Just(Tampering::Subject),
        Just(Tampering::Payload),
        Just(Tampering::Salt),
        Just(Tampering::HalfErased),
        Just(Tampering::Rehashed),
        Just(Tampering::Removed),
        Just(Tampering::Swapped),
        Just(Tampering::Doubled),
        Just(Tampering::Renamed),
    ]
}

fn tamper(rows: &mut Vec<Row>, at: usize, how: &Tampering) {
    match how {
        Tampering::Actor => rows[at].actor.push('x'),
        Tampering::Time => rows[at].at_us -= 1,
        Tampering::Kind => rows[at].kind = String::from("flag lifted"),
        Tampering::Subject => rows[at].subject = String::from("flag:99"),
        Tampering::Payload => rows[at].payload = Some(String::from("{}")),
        Tampering::Salt => rows[at].salt = Some(String::from("other")),
        Tampering::HalfErased => {
            (rows[at].payload, rows[at].salt) = (None, Some(String::from("s")));
        }
        // Whoever changes a row and hashes it again must hash all after it again, too.
        Tampering::Rehashed => {
            rows[at].actor.push('x');
            rows[at].hash = rows[at].chained_hash();
        }
        Tampering::Removed => drop(rows.remove(at)),
        Tampering::Swapped => rows.swap(at, at + 1),
        Tampering::Doubled => rows.insert(at, rows[at].clone()),
        Tampering::Renamed => rows[at].writer = String::from("outgated-b"),
    }
}

proptest! {
    #[test]
    fn an_untouched_trail_holds_whatever_was_erased(
        rows in 1_usize..12, erased in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let trail = trail(rows, &erased);
        let proof = prove(From::First, Vec::new(), &trail);
        prop_assert!(proof.holds(), "{proof:?}");
        prop_assert_eq!(proof.writers.len(), 2);
        let gone = trail.iter().filter(|row| row.payload.is_none()).count() as u64;
        prop_assert_eq!(proof.writers.iter().map(|writer| writer.erased).sum::<u64>(), gone);
        // The same heads are met again, also when rows came after them.
        let heads = heads_of(&proof);
        prop_assert!(prove(From::First, heads.clone(), &trail).holds());
        let cut: Vec<_> = trail.iter().filter(|row| row.seq < number(rows)).cloned().collect();
        let proof = prove(From::First, heads.clone(), &cut);
        prop_assert!(!proof.holds(), "an end that was cut off is missed");
        prop_assert_eq!(proof.missing, heads.iter().map(ToString::to_string).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_done_to_a_row_is_found(
        rows in 3_usize..12, at in any::<Index>(), how in tamperings(),
    ) {
        let mut trail = trail(rows, &[]);
        // The last row of a chain is another test's.
        let at = at.index(rows - 1);
        tamper(&mut trail, at, &how);
        let proof = prove(From::First, Vec::new(), &trail);
        let broken = proof.writers.iter().find_map(|writer| {
            writer.broken.as_ref().map(|broken| (writer.writer.as_str(), broken.seq))
        });
        let (_, seq) = broken.expect("what was done is not found");
        let place = number(at) + 1;
        prop_assert!((place..=place + 1).contains(&seq), "row {place}, found at {seq} ({how:?})");
    }

    #[test]
    fn a_part_of_a_trail_holds_from_where_it_begins(rows in 2_usize..12, from in any::<Index>()) {
        let trail = trail(rows, &[]);
        let from = number(from.index(rows)) + 1;
        let part: Vec<_> = trail.iter().filter(|row| row.seq >= from).cloned().collect();
        prop_assert!(prove(From::Any, Vec::new(), &part).holds());
        prop_assert_eq!(prove(From::First, Vec::new(), &part).holds(), from == 1);
        // What was kept when the part began is where it begins.
        let before: Vec<_> = trail.iter().filter(|row| row.seq < from).cloned().collect();
        let heads = heads_of(&prove(From::First, Vec::new(), &before));
        prop_assert!(prove(From::Any, heads, &part).holds());
    }

    #[test]
    fn a_head_is_read_as_it_is_written(writer in "[a-z0-9-]{1,20}", seq in 0_i64.., hash in "[0-9a-f]{64}") {
        let head = Head { place: Some((writer, seq)), hash: hash.clone() };
        prop_assert_eq!(head.to_string().parse::<Head>(), Ok(head));
        prop_assert_eq!(hash.parse::<Head>(), Ok(Head { place: None, hash }));
    }
}

#[test]
fn an_export_says_whether_it_is_whole() {
    let rows = trail(3, &[]);
    let begin = Line::Begin(Begin {
        format: String::from(FORMAT),
        at: jiff::Timestamp::UNIX_EPOCH,
        since: None,
        anchors: Vec::new(),
    });
    let lines = |rows: &[Row], said| {
        let rows = rows.iter().cloned().map(Line::Row);
        let lines = std::iter::once(begin.clone()).chain(rows);
        let lines = lines.chain([Line::End(End { rows: said })]);
        let lines = lines.map(|line| serde_json::to_string(&line).unwrap());
        lines.collect::<Vec<_>>()
    };
    let read = |lines: &[String]| {
        let mut reading = Reading::new(Vec::new());
        for line in lines {
            reading.take(line.as_bytes())?;
        }
        reading.finish()
    };
    let whole = lines(&rows, 6);
    assert!(read(&whole).unwrap().holds());
    assert!(matches!(
        read(&whole[..5]),
        Err(NoExport::CutOff { rows: 4 })
    ));
    assert!(matches!(
        read(&lines(&rows, 7)),
        Err(NoExport::Rows { rows: 6, said: 7 })
    ));
    assert!(matches!(
        read(&whole[1..]),
        Err(NoExport::Order { line: 1, .. })
    ));
    let mut more = whole.clone();
    more.push(whole[1].clone());
    assert!(matches!(read(&more), Err(NoExport::Order { line: 9, .. })));
    more[2] = String::from("{}");
    assert!(matches!(read(&more), Err(NoExport::Line { line: 3, .. })));
    let mut other = rows;
    other[4].actor = String::from("mallory");
    let proof = read(&lines(&other, 6)).unwrap();
    assert_eq!(proof.writers[0].broken, None);
    assert_eq!(
        proof.writers[1].broken.as_ref().map(|broken| broken.seq),
        Some(2)
    );
}
