//! Features of links: where they lead, and how they are made.
//!
//! The domain is the last two labels of the host, three below what looks like a country's second level (`co.uk`): there
//! is no list of public suffixes here, and a wrong guess is merely another feature.

use super::bag::{Bag, Kind};
use super::header::pattern;

/// Puts the links that stand in a text into the bag.
pub(super) fn in_text(text: &str, bag: &mut Bag) {
    let starts = text.match_indices("://").filter_map(|(at, _)| {
        let scheme = text
            .get(..at)?
            .bytes()
            .rev()
            .take(5)
            .take_while(u8::is_ascii_alphabetic)
            .count();
        text.get(at - scheme..)
    });
    for link in starts.take(LINKS_MAX) {
        let end = link.find(|letter: char| {
            letter.is_whitespace() || matches!(letter, '"' | '<' | '>' | ')' | ']' | '\'')
        });
        one(
            link.get(..end.unwrap_or(link.len())).unwrap_or_default(),
            None,
            bag,
        );
    }
}

/// Puts one link into the bag; `shown` is what a reader sees of it.
pub(super) fn one(link: &str, shown: Option<&str>, bag: &mut Bag) {
    let link = link.trim();
    let Some((scheme, rest)) = link.split_once(':') else {
        return;
    };
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "http" | "https" => {}
        "mailto" => return bag.add(Kind::Form, "a link that writes mail"),
        "javascript" | "data" | "file" => return bag.add(Kind::Form, "a link that runs something"),
        _ => return,
    }
    let Some(rest) = rest.strip_prefix("//") else {
        return;
    };
    let (authority, path) = match rest.find(['/', '?', '#', '\\']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some() {
        bag.add(Kind::Form, "a link with a user's name before its host");
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(']') || !port.is_empty() => (host, Some(port)),
        Some(_) | None => (host, None),
    };
    if port.is_some_and(|port| !matches!(port, "80" | "443")) {
        bag.add(Kind::Form, "a link to an odd port");
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() || host.len() > HOST_OCTETS_MAX {
        return;
    }
    bag.add(
        Kind::Form,
        if scheme == "https" {
            "a link by https"
        } else {
            "a link by http"
        },
    );
    place(&host, bag);
    way(path, &host, bag);
    if let Some(shown) = shown {
        let shown = shown.trim().to_ascii_lowercase();
        let looks = shown
            .strip_prefix("https://")
            .or_else(|| shown.strip_prefix("http://"));
        let looks = looks.or_else(|| shown.starts_with("www.").then_some(shown.as_str()));
        if let Some(seen) = looks.and_then(|looks| looks.split(['/', '?', ' ']).next())
            && domain(seen) != domain(&host)
        {
            bag.add(
                Kind::Form,
                "a link that shows another host than it leads to",
            );
        }
    }
}

fn place(host: &str, bag: &mut Bag) {
    let number =
        |label: &str| label.starts_with("0x") || label.bytes().all(|octet| octet.is_ascii_digit());
    if host.starts_with('[') || host.split('.').all(number) {
        return bag.add(Kind::Form, "a link to an address instead of a host");
    }
    bag.add(Kind::Host, host);
    let domain = domain(host);
    bag.add(Kind::Domain, domain);
    if let Some((_, top)) = host.rsplit_once('.') {
        bag.add_pair(Kind::Form, "a link into", top);
    }
    if host.contains("xn--") {
        bag.add(Kind::Form, "a link to a host in another script, encoded");
    }
    if !host.is_ascii() {
        bag.add(Kind::Form, "a link to a host with other than ASCII letters");
    }
    let labels = host.split('.').count();
    if labels > 4 {
        bag.add(Kind::Form, "a link to a host of many labels");
    }
    if host.matches('-').count() > 2 {
        bag.add(Kind::Form, "a link to a host with many hyphens");
    }
    let name = domain.split('.').next().unwrap_or_default();
    if name.bytes().any(|octet| octet.is_ascii_digit()) {
        bag.add(Kind::Form, "a link to a domain with digits");
    }
    // `paypa1`, `rnicrosoft` in front of another domain.
    let before = host.strip_suffix(domain).unwrap_or_default();
    if before.contains(".com.") || before.ends_with("com.") || before.contains(".com-") {
        bag.add(
            Kind::Form,
            "a link to a host that has another domain's name in front",
        );
    }
}

fn way(path: &str, host: &str, bag: &mut Bag) {
    let (way, query) = path
        .split_once('?')
        .map_or((path, None), |(way, query)| (way, Some(query)));
    let mut segments = way.split('/').filter(|segment| !segment.is_empty());
    let depth = segments.clone().count();
    bag.add_size("levels in a link's path", depth);
    if let Some(query) = query {
        bag.add_size("parameters of a link", query.split('&').count());
        if query.contains('@') || query.contains("%40") {
            bag.add(Kind::Form, "a link with an address in its parameters");
        }
    }
    let escapes = path.matches('%').count();
    if escapes > 0 {
        bag.add_size("escapes in a link", escapes);
    }
    let last = segments.next_back().unwrap_or_default();
    if let Some((_, extension)) = last.rsplit_once('.')
        && extension.len() <= 5
    {
        bag.add_pair(
            Kind::Form,
            "a link to a file of type",
            &extension.to_ascii_lowercase(),
        );
    }
    // A service that makes links short shows by its shape: little host, one word that is none.
    let code = depth == 1
        && (4..=10).contains(&last.len())
        && last.bytes().all(|octet| octet.is_ascii_alphanumeric());
    if code && host.len() <= 8 {
        bag.add(Kind::Form, "a link made short");
    }
    if !last.is_empty() {
        bag.add_pair(Kind::Pattern, "a link", &pattern(last));
    }
}

fn domain(host: &str) -> &str {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), second) = (dots.next(), dots.next()) else {
        return host;
    };
    let below = second.map_or(0, |at| at + 1);
    let country = host.len() - last == 3;
    let label = host.get(below..last).unwrap_or_default();
    if country && second.is_some() && SECOND_LEVELS.contains(&label) {
        let third = dots.next().map_or(0, |at| at + 1);
        return host.get(third..).unwrap_or(host);
    }
    host.get(below..).unwrap_or(host)
}

const SECOND_LEVELS: [&str; 7] = ["ac", "co", "com", "edu", "gov", "net", "org"];
const LINKS_MAX: usize = 100;
const HOST_OCTETS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_guessed_without_a_list() {
        for (host, expected) in [
            ("www.example.com", "example.com"),
            ("example.com", "example.com"),
            ("www.example.co.uk", "example.co.uk"),
            ("co.uk", "co.uk"),
            ("a.b.example.de", "example.de"),
            ("localhost", "localhost"),
            ("..", "."),
        ] {
            assert_eq!(domain(host), expected, "{host}");
        }
    }

    #[track_caller]
    fn said(link: &str, shown: Option<&str>) -> Vec<String> {
        let mut bag = Bag::naming();
        one(link, shown, &mut bag);
        let named = bag.into_features().named.into_iter();
        named.map(|one| one.words).collect()
    }

    #[test]
    fn links_that_hide_something_are_named() {
        for (link, shown, expected) in [
            (
                "http://192.0.2.1/x",
                None,
                "a link to an address instead of a host",
            ),
            (
                "http://0xC0000201/x",
                None,
                "a link to an address instead of a host",
            ),
            ("http://[2001:db8::1]:8080/", None, "a link to an odd port"),
            (
                "http://bank.example@evil.example/",
                None,
                "a link with a user's name before its host",
            ),
            (
                "https://xn--pypal-4ve.example/",
                None,
                "a link to a host in another script, encoded",
            ),
            (
                "https://t.example.com.evil.example/",
                None,
                "a link to a host that has another domain's name in front",
            ),
            ("https://sh.rt/aB3xY", None, "a link made short"),
            (
                "https://evil.example/",
                Some("www.bank.example"),
                "a link that shows another host than it leads to",
            ),
            ("javascript:alert(1)", None, "a link that runs something"),
            (
                "https://evil.example/?to=a%40b.example",
                None,
                "a link with an address in its parameters",
            ),
        ] {
            let said = said(link, shown);
            assert!(said.iter().any(|what| what == expected), "{link}: {said:?}");
        }
        let honest = said(
            "https://www.bank.example/help",
            Some("https://www.bank.example/help"),
        );
        assert!(
            !honest.iter().any(|what| what.contains("another host")),
            "{honest:?}"
        );
    }
}
