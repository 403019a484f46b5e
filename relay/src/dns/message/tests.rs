use std::net::Ipv4Addr;
use std::str::FromStr;

use hickory_proto::rr::rdata::{A, CNAME, MX, SOA, TXT};

use super::*;

fn name(text: &str) -> Name {
    Name::from_str(text).unwrap()
}

fn question(kind: RecordType) -> Question {
    Question::new(Some(&DnsName::new("mail.example.org").unwrap()), kind).unwrap()
}

/// An answer to `question`, before `change`.
fn answer(question: &Question, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::response(question.id, OpCode::Query);
    message.add_query(question.query.clone());
    message.metadata.authentic_data = true;
    change(&mut message);
    message.to_vec().unwrap()
}

#[track_caller]
fn read(question: &Question, change: impl FnOnce(&mut Message)) -> (Answer, Duration) {
    match question.read(&answer(question, change)) {
        Reading::Answer(answer, holds) => (answer, holds),
        other => panic!("{other:?}"),
    }
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    let address = Ipv4Addr::new(203, 0, 113, last);
    Record::from_rdata(name(owner), ttl, RData::A(A(address)))
}

fn alias(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(
        name("ns.example."),
        name("host.example."),
        1,
        2,
        3,
        4,
        minimum,
    );
    Record::from_rdata(name("example.org."), ttl, RData::SOA(soa))
}

#[test]
fn every_question_asks_for_ad_and_leaves_room_for_no_fragment() {
    let question = question(RecordType::MX);
    let sent = Message::from_vec(question.octets()).unwrap();
    assert!(sent.metadata.authentic_data && sent.metadata.recursion_desired);
    assert!(!sent.metadata.checking_disabled);
    assert_eq!(sent.max_payload(), 1232);
    assert_eq!(
        sent.queries[0].name.to_lowercase(),
        name("mail.example.org.")
    );
    let root = Question::new(None, RecordType::SOA).unwrap();
    assert!(root.query.name.is_root());
}

#[test]
fn only_an_answer_to_this_very_question_is_read() {
    let question = question(RecordType::A);
    let is_foreign = |octets: &[u8]| matches!(question.read(octets), Reading::Foreign);
    assert!(!is_foreign(&answer(&question, |_| {})));
    assert!(is_foreign(&answer(&question, |it| it.metadata.id ^= 1)));
    assert!(is_foreign(&answer(&question, |it| {
        it.metadata.message_type = MessageType::Query;
    })));
    assert!(is_foreign(&answer(&question, |it| {
        it.queries[0].query_type = RecordType::AAAA;
    })));
    assert!(is_foreign(&answer(&question, |it| it.queries.clear())));
    // Letters in another case are somebody's who did not see the question.
    assert!(is_foreign(&answer(&question, |it| {
        let shown = it.queries[0].name.to_ascii();
        let flipped: String = shown
            .chars()
            .map(|c| {
                if c.is_ascii_uppercase() {
                    c.to_ascii_lowercase()
                } else {
                    c.to_ascii_uppercase()
                }
            })
            .collect();
        it.queries[0].name = name(&flipped);
    })));
    assert!(is_foreign(b""));
    assert!(is_foreign(&[0; 11]));
}

#[test]
fn what_did_not_fit_and_what_failed_is_told_apart() {
    let question = question(RecordType::A);
    let truncated = answer(&question, |it| it.metadata.truncation = true);
    assert!(matches!(question.read(&truncated), Reading::Truncated));
    // Cut in the middle of its only record.
    let mut cut = answer(&question, |it| {
        it.metadata.truncation = true;
        it.add_answer(a("mail.example.org.", 300, 1));
    });
    cut.truncate(cut.len() - 3);
    assert!(matches!(question.read(&cut), Reading::Truncated));
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::NotImp,
    ] {
        let failed = answer(&question, |it| it.metadata.response_code = code);
        assert!(matches!(question.read(&failed), Reading::Failed(it) if it == code));
    }
}

#[test]
fn aliases_are_followed_and_the_shortest_lifetime_counts() {
    let (found, holds) = read(&question(RecordType::A), |it| {
        it.add_answer(alias("mail.example.org.", 300, "a.example.net."));
        it.add_answer(alias("a.example.net.", 60, "b.example.net."));
        it.add_answer(a("b.example.net.", 900, 7));
        it.add_answer(a("unrelated.example.", 1, 8));
    });
    let addresses: Vec<_> = found.addresses().collect();
    assert_eq!(addresses, [Ipv4Addr::new(203, 0, 113, 7)]);
    assert_eq!(found.canonical().unwrap().as_str(), "b.example.net");
    assert!(found.aliased() && found.secure() && found.exists());
    assert_eq!(holds, Duration::from_secs(60));

    // In a circle there is nothing.
    let (found, _) = read(&question(RecordType::A), |it| {
        it.add_answer(alias("mail.example.org.", 300, "a.example.net."));
        it.add_answer(alias("a.example.net.", 300, "mail.example.org."));
    });
    assert!(found.data().is_empty());
}

#[test]
fn what_is_not_there_keeps_ad_and_the_lifetime_of_its_zone() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let (found, holds) = read(&question(RecordType::TLSA), |it| {
            it.metadata.response_code = code;
            it.add_authority(soa(600, 120));
        });
        assert!(found.secure() && found.data().is_empty());
        assert_eq!(found.exists(), code == ResponseCode::NoError);
        assert_eq!(holds, Duration::from_secs(120));
    }
    let (_, holds) = read(&question(RecordType::A), |_| {});
    assert_eq!(holds, TTL_MIN);
    let (_, holds) = read(&question(RecordType::A), |it| {
        it.add_answer(a("mail.example.org.", 0, 1));
    });
    assert_eq!(holds, TTL_MIN);
}

#[test]
fn records_are_bounded_and_read_for_what_they_are() {
    let (found, _) = read(&question(RecordType::A), |it| {
        for last in 0..=255 {
            it.add_answer(a("mail.example.org.", 300, last));
        }
    });
    assert_eq!(found.data().len(), RECORDS_MAX);

    let (found, _) = read(&question(RecordType::MX), |it| {
        for (preference, host) in [(10, "MX.example.net."), (0, "."), (20, "*.example.")] {
            let mx = RData::MX(MX::new(preference, name(host)));
            it.add_answer(Record::from_rdata(name("mail.example.org."), 300, mx));
        }
    });
    let exchanger = |preference, host: Option<&str>, null| Data::Exchanger {
        preference,
        host: host.map(|host| DnsName::new(host).unwrap()),
        null,
    };
    let expected = [
        exchanger(10, Some("mx.example.net"), false),
        exchanger(0, None, true),
        exchanger(20, None, false),
    ];
    assert_eq!(found.data(), expected);

    let (found, _) = read(&question(RecordType::TXT), |it| {
        let text = TXT::new(vec!["v=STSv1; ".into(), "id=1;".into()]);
        it.add_answer(Record::from_rdata(
            name("mail.example.org."),
            300,
            RData::TXT(text),
        ));
    });
    assert_eq!(
        found.data(),
        [Data::Text(b"v=STSv1; id=1;".as_slice().into())]
    );
}

#[test]
fn no_octets_are_too_strange_to_be_read() {
    let mut random = fastrand::Rng::with_seed(53);
    let question = question(RecordType::MX);
    let whole = answer(&question, |it| {
        it.add_answer(alias("mail.example.org.", 300, "a.example.net."));
        let mx = RData::MX(MX::new(10, name("mx.example.net.")));
        it.add_answer(Record::from_rdata(name("a.example.net."), 300, mx));
        it.add_authority(soa(600, 120));
    });
    let mut read = 0;
    for _ in 0..20_000 {
        let mut octets = whole.clone();
        // What stands before the records stays often enough that they are looked at.
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..octets.len());
            octets[place] = random.u8(..);
        }
        octets.truncate(random.usize(..=octets.len() * 2).min(octets.len()));
        if let Reading::Answer(answer, holds) = question.read(&octets) {
            read += 1;
            assert!(answer.data().len() <= RECORDS_MAX);
            assert!((TTL_MIN..=POSITIVE_MAX).contains(&holds));
        }
    }
    assert!(read > 100, "{read}");
}
