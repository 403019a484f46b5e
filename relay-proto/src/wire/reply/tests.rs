//! Replies as they are made, read and said.

use super::*;

fn encoded(reply: &Reply, utf8: bool) -> String {
    let mut out = BytesMut::new();
    reply.encode(utf8, &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

fn parse(lines: &[&str]) -> Result<Option<Reply>, ReplyError> {
    let mut parser = Parser::default();
    for line in lines {
        if let Some(reply) = parser.line(line.as_bytes())? {
            return Ok(Some(reply));
        }
    }
    Ok(None)
}

#[test]
fn every_line_carries_the_enhanced_code() {
    let reply = Reply::new(550, "5.7.1", "no\nsee https://example.net");
    assert_eq!(
        encoded(&reply, false),
        "550-5.7.1 no\r\n550 5.7.1 see https://example.net\r\n"
    );
    assert_eq!(reply.enhanced(), Some("5.7.1"));
    assert_eq!(reply.text(), "no see https://example.net");
}

#[test]
fn nothing_in_a_text_starts_a_line_of_its_own() {
    let reply = Reply::new(550, "5.7.1", "a\r250 ok\u{85}b\0c\td");
    assert_eq!(encoded(&reply, true), "550 5.7.1 a?250 ok?b?c d\r\n");
    let empty = Reply::plain(354, "");
    assert_eq!(encoded(&empty, true), "354 \r\n");
}

#[test]
fn utf8_is_said_only_to_who_asked_for_it() {
    let reply = Reply::new(550, "5.1.1", "kein Empfänger");
    assert_eq!(encoded(&reply, false), "550 5.1.1 kein Empf?nger\r\n");
    assert_eq!(encoded(&reply, true), "550 5.1.1 kein Empfänger\r\n");
}

#[test]
fn long_lines_are_cut_to_512_octets_and_lose_nothing() {
    let words = "word ".repeat(300);
    let unbroken = "ö".repeat(900);
    for text in [words.trim_end(), &unbroken] {
        let reply = Reply::new(554, "5.7.1", text);
        let wire = encoded(&reply, true);
        let lines: Vec<&str> = wire.split_terminator("\r\n").collect();
        assert!(lines.iter().all(|line| line.len() + 2 <= 512), "{wire}");
        assert!(lines.len() > 2 && lines.iter().all(|l| l.get(4..10) == Some("5.7.1 ")));
        let read = parse(&lines).unwrap().unwrap();
        assert_eq!(read.text().replace(' ', ""), text.replace(' ', ""));
    }
}

#[test]
fn a_reply_passed_on_gets_a_generic_enhanced_code() {
    let cases = [
        ("250 queued", "250 2.0.0 queued"),
        ("250 2.6.0 queued", "250 2.6.0 queued"),
        ("550 2.0.0 odd", "550 5.0.0 2.0.0 odd"),
        ("550 +5.7.1 odd", "550 5.0.0 +5.7.1 odd"),
        ("450 4.1 odd", "450 4.0.0 4.1 odd"),
        ("354 go on", "354 go on"),
    ];
    for (line, said) in cases {
        let reply = parse(&[line]).unwrap().unwrap().or_generic_enhanced();
        assert_eq!(reply.to_string(), said);
    }
}

#[test]
fn replies_are_read_from_their_lines() {
    let reply = parse(&["250-2.1.0 a", "250-", "250 b"]).unwrap().unwrap();
    assert_eq!(reply.code(), Code(250));
    assert_eq!(reply.lines().collect::<Vec<_>>(), ["2.1.0 a", "", "b"]);
    assert_eq!(parse(&["250"]), Ok(Some(Reply::plain(250, ""))));
    assert_eq!(parse(&["250-a"]), Ok(None));
}

#[test]
fn malformed_replies_are_refused() {
    use ReplyError::*;
    let many = vec!["250-x"; 129];
    let long = format!("250-{}", "x".repeat(2000));
    let large = vec![long.as_str(); 33];
    let cases: [(&[&str], ReplyError); 10] = [
        (&[""], NoCode),
        (&["25"], NoCode),
        (&["2x0 a"], NoCode),
        (&["199 a"], NoCode),
        (&["600 a"], NoCode),
        (&["²50 a"], NoCode),
        (&["250_a"], Separator),
        (&["250-a", "251 b"], Inconsistent),
        (&many, TooLong),
        (&large, TooLong),
    ];
    for (lines, error) in cases {
        assert_eq!(parse(lines), Err(error), "{:?}", lines.first());
    }
}
