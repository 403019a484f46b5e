//! Customers that want to authenticate, and destinations that want them to.
//!
//! A password that is said here would be known to whoever filters, so AUTH is never offered, none is ever
//! passed on, and none is kept: the session tells the name of a mechanism and nothing else. Who is asked
//! to authenticate wants a submission service, and is told where there is one.

use std::fmt;

use relay_proto::reply::Reply;

use crate::config::Config;

/// Where a customer can authenticate.
#[derive(Clone, Copy)]
pub(in crate::treatment) struct Pointer<'a> {
    /// The operator's own service, if this relay is one.
    service: Option<&'a str>,
    help_url: &'a str,
}

impl<'a> From<&'a Config> for Pointer<'a> {
    fn from(config: &'a Config) -> Self {
        Self {
            service: config.submission.as_ref().and_then(|it| it.name.as_deref()),
            help_url: &config.identity.help_url,
        }
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.unwrap_or("your provider");
        let help_url = self.help_url;
        write!(
            f,
            "to authenticate, submit on port 587 of {service}, see {help_url}"
        )
    }
}

/// The answer to AUTH: what the destination has said to a mail without it, if it has.
pub(in crate::treatment) fn refused(destination: Option<&Reply>, pointer: Pointer<'_>) -> Reply {
    match destination {
        Some(reply) => reply.clone(),
        None => {
            let text = format!("AUTH is not offered on port 25; {pointer}");
            Reply::new(502, "5.5.1", &text)
        }
    }
}

/// The destination's demand, with a line more.
pub(super) fn pointed(demand: &Reply, pointer: Pointer<'_>) -> Reply {
    let enhanced = demand.enhanced().map(|code| format!("{code} "));
    let pointer = enhanced.unwrap_or_default() + &pointer.to_string();
    let mut lines: Vec<&str> = demand.lines().collect();
    lines.push(&pointer);
    Reply::plain(demand.code().value(), &lines.join("\n"))
}

/// RFC 4954 section 6. The same code says that STARTTLS is missing (RFC 3207 section 4); that one is about
/// our own leg.
pub(super) fn demands_authentication(reply: &Reply) -> bool {
    reply.code() == 530 && !reply.text().to_ascii_uppercase().contains("STARTTLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://abuse.example.net/smtp";
    const ELSEWHERE: Pointer<'_> = Pointer {
        service: None,
        help_url: URL,
    };

    #[test]
    fn a_demand_for_authentication_has_a_pointer_below_the_destinations_own_words() {
        let pointer = "to authenticate, submit on port 587 of your provider, see";
        let required = Reply::new(530, "5.7.0", "Authentication required\nsee rfc4954");
        assert_eq!(
            pointed(&required, ELSEWHERE).to_string(),
            format!("530 5.7.0 Authentication required 5.7.0 see rfc4954 5.7.0 {pointer} {URL}")
        );
        let bare = Reply::plain(530, "log in first");
        let expected = format!("530 log in first {pointer} {URL}");
        assert_eq!(pointed(&bare, ELSEWHERE).to_string(), expected);
        for demand in [required, bare] {
            assert!(demands_authentication(&demand), "{demand}");
        }
        for other in [
            Reply::new(530, "5.7.0", "Must issue a STARTTLS command first"),
            Reply::new(550, "5.1.1", "no such user"),
            Reply::new(250, "2.1.5", "fine"),
        ] {
            assert!(!demands_authentication(&other), "{other}");
        }
    }

    #[test]
    fn auth_is_answered_with_the_destinations_word_if_there_is_one() {
        let own = refused(None, ELSEWHERE);
        assert!(own.code() == 502 && own.text().contains(URL), "{own}");
        let here = Pointer {
            service: Some("submit.example.net"),
            ..ELSEWHERE
        };
        let own = refused(None, here).text();
        assert!(
            own.contains("port 587 of submit.example.net, see https://"),
            "{own}"
        );
        let demand = pointed(&Reply::new(530, "5.7.0", "log in first"), ELSEWHERE);
        assert_eq!(refused(Some(&demand), ELSEWHERE), demand);
    }
}
