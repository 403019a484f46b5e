//! Whether a client turns away from our certificate.
//!
//! A sender that verifies certificates shows it in one of three ways: a fatal alert instead of its Finished, as TLS
//! libraries do; a connection that it closes once it has seen the certificate; or a QUIT as the first word after a
//! handshake that went well, as Postfix says. A client that says anything else has taken the certificate.

use std::fmt;
use std::io;

use relay_proto::server::Session;
use rustls::AlertDescription;

use crate::tls;

/// How it showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    /// A fatal alert about the certificate.
    Alert(AlertDescription),
    /// It closed the connection.
    Closed,
    /// It said QUIT and nothing else.
    Quit,
}

/// How far a client has come with our certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It has not seen it.
    Unasked,
    /// The handshake has ended well, and it has said nothing yet.
    Shown,
    /// It has gone on, or was silent for too long.
    Given,
}

impl Trust {
    /// Something follows from what the client has said, or from its silence.
    pub(super) fn goes_on(&mut self, session: &Session) {
        if *self == Self::Shown && !session.has_quit() {
            *self = Self::Given;
        }
    }

    /// What the end of a connection says, in the handshake or after it.
    pub(super) fn ended(self, session: &Session, ended: &io::Result<()>) -> Option<TurnedAway> {
        match (self, ended) {
            (Self::Unasked | Self::Given, _) => None,
            (Self::Shown, Err(error)) => turned_away(error),
            (Self::Shown, Ok(())) if session.has_quit() => Some(TurnedAway::Quit),
            (Self::Shown, Ok(())) => None,
        }
    }
}

/// What the failure of a handshake, or of the first read after it, says.
pub(super) fn turned_away(error: &io::Error) -> Option<TurnedAway> {
    if let Some(alert) = tls::certificate_alert(error) {
        return Some(TurnedAway::Alert(alert));
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Some(TurnedAway::Closed),
        _ => None,
    }
}

impl fmt::Display for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "alert {alert:?}"),
            Self::Closed => f.write_str("closed"),
            Self::Quit => f.write_str("quit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use relay_proto::server::Config;
    use rustls::Error;

    use super::*;

    fn session(said: &str) -> Session {
        let config = Config::new("relay-1.example.net", "Example Hosting");
        let mut session = Session::new(Arc::new(config), Duration::ZERO);
        while session.poll().is_some() {}
        session.receive(Duration::ZERO, said.as_bytes());
        session
    }

    fn error(error: Error) -> io::Error {
        io::Error::other(error)
    }

    #[test]
    fn only_what_follows_on_the_certificate_counts() {
        let alert = AlertDescription::UnknownCA;
        for (said, ended, expected) in [
            ("QUIT\r\n", Ok(()), Some(TurnedAway::Quit)),
            ("NOOP\r\n", Ok(()), None),
            ("", Ok(()), None),
            (
                "",
                Err(io::ErrorKind::UnexpectedEof.into()),
                Some(TurnedAway::Closed),
            ),
            ("", Err(io::ErrorKind::TimedOut.into()), None),
            (
                "",
                Err(error(Error::AlertReceived(alert))),
                Some(TurnedAway::Alert(alert)),
            ),
            (
                "",
                Err(error(Error::AlertReceived(AlertDescription::InternalError))),
                None,
            ),
        ] {
            let session = session(said);
            let mut trust = Trust::Shown;
            assert_eq!(
                trust.ended(&session, &ended),
                expected,
                "{said:?} {ended:?}"
            );
            for other in [Trust::Unasked, Trust::Given] {
                assert_eq!(other.ended(&session, &ended), None);
            }
            trust.goes_on(&session);
            let quit = said.starts_with("QUIT");
            assert_eq!(trust, if quit { Trust::Shown } else { Trust::Given });
        }
    }
}
