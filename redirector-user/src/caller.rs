//! Who asks for what is being done, as long as it is being done.
//!
//! The API knows a caller by the door that a request came in by, and serves the request inside of [`serving`]. Whatever
//! is written into the trail meanwhile says who that was ([`current`]), beside the actor that was claimed. Work that is
//! handed to another task takes the caller along with [`Caller::along`].

use std::fmt;

use tokio::task_local;

use crate::policy::token::Scope;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name: of the user, of the token, or of the client that a certificate stands for.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// How it is known.
    pub door: Door,
}

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// It could open the Unix socket; the kernel says whose process it is.
    Socket,
    /// It has shown a token.
    Token,
    /// It has shown a certificate.
    Certificate,
}

impl Caller {
    /// Whether the caller has a name of its own, so that nobody else's can be claimed. Over the Unix socket programs speak
    /// for people, whose names they say.
    #[must_use]
    pub const fn speaks_for_itself(&self) -> bool {
        match self.door {
            Door::Token | Door::Certificate => true,
            Door::Socket => false,
        }
    }

    /// Does something as this caller.
    pub async fn along<T>(self, work: impl Future<Output = T>) -> T {
        on_behalf_of(Some(self), work).await
    }
}

/// Does something for whoever asked for it, who need not be the caller whose task does it; `None` = nobody.
pub async fn on_behalf_of<T>(caller: Option<Caller>, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

/// As the trail names it.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let door = match self.door {
            Door::Socket => "user",
            Door::Token => "token",
            Door::Certificate => "certificate",
        };
        write!(f, "{door} {}", self.name)
    }
}

/// Who asks for what this task does; `None` if it does so by itself.
#[must_use]
pub fn current() -> Option<Caller> {
    CALLER.try_with(Clone::clone).ok().flatten()
}

task_local! {
    static CALLER: Option<Caller>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_known_while_it_is_served_and_no_longer() {
        let caller = Caller {
            name: String::from("billing"),
            scope: Scope::Flag,
            door: Door::Token,
        };
        assert_eq!(current(), None);
        let seen = caller.clone().along(async { current() }).await;
        assert_eq!(seen.as_ref(), Some(&caller));
        assert_eq!(caller.to_string(), "token billing");
        assert_eq!(current(), None);
        let nobody = on_behalf_of(None, async { current() });
        assert_eq!(caller.clone().along(nobody).await, None);
        // Another task is nobody's until it is told.
        let other = caller.along(async { tokio::spawn(async { current() }).await });
        assert_eq!(other.await.unwrap(), None);
    }
}
