//! `[store] url`: the PostgreSQL that several controllers share.

use std::{fmt, str::FromStr as _};

use sqlx::postgres::PgConnectOptions;

/// A store that other controllers have, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedStore {
    /// Where it is.
    pub url: StoreUrl,
    /// This controller's name among them: the same after every start.
    pub edge: String,
}

/// An address that may have a password in it: nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// Takes what the driver can read.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let postgres = ["postgresql://", "postgres://"];
        let known = postgres.iter().any(|scheme| text.starts_with(scheme));
        let readable = known && PgConnectOptions::from_str(text).is_ok();
        readable.then(|| Self(text.to_owned()))
    }

    /// All of it, for the driver.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(..)")
    }
}

impl SharedStore {
    /// Where the store is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        // It was read once.
        let options = PgConnectOptions::from_str(&self.url.0).unwrap_or_default();
        let host = match options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or("its default");
        format!("PostgreSQL at {host}, database {database}")
    }
}
