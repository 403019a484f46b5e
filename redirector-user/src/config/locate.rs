//! The key and the value that a TOML error is about.
//!
//! The parser says where in the text it stumbled; people look for a key. So the text is parsed once more,
//! as a tree with positions, and the innermost key around the place is named.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use super::Wrong;

/// Names the key of an error. A text that is not TOML at all has no keys: its line is named instead.
pub(super) fn key_of(text: &str, error: &Error) -> Wrong {
    let span = error.span().unwrap_or(0..0);
    let problem = error.message().replace('\n', " ");
    let value = text
        .get(span.clone())
        .and_then(|value| value.lines().next())
        .unwrap_or_default();
    let Ok(table) = DeTable::parse(text) else {
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        return Wrong::new(format!("line {line}"), value.trim(), problem);
    };
    let path = in_table(table.get_ref(), &span);
    // A missing key is reported at the table that lacks it, whose text is no value.
    if let Some(missing) = problem
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next())
    {
        let key = path.map_or_else(|| missing.to_owned(), |path| format!("{path}.{missing}"));
        return Wrong::new(key, "missing", "this key is required");
    }
    Wrong::new(path.unwrap_or_default(), value.trim(), problem)
}

/// Key, value and problem of an error, for whoever reads other files than the configuration.
pub(crate) fn describe(text: &str, error: &Error) -> (String, String, String) {
    let Wrong {
        key,
        value,
        problem,
    } = key_of(text, error);
    (key, value, problem)
}

/// Path of the innermost key at this place. Every table is searched, because the span of one that is spread
/// over the text (`[a]`, `[[a.b]]`) covers its header alone.
fn in_table(table: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        if key.span() == *at {
            return Some(key.get_ref().to_string());
        }
        let inner = in_value(value.get_ref(), at);
        let here = contains(&value.span(), at).then(String::new);
        inner
            .or(here)
            .map(|rest| format!("{}{rest}", key.get_ref()))
    })
}

/// The same inside a value, as what follows the value's own key.
fn in_value(value: &DeValue<'_>, at: &Range<usize>) -> Option<String> {
    if let Some(table) = value.as_table() {
        return in_table(table, at).map(|path| format!(".{path}"));
    }
    value
        .as_array()?
        .iter()
        .enumerate()
        .find_map(|(index, item)| {
            let inner = in_value(item.get_ref(), at);
            let here = contains(&item.span(), at).then(String::new);
            inner.or(here).map(|rest| format!("[{index}]{rest}"))
        })
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}
