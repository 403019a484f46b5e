//! The server's side of SASL (RFC 4422), without a socket or a clock: PLAIN (RFC 4616), LOGIN, and SCRAM-SHA-256
//! (RFC 5802, 7677).
//!
//! An [`Exchange`] begins with a mechanism. It is given the client's responses as they are after base64
//! ([`Exchange::respond`]), and says what comes next: a challenge, a look-up, or a [`Claim`] for the caller to judge. Who
//! a user is and what its password is are never known here; what SCRAM proves is found out from the [`Keys`] that the
//! caller looks up, and told as [`Evidence::Proven`].
//!
//! A password is overwritten when it is dropped and not shown by `Debug`; neither is a user's name, because people type
//! their password into the wrong field. Nothing that a client says is told back to it, or stands in an error.
//!
//! # Diagnostics
//! [`Step::Malformed`] and [`Step::Refused`] are the client's doing.

mod scram;
mod secret;

pub use scram::Keys;
pub(crate) use secret::Secret;
pub use secret::{Password, UserName};

/// A mechanism that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677, without channel binding.
    ScramSha256,
    /// RFC 4616.
    Plain,
    /// What many clients speak besides, and some alone; never registered by a standard.
    Login,
}

/// One exchange, from its mechanism to a claim.
#[derive(Debug)]
pub struct Exchange(State);

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, and give the response.
    Challenge(Vec<u8>),
    /// What are this user's keys? Answered with [`Exchange::keys`], for a user that is unknown, too.
    Keys(UserName),
    /// The end: is it so?
    Claim(Claim),
    /// The end: this is not what the mechanism has here.
    Malformed(&'static str),
    /// The end: well-formed, and never granted.
    Refused(&'static str),
}

/// Who a client says that it is, and how it shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// As the client said it.
    pub user: UserName,
    /// What it said for it.
    pub evidence: Evidence,
}

/// What a client says for its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// This is its password, it says.
    Password(Password),
    /// It knows what the user's [`Keys`] were made of.
    Proven,
    /// It does not.
    Disproven,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword(UserName),
    ScramFirst,
    ScramKeys(scram::First),
    ScramFinal(Box<scram::Asked>),
    /// The server has shown that it knows the keys, too; the client has nothing more to say.
    ScramEnd(UserName),
    Over,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::ScramSha256, Self::Plain, Self::Login];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The one of that name, which is in upper case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl Exchange {
    /// Nothing has been said yet but the mechanism.
    #[must_use]
    pub const fn new(mechanism: Mechanism) -> Self {
        Self(match mechanism {
            Mechanism::ScramSha256 => State::ScramFirst,
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
        })
    }

    /// The challenge for a client that has said nothing with its mechanism. The mechanisms in which the client speaks
    /// first have an empty one (RFC 4954 section 4).
    #[must_use]
    pub fn opening(&self) -> &'static str {
        match self.0 {
            State::LoginUser => "Username:",
            State::Plain
            | State::LoginPassword(_)
            | State::ScramFirst
            | State::ScramKeys(_)
            | State::ScramFinal(_)
            | State::ScramEnd(_)
            | State::Over => "",
        }
    }

    /// The client's response.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        let Ok(text) = str::from_utf8(response) else {
            self.0 = State::Over;
            return Step::Malformed("the response is not UTF-8");
        };
        match core::mem::replace(&mut self.0, State::Over) {
            State::Plain => plain(text),
            State::LoginUser => match UserName::new(text) {
                Some(user) => {
                    self.0 = State::LoginPassword(user);
                    Step::Challenge(b"Password:".to_vec())
                }
                None => Step::Malformed(NO_NAME),
            },
            State::LoginPassword(user) => with_password(user, text),
            State::ScramFirst => match scram::First::parse(text) {
                Ok(first) => {
                    let user = first.user().clone();
                    self.0 = State::ScramKeys(first);
                    Step::Keys(user)
                }
                Err(step) => step,
            },
            State::ScramFinal(asked) => self.scram_final(*asked, text),
            State::ScramEnd(user) if text.is_empty() => Step::Claim(Claim {
                user,
                evidence: Evidence::Proven,
            }),
            State::ScramEnd(_) => Step::Malformed("an empty response ends the exchange"),
            State::ScramKeys(_) | State::Over => Step::Malformed("nothing was asked"),
        }
    }

    /// Goes on with the keys of the user that [`Step::Keys`] asked about. `nonce` is visible ASCII without commas that
    /// was never used before and that nobody can guess.
    pub fn keys(&mut self, keys: Keys, nonce: &str) -> Step {
        match core::mem::replace(&mut self.0, State::Over) {
            State::ScramKeys(first) => {
                let (asked, challenge) = first.challenge(keys, nonce);
                self.0 = State::ScramFinal(Box::new(asked));
                Step::Challenge(challenge)
            }
            State::Plain
            | State::LoginUser
            | State::LoginPassword(_)
            | State::ScramFirst
            | State::ScramFinal(_)
            | State::ScramEnd(_)
            | State::Over => Step::Malformed("nothing was asked"),
        }
    }

    fn scram_final(&mut self, asked: scram::Asked, text: &str) -> Step {
        match asked.verify(text) {
            Ok((user, Some(signature))) => {
                // RFC 4954 has no room for it in the reply, so it is one more challenge.
                self.0 = State::ScramEnd(user);
                Step::Challenge(signature)
            }
            Ok((user, None)) => Step::Claim(Claim {
                user,
                evidence: Evidence::Disproven,
            }),
            Err(problem) => Step::Malformed(problem),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
fn plain(text: &str) -> Step {
    let mut parts = text.split('\0');
    let (Some(acts_as), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Step::Malformed("PLAIN is a name and a password, each after a NUL");
    };
    match UserName::new(user) {
        None => Step::Malformed(NO_NAME),
        Some(_) if !acts_as.is_empty() && acts_as != user => Step::Refused(ACTS_AS),
        Some(user) => with_password(user, password),
    }
}

fn with_password(user: UserName, password: &str) -> Step {
    match Password::new(password) {
        None => Step::Malformed("a password is 1 to 1024 octets without NUL"),
        Some(password) => Step::Claim(Claim {
            user,
            evidence: Evidence::Password(password),
        }),
    }
}

const NO_NAME: &str = "a user's name is 1 to 255 octets without control characters";
/// RFC 4616 section 2 lets a server decide who may act for whom. Here nobody may.
const ACTS_AS: &str = "nobody acts for another user here; leave the authorization identity out";

#[cfg(test)]
mod tests;
