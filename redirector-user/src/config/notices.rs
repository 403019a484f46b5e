//! `[notices]`: how customers are told, and by whom.

use std::{path::PathBuf, time::Duration};

use crate::secret::SecretFile;

/// How customers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notices {
    /// Who writes, as `Name <address>` or an address.
    pub from: String,
    /// Whom answers go to; `None` = who writes.
    pub reply_to: Option<String>,
    /// The server that takes mail.
    pub submit: Submit,
    /// A user of it, and its password.
    pub login: Option<(String, SecretFile)>,
    /// Authorities that vouch for it besides those of this system.
    pub ca_file: Option<PathBuf>,
    /// Where the operator's own texts are.
    pub templates: Option<PathBuf>,
    /// Which language's.
    pub language: String,
    /// A prefix is written about at most once in that time.
    pub at_most_every: Duration,
}

/// A server that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the way there is sealed.
    pub tls: SubmitTls,
}

/// How the way to a server is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitTls {
    /// Not at all.
    None,
    /// By STARTTLS (RFC 3207); without it, nothing is sent.
    Starttls,
    /// From the first octet on (RFC 8314).
    Implicit,
}
