//! Lines of zone files (RFC 1035 section 5.1), for people to paste.

/// A TXT record; what is longer than a string of it may be goes into several (RFC 7208 section 3.3).
pub(super) fn txt(name: &str, text: &str) -> String {
    let mut strings = vec![String::new()];
    let mut octets = 0;
    for letter in text.chars() {
        if octets == STRING_OCTETS {
            strings.push(String::new());
            octets = 0;
        }
        if let Some(string) = strings.last_mut() {
            if matches!(letter, '"' | '\\') {
                string.push('\\');
            }
            string.push(letter);
        }
        octets += letter.len_utf8();
    }
    let strings: Vec<_> = strings
        .iter()
        .map(|string| format!("\"{string}\""))
        .collect();
    format!("{name}. IN TXT {}", strings.join(" "))
}

/// The tags of a record (RFC 6376 section 3.2), names in lower case; `None` where one is not a tag.
pub(super) fn tags(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(';').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    let read = parts.map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    });
    read.collect()
}

/// The value of a tag.
pub(super) fn tag<'tags>(tags: &'tags [(String, String)], name: &str) -> Option<&'tags str> {
    let found = tags.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Of one string of a TXT record.
const STRING_OCTETS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_several_strings() {
        assert_eq!(
            txt("a.example", "x \"y\""),
            r#"a.example. IN TXT "x \"y\"""#
        );
        let long = txt("a.example", &"k".repeat(300));
        let parts: Vec<_> = long.split('"').map(str::len).collect();
        assert_eq!(parts, [18, 255, 1, 45, 0]);
    }

    #[test]
    fn tags_are_read_as_mail_reads_them() {
        let read = tags(" v=DKIM1 ; P = ab=c ;; ").unwrap();
        assert_eq!(
            (tag(&read, "v"), tag(&read, "p")),
            (Some("DKIM1"), Some("ab=c"))
        );
        assert_eq!(tags("v=DKIM1; p"), None);
        assert_eq!(tags(""), Some(Vec::new()));
    }
}
