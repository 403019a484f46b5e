//! What another program says, fit for a reply, a log and a terminal.

/// At most `max` octets of `text`, in which everything but printable ASCII is a question mark.
pub(super) fn clean(text: &str, max: usize) -> String {
    let printable = |it: char| {
        if it == ' ' || it.is_ascii_graphic() {
            it
        } else {
            '?'
        }
    };
    text.chars().take(max).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_is_left_and_not_too_much_of_it() {
        assert_eq!(clean("Win.Test-1 (a)", 100), "Win.Test-1 (a)");
        assert_eq!(clean("a\r\n250 ok\u{1b}[2Jé", 100), "a??250 ok?[2J?");
        assert_eq!(clean("abcdef", 3), "abc");
    }
}
