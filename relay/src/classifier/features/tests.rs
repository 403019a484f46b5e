use proptest::prelude::*;

use super::*;

fn named(content: &str) -> Vec<String> {
    let features = Extractor::default()
        .named_features(content.as_bytes())
        .unwrap();
    features.named.into_iter().map(|one| one.words).collect()
}

#[track_caller]
fn assert_says(content: &str, expected: &[&str], never: &[&str]) {
    let said = named(content);
    for what in expected {
        assert!(
            said.iter().any(|words| words == what),
            "{what:?} is not in {said:#?}"
        );
    }
    for what in never {
        assert!(
            !said.iter().any(|words| words.contains(what)),
            "{what:?} is in {said:#?}"
        );
    }
}

#[test]
fn what_a_message_says_and_how_it_is_made_are_features() {
    assert_says(
        "From: \"Offers 4 U!\" <x9911@b.example>\r\nReply-To: c@d.example\r\nSubject: BUY NOW!!\r\nDate: Wed, 21 Aug 2002 20:31:57 -1600\r\n\
         Message-ID: <0103c1042@DD_IT7>\r\nX-Priority: 1\r\nContent-Type: text/html; charset=\"windows-1251\"\r\n\r\n\
         <p>Click <a href=\"http://192.0.2.7/a.php?x=1\">here</a> f r e e<!-- x -->! V<b>iag</b>ra</p>",
        &[
            "the words \"click here\"",
            "the word \"viagra\"",
            "the word \"free\"",
            "\"buy now\" together in the subject",
            "\"offers\" in the author's name",
            "\"off\" in the author's name",
            "signs in the author's name",
            "Reply-To leads to another domain than From",
            "a link to an address instead of a host",
            "the Message-ID names no domain",
            "a Date in no time zone",
            "marked as urgent",
            "HTML without text",
            "the charset windows-1251",
            "no header field to",
            "1 words with spaces between their letters",
        ],
        &["b.example", "d.example"],
    );
}

#[test]
fn a_long_letter_does_not_drown_how_it_was_made() {
    let extractor = Extractor::default();
    let letter = |words: usize| {
        let word = |number: usize| {
            let letter =
                |shift: usize| char::from(b"abcdefghijklmnopqrstuvwxyz"[number / shift % 26]);
            [letter(1), letter(26), letter(3), letter(7)]
                .iter()
                .collect::<String>()
        };
        let text: Vec<String> = (0..words).map(word).collect();
        let content = format!(
            "Subject: hello\r\nX-Mailer: mass\r\n\r\n{}\r\n",
            text.join(" ")
        );
        extractor.features(content.as_bytes()).unwrap()
    };
    let (short, long) = (letter(10), letter(1000));
    let value = |features: &Features, about| features.value(about);
    assert!(value(&long, About::Said) < value(&short, About::Said) / 5.0);
    assert!((value(&long, About::Made) / value(&short, About::Made) - 1.0).abs() < 0.1);
    // Nobody gains by writing much: all words of a message together have one length.
    for features in [&short, &long] {
        for (buckets, value) in features.groups() {
            let squares = buckets.iter().map(|_| value * value).sum::<f64>();
            assert!(squares.sqrt() < SAID_LENGTH + 1e-9, "{squares}");
        }
    }
}

#[test]
fn what_others_have_added_is_no_feature() {
    let author = "From: a@b.example\r\nSubject: hello\r\n\r\nsome text that is worth reading\r\n";
    let added = format!(
        "Return-Path: <secretword@b.example>\r\nReceived: from secretword by mx (secretword)\r\nDelivered-To: secretword\r\n\
         X-Spam-Status: Yes, score=99 secretword\r\nX-Spam-Flag: YES\r\nAuthentication-Results: secretword\r\nDKIM-Signature: secretword\r\n\
         Status: RO\r\nX-Status: secretword\r\nX-Keywords: secretword\r\nPrecedence: bulk\r\nErrors-To: secretword@x.example\r\n{author}"
    );
    assert_eq!(named(author), named(&added));
}

#[test]
fn what_a_list_has_added_is_no_feature() {
    let author =
        "From: a@b.example\r\nSubject: Re: hello\r\n\r\nsome text that is worth reading\r\n";
    let through_list = "From: a@b.example\r\nReply-To: list@lists.example\r\nSubject: Re: [ILUG] hello\r\nList-Post: <mailto:list@lists.example>\r\n\
        List-Unsubscribe: <http://lists.example/listinfo>\r\nX-BeenThere: list@lists.example\r\n\r\nsome text that is worth reading\r\n\
        _______________________________________________\r\nirish mailing list\r\nhttp://lists.example/mailman/listinfo/ilug\r\n";
    assert_eq!(named(author), named(through_list));
    // A newsletter's own field is its author's.
    let newsletter = author.replace(
        "Subject",
        "List-Unsubscribe: <http://b.example/u>\r\nSubject",
    );
    assert_ne!(named(author), named(&newsletter));
}

#[test]
fn words_are_found_in_every_encoding_and_part() {
    assert_says(
        "Subject: =?utf-8?B?R2V3aW5u?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nGl=FCckwunsch=\r\n bis morgen\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         PHA+SmFja3BvdDwvcD4=\r\n--b\r\nContent-Type: application/zip; name=\"invoice.pdf.zip\"\r\n\r\nx\r\n--b--\r\n",
        &[
            "\"gewinn\" in the subject",
            "the word \"glückwunsch\"",
            "the word \"jackpot\"",
            "an attachment of type .zip",
            "an attachment with two extensions",
            "HTML and text",
        ],
        &[],
    );
    // A script without blanks, letters of two alphabets, and what nobody sees.
    assert_says(
        "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n免费获得大奖请点击这里 p\u{430}ypal lot\u{200b}tery\r\n",
        &[
            "the word \"免费\"",
            "the word \"点击\"",
            "1 words of two alphabets",
            "the word \"lottery\"",
            "1 characters that nobody sees",
        ],
        &[],
    );
}

#[test]
fn messages_inside_of_messages_are_read_and_have_a_bound() {
    let nest = |depth: usize, inner: &str| {
        let outer = "Subject: x\r\nContent-Type: Message/ (x) RFC822\r\n\r\n";
        outer.repeat(depth) + inner
    };
    let inner = "Subject: y\r\n\r\njackpot\r\n";
    assert_says(
        &nest(2, inner),
        &["the word \"jackpot\"", "a message hangs on it"],
        &[],
    );
    let extractor = Extractor::default();
    // Enough to overflow a stack, for who follows.
    for depth in [DEPTH_MAX + 1, 8000] {
        assert_eq!(
            extractor.features(nest(depth, inner).as_bytes()),
            Err(Unscannable::Deep),
            "{depth}"
        );
    }
}

#[test]
fn what_cannot_be_judged_is_named() {
    let extractor = Extractor::default();
    let parts = |count: usize| {
        let part = "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n";
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
            part.repeat(count)
        )
    };
    let multiparts = (0..100).map(|number| {
        format!("Content-Type: multipart/mixed; boundary=b{number}\r\n\r\n--b{number}\r\n")
    });
    let image = format!(
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGA\r\n".repeat(8000)
    );
    for (what, content, expected) in [
        ("nothing", String::new(), Unscannable::NoHeader),
        (
            "header",
            format!("X: {}\r\n\r\n", "x\r\n ".repeat(20_000)),
            Unscannable::LargeHeader,
        ),
        ("parts", parts(PARTS_MAX + 1), Unscannable::ManyParts),
        ("multiparts", multiparts.collect(), Unscannable::ManyParts),
        (
            "parameters",
            format!(
                "Content-Type: text/plain{}\r\n\r\nx",
                ";\r\n a*0=x".repeat(4000)
            ),
            Unscannable::ManyParts,
        ),
        ("an image", image, Unscannable::NoText),
    ] {
        assert_eq!(
            extractor.features(content.as_bytes()),
            Err(expected),
            "{what}"
        );
    }
    assert!(extractor.features(parts(PARTS_MAX - 2).as_bytes()).is_ok());
    // Receivers show what has no header, so it is judged.
    assert_says("jackpot\r\n", &["the word \"jackpot\""], &[]);
}

#[test]
fn a_mailing_is_the_same_whatever_it_calls_its_recipient() {
    let extractor = Extractor::default();
    let letter = |name: &str, number: u32| {
        let text = format!(
            "Subject: offer {number}\r\nFrom: {name}\r\n\r\nThis week only we offer you the best of what we have in store for friends like you \
             {name} at http://shop{number}.example/{number} with ticket {number}\r\n"
        );
        extractor.sameness(text.as_bytes())
    };
    assert_eq!(letter("a@b.example", 1), letter("c@d.example", 77));
    assert_ne!(
        letter("a@b.example", 1),
        extractor.sameness(b"Subject: x\r\n\r\nquite another text\r\n")
    );
}

#[test]
fn the_same_octets_have_the_same_features() {
    let content = b"From: a@b.example\r\nSubject: x\r\n\r\nhello there, dear friend\r\n";
    let features = |extractor: &Extractor| extractor.features(content).unwrap();
    let extractor = Extractor::default();
    assert_eq!(features(&extractor), features(&Extractor::default()));
    let plain = features(&extractor);
    let named = extractor.named_features(content).unwrap();
    assert_eq!(plain.groups(), named.groups());
    assert_eq!(named.named.len(), named.len());
    for (buckets, _) in plain.groups() {
        assert!(buckets.is_sorted_by(|one, other| one < other));
    }
}

/// Lines that a parser of mail has something to do with.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=b".to_owned()),
        Just("Content-Type: message/(x)rfc822".to_owned()),
        Just("Content-Type: multipart/digest; boundary=\"c\"".to_owned()),
        Just("Content-Type: text/html; charset=utf-7".to_owned()),
        Just("Content-Transfer-Encoding: base64".to_owned()),
        Just("Content-Transfer-Encoding: quoted-printable".to_owned()),
        Just("Subject: =?utf-8?Q?=FF=80?= =?x?B?AA".to_owned()),
        Just("--b".to_owned()),
        Just("--c--".to_owned()),
        Just(String::new()),
        Just(
            "<a href='http://[::1]@x:99/%%?&'><div style=display:none>&#xFFFFFFFF;</a>".to_owned()
        ),
        "[ -~]{0,40}",
        "\\PC{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_octets_panic_or_cost_more_than_the_bounds(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
        drop(Extractor::default().named_features(&octets));
    }

    #[test]
    fn no_message_panics_or_says_two_things(lines in proptest::collection::vec(line(), 0..40)) {
        let extractor = Extractor::default();
        let content = lines.join("\r\n");
        let features = extractor.features(content.as_bytes());
        let buckets = |it: Features| (it.said, it.made);
        prop_assert_eq!(features.map(buckets), extractor.named_features(content.as_bytes()).map(buckets));
        prop_assert_eq!(extractor.sameness(content.as_bytes()), extractor.sameness(content.as_bytes()));
        // Where a line ends with LF alone, nothing is worse.
        drop(extractor.features(lines.join("\n").as_bytes()));
    }
}
