//! Features of a message's parts: of which types they are, how large, and what is in their texts.

use mail_parser::{Encoding, Message, MessagePart, MimeHeaders, PartType};

use super::bag::{Bag, Kind};
use super::words::Text;
use super::{header, html, links, lists};

/// Puts them in the bag, and what the texts say into `text`.
pub(super) fn gather(message: &Message<'_>, by_list: bool, text: &mut Text, bag: &mut Bag) {
    let (mut plain_octets, mut seen_octets, mut html_octets, mut hidden_octets) = (0, 0, 0, 0);
    let mut attachments = 0;
    for part in &message.parts {
        form(part, bag);
        match &part.body {
            PartType::Text(plain) => {
                let plain = if by_list {
                    lists::without_footer(plain)
                } else {
                    plain
                };
                plain_octets += plain.len();
                links::in_text(plain, bag);
                text.read(plain, bag);
            }
            PartType::Html(markup) => {
                let reduced = html::reduce(markup, bag);
                html_octets += markup.len();
                seen_octets += reduced.text.len();
                hidden_octets += reduced.hidden_octets;
                text.read(&reduced.text, bag);
            }
            PartType::Binary(_) | PartType::InlineBinary(_) => {
                attachments += 1;
                attachment(part, bag);
            }
            PartType::Message(_) | PartType::Multipart(_) => {}
        }
    }
    bag.add_size("parts", message.parts.len());
    bag.add_size("attachments", attachments);
    bag.add_size("octets of text", plain_octets);
    bag.add_size("octets of HTML", html_octets);
    if html_octets > 0 {
        bag.add_share("the HTML is text", seen_octets, html_octets);
        bag.add(
            Kind::Form,
            if plain_octets > 0 {
                "HTML and text"
            } else {
                "HTML without text"
            },
        );
        if plain_octets > 0 {
            bag.add_share(
                "the HTML's text is in the text, too",
                plain_octets,
                seen_octets,
            );
        }
        if hidden_octets > 0 {
            bag.add_size("octets of text that nobody sees", hidden_octets);
        }
    }
}

fn form(part: &MessagePart<'_>, bag: &mut Bag) {
    if part.is_encoding_problem {
        bag.add(Kind::Form, "a part that is not encoded as it says");
    }
    match part.encoding {
        Encoding::None => {}
        Encoding::QuotedPrintable => bag.add(Kind::Form, "quoted-printable"),
        Encoding::Base64 if part.is_text() => bag.add(Kind::Form, "text in base64"),
        Encoding::Base64 => bag.add(Kind::Form, "base64"),
    }
    let Some(media) = part.content_type() else {
        return;
    };
    let subtype = media.subtype().unwrap_or_default();
    let media_type = format!("{}/{subtype}", media.ctype());
    bag.add(
        Kind::Media,
        media_type.get(..MEDIA_OCTETS).unwrap_or(&media_type),
    );
    if let Some(charset) = media.attribute("charset") {
        let charset = charset.to_ascii_lowercase();
        bag.add(
            Kind::Charset,
            charset.get(..MEDIA_OCTETS).unwrap_or(&charset),
        );
    }
    if let Some(boundary) = media.attribute("boundary") {
        // Each program makes them by a pattern of its own.
        bag.add_pair(Kind::Pattern, "a boundary", &header::pattern(boundary));
    }
}

fn attachment(part: &MessagePart<'_>, bag: &mut Bag) {
    let Some(name) = part.attachment_name() else {
        return;
    };
    let mut extensions = name.rsplit('.');
    let Some(extension) = extensions.next().filter(|it| it.len() <= 5 && *it != name) else {
        return;
    };
    bag.add(Kind::Extension, &extension.to_ascii_lowercase());
    // `invoice.pdf.exe`
    let doubled = extensions
        .next()
        .is_some_and(|before| matches!(before.len(), 3 | 4))
        && extensions.next().is_some();
    if doubled {
        bag.add(Kind::Form, "an attachment with two extensions");
    }
}

const MEDIA_OCTETS: usize = 60;
