//! Where a secret is kept: a file, or a credential that systemd hands over.
//!
//! It is read when it is needed, so that another content is in use without a restart.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// A file of this host.
    File(PathBuf),
    /// One that systemd hands over under this name (`LoadCredential=`, systemd.exec(5)).
    Credential(String),
}

impl SecretFile {
    /// Reads an absolute path, or a name without a slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if Path::new(text).is_absolute() {
            return Some(Self::File(PathBuf::from(text)));
        }
        let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        let is_name = (1..=100).contains(&text.len()) && text.bytes().all(allowed);
        (is_name && !text.starts_with('.')).then(|| Self::Credential(text.to_owned()))
    }

    /// What it holds now.
    ///
    /// # Errors
    ///
    /// That it cannot be read, or is longer than a secret is.
    pub fn read(&self) -> io::Result<String> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => {
                let directory = std::env::var_os(CREDENTIALS).ok_or_else(|| {
                    let what = "systemd has handed no credentials over; say LoadCredential= in the unit, or give an \
                                absolute path";
                    io::Error::new(io::ErrorKind::NotFound, what)
                })?;
                PathBuf::from(directory).join(name)
            }
        };
        let text = fs::read_to_string(path)?;
        if text.len() > OCTETS_MAX {
            let what = format!("longer than {OCTETS_MAX} octets, so it is no secret");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(text)
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Credential(name) => name.fmt(f),
        }
    }
}

const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const OCTETS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_file_or_a_credential() {
        let file = SecretFile::File(PathBuf::from("/etc/outgate/hook.secret"));
        assert_eq!(SecretFile::parse("/etc/outgate/hook.secret"), Some(file));
        let credential = SecretFile::Credential(String::from("hook-1"));
        assert_eq!(SecretFile::parse("hook-1"), Some(credential));
        for wrong in ["", "..", "./hook", "a/b", ".hidden", "two words"] {
            assert_eq!(SecretFile::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_not_endless() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let file = SecretFile::File(path.clone());
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "x".repeat(OCTETS_MAX + 1)).unwrap();
        assert_eq!(file.read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(file.read().unwrap(), "secret\n");
    }
}
