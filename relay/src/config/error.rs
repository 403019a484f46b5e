//! What is wrong with a configuration, in one line that names file, key and value.

use std::io;
use std::path::{Path, PathBuf};

/// The configuration cannot be used; the operator has to change it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read at all.
    #[error("{}: {source}", file.display())]
    Unreadable {
        /// The configuration file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// One value is wrong.
    #[error("{}: {invalid}", file.display())]
    Invalid {
        /// The configuration file.
        file: PathBuf,
        /// Which value, and why.
        invalid: Invalid,
    },
}

/// One wrong value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value}: {problem}")]
pub struct Invalid {
    /// Key with its path, as `limits.connections`.
    pub key: String,
    /// The value as it stands in the file.
    pub value: String,
    /// What is wrong with it, and what is allowed.
    pub problem: String,
}

impl Invalid {
    /// An error about `key`.
    pub fn new(key: &str, value: impl ToString, problem: impl ToString) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            problem: problem.to_string(),
        }
    }

    /// The same error with the file that it stands in.
    #[must_use]
    pub fn in_file(self, file: &Path) -> ConfigError {
        ConfigError::Invalid {
            file: file.into(),
            invalid: self,
        }
    }

    /// An error of the TOML parser. `path` is where the deserializer was; a syntax error has no
    /// path and is named by its line.
    pub(super) fn from_toml(text: &str, path: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
        let value = text
            .get(span)
            .unwrap_or("")
            .lines()
            .next()
            .unwrap_or("")
            .trim();
        let key = if path == "." {
            format!("line {line}")
        } else {
            path.to_owned()
        };
        Self::new(&key, value, error.message())
    }
}
