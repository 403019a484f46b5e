//! What the caller may ask a session.

use super::Session;
use crate::envelope::EhloName;
use crate::sasl::UserName;

impl Session {
    /// What the client calls itself, since its last EHLO or HELO; `None` again after STARTTLS.
    #[must_use]
    pub fn ehlo(&self) -> Option<&EhloName> {
        self.hello.as_ref().map(|greeted| &greeted.hello.name)
    }

    /// Whether the client said EHLO rather than HELO.
    #[must_use]
    pub fn esmtp(&self) -> bool {
        self.hello
            .as_ref()
            .is_some_and(|greeted| greeted.hello.esmtp)
    }

    /// Whether the client has said QUIT.
    #[must_use]
    pub fn has_quit(&self) -> bool {
        self.quit
    }

    /// Who the client has shown that it is, as it said its name.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// Whether TLS has been started.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether the client talked before its greeting, and was refused for it.
    #[must_use]
    pub fn talked_early(&self) -> bool {
        self.talked_early
    }
}
