//! Pure rules; look-ups are tested with a real resolver in `tests/it`.

use super::*;

#[test]
fn a_domain_answers_for_itself_and_what_is_below_it() {
    for (signer, domain, expected) in [
        ("example.net", "example.net", true),
        ("EXAMPLE.net", "example.NET", true),
        ("example.net", "mail.example.net", true),
        ("mail.example.net", "example.net", false),
        ("a.example.net", "b.example.net", false),
        ("ample.net", "example.net", false),
        ("net", "example.net", false),
        ("", "example.net", false),
        (".", "example.net", false),
        (".net", "example.net", false),
    ] {
        assert_eq!(answers_for(signer, domain), expected, "{signer} {domain}");
    }
}

#[test]
fn signatures_are_counted_in_the_header_alone() {
    for (content, expected) in [
        (
            "DKIM-Signature: a\r\nSubject: x\r\ndkim-signature:b\r\n\r\nDKIM-Signature: c\r\n",
            2,
        ),
        ("Subject: x\r\n DKIM-Signature: folded\r\n\r\n", 0),
        ("DKIM-Signature", 1),
        ("", 0),
        ("\r\nDKIM-Signature: a\r\n", 0),
    ] {
        assert_eq!(signatures(content.as_bytes()), expected, "{content}");
    }
}
