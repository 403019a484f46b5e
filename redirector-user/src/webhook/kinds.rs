//! Which events a webhook wants.

use std::fmt;

/// Kinds of events, as they are written: `flag_added`, or `flag_*` for all that begin so, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds(Vec<String>);

/// A word that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no kind of event; allowed are kinds as `outgate events` shows them, as flag_added, beginnings of some, as \
     flag_*, and * for all"
)]
pub struct KindsError(pub String);

impl Kinds {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// The first that is none.
    pub fn read(words: &[String]) -> Result<Self, KindsError> {
        let letter =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        for word in words {
            let stem = word.strip_suffix('*').unwrap_or(word);
            if word.is_empty() || word.len() > OCTETS_MAX || !stem.bytes().all(letter) {
                return Err(KindsError(word.clone()));
            }
        }
        Ok(Self(words.to_vec()))
    }

    /// Whether events of that kind are wanted.
    #[must_use]
    pub fn want(&self, kind: &str) -> bool {
        self.0.iter().any(|word| match word.strip_suffix('*') {
            Some(stem) => kind.starts_with(stem),
            None => kind == word,
        })
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Longer than any kind.
const OCTETS_MAX: usize = 41;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(words: &[&str]) -> Result<Kinds, KindsError> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Kinds::read(&words)
    }

    #[test]
    fn a_kind_is_wanted_by_name_or_by_its_beginning() {
        let wanted = kinds(&["flag_*", "relay_down"]).unwrap();
        for kind in ["flag_added", "flag_", "relay_down"] {
            assert!(wanted.want(kind), "{kind}");
        }
        for kind in ["flags_imported", "relay_down_", "relay_up", ""] {
            assert!(!wanted.want(kind), "{kind}");
        }
        assert!(kinds(&["*"]).unwrap().want("rates"));
        assert!(!kinds(&[]).unwrap().want("rates"));
    }

    #[test]
    fn what_is_no_kind_is_named() {
        for word in ["", "flag.*", "Flag_added", "**", "a*b", "flag_added "] {
            assert_eq!(kinds(&["*", word]), Err(KindsError(word.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_beginning_wants_whatever_begins_so(stem in "[a-z_]{0,20}", rest in "[a-z_]{0,20}") {
            let wanted = kinds(&[&format!("{stem}*")]).unwrap();
            let kind = format!("{stem}{rest}");
            prop_assert!(wanted.want(&kind));
        }
    }
}
