//! Features of the header section: which of the author's fields there are, in which order, and how they look.
//!
//! Fields that others add on the way are not in [`AUTHORS`] and do not exist here. Of addresses only the form is used:
//! who writes to whom is not what makes spam, and would be all that a model learns of a small corpus.

use mail_parser::{Address, Header, HeaderName, HeaderValue, Message};

use super::bag::{Bag, Kind};
use super::lists;
use super::words;

/// Puts them in the bag. `by_list`: a list has passed the message on.
pub(super) fn gather(message: &Message<'_>, by_list: bool, bag: &mut Bag) {
    let headers = message.headers();
    order(headers, by_list, bag);
    addresses(message, by_list, bag);
    subject(message, by_list, bag);
    identifiers(message, bag);
    for header in headers {
        let Some(name) = author_field(header, by_list) else {
            continue;
        };
        let raw = raw_value(message, header);
        match name {
            "x-mailer" | "user-agent" => {
                // Versions are out of date when the model is.
                let words = raw.split(|letter: char| !letter.is_alphabetic());
                for word in words.filter(|word| word.len() > 1).take(PROGRAM_WORDS) {
                    bag.add(Kind::Program, &word.to_lowercase());
                }
            }
            "x-priority" | "importance" | "x-msmail-priority" | "priority" => {
                let urgent = raw.trim_start().starts_with(['1', '2'])
                    || raw.to_ascii_lowercase().contains("high");
                bag.add(
                    Kind::Form,
                    if urgent {
                        "marked as urgent"
                    } else {
                        "has a priority that is not urgent"
                    },
                );
            }
            "mime-version" if raw.trim() != "1.0" => bag.add(Kind::Form, "an odd MIME-Version"),
            _ => {}
        }
    }
}

fn order(headers: &[Header<'_>], by_list: bool, bag: &mut Bag) {
    let mut last = "start";
    let mut seen = Vec::new();
    for name in headers
        .iter()
        .filter_map(|header| author_field(header, by_list))
        .take(FIELDS_MAX)
    {
        bag.add_pair(Kind::Order, last, name);
        if seen.contains(&name) {
            if !name.starts_with("x-") {
                bag.add(Kind::Form, "a header field that stands there twice");
            }
        } else {
            bag.add_pair(Kind::Form, "a header field", name);
            seen.push(name);
        }
        last = name;
    }
    for wanted in [
        "from",
        "to",
        "date",
        "message-id",
        "subject",
        "mime-version",
    ] {
        if !seen.contains(&wanted) {
            bag.add_pair(Kind::Form, "no header field", wanted);
        }
    }
}

fn addresses(message: &Message<'_>, by_list: bool, bag: &mut Bag) {
    let all = |address: Option<&Address<'_>>| -> Vec<(String, String)> {
        let some = address
            .into_iter()
            .flat_map(|address| address.iter())
            .take(ADDRESSES_MAX);
        some.map(|one| {
            let text = |it: Option<&str>| it.unwrap_or_default().to_lowercase();
            (text(one.name()), text(one.address()))
        })
        .collect()
    };
    let (from, to, reply_to) = (
        all(message.from()),
        all(message.to()),
        all(message.reply_to()),
    );
    bag.add_size("recipients in To", to.len());
    bag.add_size("recipients in Cc", all(message.cc()).len());
    if from.len() > 1 {
        bag.add(Kind::Form, "more than one author");
    }
    if let Some((name, address)) = from.first() {
        author(name, address, bag);
        if to.iter().any(|(_, other)| other == address) {
            bag.add(Kind::Form, "addressed to its own author");
        }
        // A list puts its own there.
        if let Some((_, other)) = reply_to.first().filter(|_| !by_list) {
            let what = if other == address {
                "Reply-To says what From says"
            } else if domain_of(other) == domain_of(address) {
                "Reply-To is another mailbox of the author's domain"
            } else {
                "Reply-To leads to another domain than From"
            };
            bag.add(Kind::Form, what);
        }
    }
    if to.iter().any(|(name, _)| name.contains("undisclosed")) {
        bag.add(Kind::Form, "recipients are not disclosed");
    }
    if to
        .iter()
        .any(|(name, address)| !name.is_empty() && name != address)
    {
        bag.add(Kind::Form, "a recipient is named");
    }
}

fn author(name: &str, address: &str, bag: &mut Bag) {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let digits = local.bytes().filter(u8::is_ascii_digit).count();
    bag.add_size("digits in the author's mailbox", digits);
    if address.is_empty() {
        bag.add(Kind::Form, "the author has no address");
    }
    if name.is_empty() {
        bag.add(Kind::Form, "the author has no name");
    } else if name == address || name == local {
        bag.add(Kind::Form, "the author's name is the address");
    } else if name.contains('@') {
        bag.add(Kind::Form, "the author's name looks like another address");
    }
    if name.contains(['!', '$', '*']) {
        bag.add(Kind::Form, "signs in the author's name");
    }
    // Names are short and new ones are made up for each mailing; what they are made of is not.
    let mut whole = String::from(" ");
    words::each(name, NAME_WORDS, |word| {
        bag.add(Kind::Name, word);
        whole.push_str(word);
        whole.push(' ');
    });
    words::each_gram(&whole, |gram| bag.add(Kind::NameGram, gram));
}

fn subject(message: &Message<'_>, by_list: bool, bag: &mut Bag) {
    let whole = message.subject().unwrap_or_default();
    let subject = if by_list {
        lists::without_tag(whole)
    } else {
        whole.into()
    };
    let subject = subject.trim();
    let lower = subject.to_lowercase();
    let is_reply = lower.starts_with("re:") || lower.starts_with("aw:");
    if is_reply {
        let answers = message.in_reply_to().as_text_list().is_some()
            || message.references().as_text_list().is_some();
        bag.add(
            Kind::Form,
            if answers {
                "an answer"
            } else {
                "\"Re:\" without an answer"
            },
        );
    }
    if lower.starts_with("fwd:") || lower.starts_with("fw:") {
        bag.add(Kind::Form, "forwarded");
    }
    let letters = subject
        .chars()
        .filter(|letter| letter.is_alphabetic())
        .count();
    let large = subject
        .chars()
        .filter(|letter| letter.is_uppercase())
        .count();
    if letters >= 6 {
        bag.add_share("the subject in capitals", large, letters);
    }
    if subject.contains('!') {
        bag.add_size(
            "exclamation marks in the subject",
            subject.matches('!').count(),
        );
    }
    for (sign, what) in [
        ("?", "a question in the subject"),
        ("$", "\"$\" in the subject"),
        ("   ", "a gap in the subject"),
    ] {
        if subject.contains(sign) {
            bag.add(Kind::Form, what);
        }
    }
    bag.add_size("letters in the subject", letters);
    let mut last = String::new();
    words::each(subject, SUBJECT_WORDS, |word| {
        bag.add(Kind::Subject, word);
        if !last.is_empty() {
            bag.add_pair(Kind::SubjectPair, &last, word);
        }
        word.clone_into(&mut last);
    });
}

fn identifiers(message: &Message<'_>, bag: &mut Bag) {
    if let Some(id) = message.message_id() {
        let (left, right) = id.rsplit_once('@').unwrap_or((id, ""));
        bag.add_pair(Kind::Pattern, "Message-ID", &pattern(left));
        if !right.contains('.') {
            bag.add(Kind::Form, "the Message-ID names no domain");
        }
        let author = message
            .from()
            .and_then(|from| from.first())
            .and_then(|one| one.address());
        let of_author = author.is_some_and(|author| {
            let domain = author.rsplit_once('@').map_or("", |(_, domain)| domain);
            !domain.is_empty()
                && right
                    .to_ascii_lowercase()
                    .ends_with(&domain.to_ascii_lowercase())
        });
        bag.add(
            Kind::Form,
            if of_author {
                "the Message-ID is of the author's domain"
            } else {
                "the Message-ID is of another domain"
            },
        );
    }
    match message.date() {
        Some(date) if !date.is_valid() => bag.add(Kind::Form, "a Date that never was"),
        Some(date) => {
            let hour_off = date.tz_minute % 30 != 0 || date.tz_hour > 14;
            if hour_off {
                bag.add(Kind::Form, "a Date in no time zone");
            }
            bag.add_pair(
                Kind::Form,
                "time zone",
                &format!(
                    "{}{:02}",
                    if date.tz_before_gmt { '-' } else { '+' },
                    date.tz_hour
                ),
            );
        }
        None if message.header(HeaderName::Date).is_some() => {
            bag.add(Kind::Form, "a Date that cannot be read");
        }
        None => {}
    }
}

/// Letters are `a`, digits `0`, repetitions once: `20020902155851.A22343` is `0.a0`.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for octet in text.bytes() {
        let class = match octet {
            b'a'..=b'z' => 'a',
            b'A'..=b'Z' => 'A',
            b'0'..=b'9' => '0',
            0x80.. => 'u',
            other => char::from(other),
        };
        if !pattern.ends_with(class) {
            pattern.push(class);
        }
        if pattern.len() >= PATTERN_OCTETS {
            break;
        }
    }
    pattern
}

/// The name of a field of the author's, in small letters.
fn author_field(header: &Header<'_>, by_list: bool) -> Option<&'static str> {
    let name = header.name.as_str();
    let name = AUTHORS
        .iter()
        .find(|field| field.eq_ignore_ascii_case(name))?;
    (!by_list || !LISTS.contains(name)).then_some(name)
}

fn raw_value<'a>(message: &'a Message<'_>, header: &Header<'_>) -> std::borrow::Cow<'a, str> {
    if let HeaderValue::Text(_) | HeaderValue::TextList(_) | HeaderValue::Empty = header.value {
        let octets = message.raw_message();
        let value = octets.get(header.offset_start as usize..header.offset_end as usize);
        let value = value.unwrap_or_default();
        return String::from_utf8_lossy(value.get(..VALUE_OCTETS).unwrap_or(value));
    }
    "".into()
}

fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Fields that whoever writes a message, or its program, puts there.
const AUTHORS: [&str; 28] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-language",
    "x-mailer",
    "user-agent",
    "x-priority",
    "x-msmail-priority",
    "importance",
    "priority",
    "x-mimeole",
    "organization",
    "thread-index",
    "thread-topic",
    "auto-submitted",
    "list-unsubscribe",
    "list-unsubscribe-post",
];
/// Those of them that a list writes, too.
const LISTS: [&str; 3] = ["reply-to", "list-unsubscribe", "list-unsubscribe-post"];
const FIELDS_MAX: usize = 100;
const ADDRESSES_MAX: usize = 100;
const NAME_WORDS: usize = 8;
const SUBJECT_WORDS: usize = 40;
const PROGRAM_WORDS: usize = 3;
const PATTERN_OCTETS: usize = 16;
const VALUE_OCTETS: usize = 200;
