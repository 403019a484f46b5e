//! HTML reduced to the text that a reader sees, and what the markup tells beside it.
//!
//! Not a parser: one pass that knows where tags begin and end, which of them separate words, and which hide what is in
//! them. Any octets will do. Words that comments or inline tags tear apart are whole again in the result.

use super::bag::{Bag, Kind};
use super::links;

/// What is left.
#[derive(Debug, Default)]
pub(super) struct Reduced {
    /// What a reader sees.
    pub(super) text: String,
    /// Octets of text that a reader does not see.
    pub(super) hidden_octets: usize,
}

/// Reduces `html`; features of the markup go into the bag.
pub(super) fn reduce(html: &str, bag: &mut Bag) -> Reduced {
    let mut reduced = Reduced {
        text: String::with_capacity(html.len().min(TEXT_OCTETS)),
        hidden_octets: 0,
    };
    let mut rest = html;
    // The tag that hides, and how many of its name are open inside.
    let mut hidden: Option<(&str, usize)> = None;
    // Where the text of the link that is open begins, and where it leads.
    let mut link: Option<(usize, &str)> = None;
    let (mut links, mut images, mut comments) = (0, 0, 0);
    while let Some(at) = rest.find('<') {
        let (text, markup) = rest.split_at(at);
        reduced.push(text, hidden.is_some());
        if let Some(comment) = markup.strip_prefix("<!--") {
            comments += 1;
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some((tag, after)) = markup.get(1..).and_then(|markup| markup.split_once('>')) else {
            // A `<` that opens nothing.
            rest = "";
            break;
        };
        rest = after;
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let name = name
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .next()
            .unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if let Some((hiding, depth)) = &mut hidden {
            if name.eq_ignore_ascii_case(hiding) {
                if !closes {
                    *depth += 1;
                } else if *depth == 0 {
                    hidden = None;
                } else {
                    *depth -= 1;
                }
            }
            continue;
        }
        if SEPARATING.iter().any(|other| is(other)) {
            reduced
                .text
                .push(if is("br") || is("p") { '\n' } else { ' ' });
        }
        if closes {
            if is("a")
                && let Some((from, target)) = link.take()
            {
                links += 1;
                if links <= LINKS_MAX {
                    links::one(target, reduced.text.get(from..), bag);
                }
            }
            continue;
        }
        if let Some(telling) = TELLING.iter().find(|other| is(other)) {
            bag.add_pair(Kind::Form, "HTML with", telling);
        }
        if is("a") {
            link = attribute(tag, "href").map(|target| (reduced.text.len(), target));
        } else if is("img") {
            images += 1;
            if let Some(source) = attribute(tag, "src").filter(|_| images <= LINKS_MAX) {
                image(source, bag);
            }
        }
        if !tag.ends_with('/')
            && (UNSEEN.iter().any(|other| is(other))
                || (!VOID.iter().any(|other| is(other)) && hides(tag)))
        {
            hidden = Some((name, 0));
        }
    }
    reduced.push(rest, hidden.is_some());
    bag.add_size("links in HTML", links);
    bag.add_size("images in HTML", images);
    if comments > 0 {
        bag.add_size("comments in HTML", comments);
    }
    reduced
}

impl Reduced {
    fn push(&mut self, text: &str, hidden: bool) {
        if hidden {
            self.hidden_octets += text.trim().len();
            return;
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('&') {
            self.text.push_str(before);
            let end = after
                .bytes()
                .take(ENTITY_OCTETS)
                .position(|octet| octet == b';');
            let entity = end.and_then(|end| after.get(..end)).and_then(entity);
            match (entity, end) {
                (Some(letter), Some(end)) => {
                    self.text.push(letter);
                    rest = after.get(end + 1..).unwrap_or_default();
                }
                (Some(_) | None, _) => {
                    self.text.push('&');
                    rest = after;
                }
            }
        }
        self.text.push_str(rest);
    }
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hexadecimal = number.strip_prefix(['x', 'X']);
        let code =
            hexadecimal.map_or_else(|| number.parse(), |number| u32::from_str_radix(number, 16));
        return char::from_u32(code.ok()?);
    }
    ENTITIES
        .iter()
        .find(|(entity, _)| *entity == name)
        .map(|(_, letter)| *letter)
}

/// Whether an element's own style keeps it from being seen.
fn hides(tag: &str) -> bool {
    let Some(style) = attribute(tag, "style") else {
        return false;
    };
    let style: String = style
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let style = style.to_ascii_lowercase();
    [
        "display:none",
        "visibility:hidden",
        "font-size:0",
        "font-size:1px",
        "max-height:0",
        "opacity:0;",
    ]
    .iter()
    .any(|way| style.contains(way) && !style.contains("font-size:0."))
}

fn image(source: &str, bag: &mut Bag) {
    let scheme = source.split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("cid") {
        bag.add(Kind::Form, "an image that comes with the message");
    } else if scheme.eq_ignore_ascii_case("data") {
        bag.add(Kind::Form, "an image within the HTML");
    } else {
        bag.add(Kind::Form, "an image from elsewhere");
        if source.contains('?') {
            bag.add(Kind::Form, "an image that tells who looks");
        }
    }
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once('=') {
        rest = after;
        let found = before
            .trim_end()
            .rsplit([' ', '\t', '\r', '\n', '"', '\''])
            .next();
        let value = after.trim_start();
        let quoted = value
            .chars()
            .next()
            .filter(|letter| matches!(letter, '"' | '\''));
        let value = match quoted {
            Some(quote) => value.get(1..).and_then(|value| value.split(quote).next()),
            None => value.split_whitespace().next(),
        };
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return value;
        }
        if let (Some(_), Some(value)) = (quoted, value) {
            // What stands between quotes is no attribute.
            let end = after.len() - after.trim_start().len() + value.len() + 2;
            rest = after.get(end..).unwrap_or_default();
        }
    }
    None
}

/// Tags between whose neighbours there is a gap.
const SEPARATING: [&str; 16] = [
    "br",
    "p",
    "div",
    "td",
    "th",
    "tr",
    "table",
    "li",
    "ul",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "center",
    "blockquote",
];
/// Elements whose text nobody sees.
const UNSEEN: [&str; 5] = ["script", "style", "template", "title", "noscript"];
/// Elements without an end.
const VOID: [&str; 6] = ["br", "hr", "img", "input", "link", "meta"];
/// Elements that say something by being there.
const TELLING: [&str; 13] = [
    "form",
    "input",
    "script",
    "iframe",
    "object",
    "embed",
    "font",
    "table",
    "center",
    "marquee",
    "style",
    "map",
    "blockquote",
];
const ENTITIES: [(&str, char); 10] = [
    ("nbsp", ' '),
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("copy", '©'),
    ("euro", '€'),
    ("zwnj", '\u{200c}'),
    ("shy", '\u{ad}'),
];
const ENTITY_OCTETS: usize = 10;
const TEXT_OCTETS: usize = 64 << 10;
const LINKS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_is_left() {
        for (html, expected, hidden_octets) in [
            ("<p>Hello <b>wor</b>ld</p>", "\nHello world\n", 0),
            ("Vi<!-- x -->agra", "Viagra", 0),
            ("<style>b { }</style>x", "x", 5),
            ("<div style='display: none'>a<div>b</div>c</div>d", " d", 3),
            ("<br style=\"display:none\">x", "\nx", 0),
            (
                "5 &lt; 6 &amp;&#x41;&#66; &bogus; &",
                "5 < 6 &AB &bogus; &",
                0,
            ),
            ("a < b", "a ", 0),
            ("<a href=x", "", 0),
            ("<!-- never ends", "", 0),
            ("<script>never ends", "", 10),
            ("", "", 0),
        ] {
            let reduced = reduce(html, &mut Bag::default());
            assert_eq!(
                (reduced.text.as_str(), reduced.hidden_octets),
                (expected, hidden_octets),
                "{html}"
            );
        }
    }

    #[test]
    fn attributes_are_found_in_any_dress() {
        for (tag, expected) in [
            (
                "a href=\"http://x.example/?a=b\"",
                Some("http://x.example/?a=b"),
            ),
            ("a class='href=no' HREF = 'y'", Some("y")),
            ("a href=z target=_blank", Some("z")),
            ("a title=\"href='no'\"", None),
            ("a href=", None),
            ("a", None),
        ] {
            assert_eq!(attribute(tag, "href"), expected, "{tag}");
        }
    }
}
