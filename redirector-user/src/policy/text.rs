//! Words that many have in common, and that are held once.

use std::{borrow::Borrow, collections::BTreeSet, fmt, ops::Deref, sync::Arc};

use serde::Serialize;

/// A line of text that costs one word to have, however often it is had.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(
    /// A box, because what points to a text itself is two words long.
    Arc<Box<str>>,
);

/// Texts that are had, so that a text which is told again is not held again.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    had: BTreeSet<Text>,
    /// So many are had before it is looked which of them nobody else has any more.
    most: usize,
}

impl Texts {
    /// The same text, as it is had already.
    pub fn share(&mut self, text: &mut Text) {
        if let Some(had) = self.had.get(text) {
            text.clone_from(had);
            return;
        }
        if self.had.len() >= self.most {
            self.had.retain(|text| Arc::strong_count(&text.0) > 1);
            self.most = (2 * self.had.len()).max(LEAST);
        }
        self.had.insert(text.clone());
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        Self::from(&*text)
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

const LEAST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_is_held_once_and_what_nobody_has_is_forgotten() {
        let mut texts = Texts::default();
        let (mut one, mut again) = (Text::from("spam run"), Text::from("spam run"));
        assert!(!Arc::ptr_eq(&one.0, &again.0));
        texts.share(&mut one);
        texts.share(&mut again);
        assert!(Arc::ptr_eq(&one.0, &again.0));
        for number in 0..10 * LEAST {
            texts.share(&mut Text::from(number.to_string()));
        }
        assert!(texts.had.len() <= LEAST, "{}", texts.had.len());
        assert!(texts.had.contains("spam run"));
    }
}
