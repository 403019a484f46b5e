//! What a mailing list leaves on a message that it passes on.
//!
//! Its fields, its tag in the subject and its footer say where a copy was collected. In a corpus that is the label: ham
//! often comes from lists that its collector reads. So a message that went through a list loses them before anything is
//! made of it. A newsletter's own `List-Unsubscribe` stays: nobody but its author wrote that.

use std::borrow::Cow;

use mail_parser::{Header, HeaderName};

/// Whether a list has passed it on.
pub(super) fn distributed(headers: &[Header<'_>]) -> bool {
    headers.iter().any(|header| match &header.name {
        HeaderName::ListPost => true,
        HeaderName::Other(name) => LIST_FIELDS
            .iter()
            .any(|field| name.eq_ignore_ascii_case(field)),
        _ => false,
    })
}

/// A subject without the tag of a list: `Re: [ILUG] hello` is `Re: hello`.
pub(super) fn without_tag(subject: &str) -> Cow<'_, str> {
    let tagged = subject.split_once('[').and_then(|(before, rest)| {
        let (tag, after) = rest.split_once(']')?;
        let leads = before.trim().is_empty() || before.trim_end().ends_with(':');
        (leads && tag.len() <= TAG_OCTETS_MAX).then_some((before, after))
    });
    tagged.map_or(Cow::Borrowed(subject), |(before, after)| {
        Cow::Owned(format!("{before}{}", after.trim_start()))
    })
}

/// A text without the footer of a list, if it has one that can be told from the text.
pub(super) fn without_footer(text: &str) -> &str {
    let mut kept = text;
    let mut end = text.len();
    // From the end, because a rule within the text is the author's.
    for line in text.split_inclusive('\n').rev().take(FOOTER_LINES_MAX) {
        let start = end - line.len();
        let line = line.trim();
        let drawn =
            line.len() >= RULE_OCTETS && line.bytes().all(|octet| matches!(octet, b'_' | b'-'));
        if drawn || line == "--" {
            let footer = text.get(end..).unwrap_or_default();
            if FOOTER_WORDS.iter().any(|word| footer.contains(word)) {
                kept = text.get(..start).unwrap_or(text);
            }
        }
        end = start;
    }
    kept
}

/// Of Mailman, Majordomo, ezmlm, Sympa and the groups of portals.
const LIST_FIELDS: [&str; 8] = [
    "X-BeenThere",
    "X-Mailman-Version",
    "X-Mailing-List",
    "Mailing-List",
    "X-Loop",
    "X-eGroups-Return",
    "X-List-Host",
    "X-Original-Date",
];
const TAG_OCTETS_MAX: usize = 32;
const FOOTER_LINES_MAX: usize = 16;
const RULE_OCTETS: usize = 10;
/// One of them stands in what lists append.
const FOOTER_WORDS: [&str; 8] = [
    "mailing list",
    "Mailing List",
    "listinfo",
    "nsubscri",
    "NSUBSCRI",
    "List maintainer",
    "sponsored by",
    "yahoogroups",
];
