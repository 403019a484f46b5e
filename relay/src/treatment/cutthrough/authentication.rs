//! Customers that want to authenticate, and destinations that want them to.
//!
//! A password that is said here would be known to whoever filters, so AUTH is never offered, none is ever
//! passed on, and none is kept: the session tells the name of a mechanism and nothing else. Who is asked
//! to authenticate wants a submission service, and is told where there is one.

use relay_proto::reply::Reply;

/// The answer to AUTH: what the destination has said to a mail without it, if it has.
pub(in crate::treatment) fn refused(destination: Option<&Reply>, help_url: &str) -> Reply {
    match destination {
        Some(reply) => reply.clone(),
        None => {
            let text = format!("AUTH is not offered on port 25; {}", pointer(help_url));
            Reply::new(502, "5.5.1", &text)
        }
    }
}

/// The destination's demand, with a line more.
pub(super) fn pointed(demand: &Reply, help_url: &str) -> Reply {
    let enhanced = demand.enhanced().map(|code| format!("{code} "));
    let pointer = enhanced.unwrap_or_default() + &pointer(help_url);
    let mut lines: Vec<&str> = demand.lines().collect();
    lines.push(&pointer);
    Reply::plain(demand.code().value(), &lines.join("\n"))
}

/// RFC 4954 section 6. The same code says that STARTTLS is missing (RFC 3207 section 4); that one is about
/// our own leg.
pub(super) fn demands_authentication(reply: &Reply) -> bool {
    reply.code() == 530 && !reply.text().to_ascii_uppercase().contains("STARTTLS")
}

fn pointer(help_url: &str) -> String {
    format!("to authenticate, submit on port 587 of your provider, see {help_url}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://abuse.example.net/smtp";

    #[test]
    fn a_demand_for_authentication_has_a_pointer_below_the_destinations_own_words() {
        let pointer = "to authenticate, submit on port 587 of your provider, see";
        let required = Reply::new(530, "5.7.0", "Authentication required\nsee rfc4954");
        assert_eq!(
            pointed(&required, URL).to_string(),
            format!("530 5.7.0 Authentication required 5.7.0 see rfc4954 5.7.0 {pointer} {URL}")
        );
        let bare = Reply::plain(530, "log in first");
        let expected = format!("530 log in first {pointer} {URL}");
        assert_eq!(pointed(&bare, URL).to_string(), expected);
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
        let own = refused(None, URL);
        assert!(own.code() == 502 && own.text().contains(URL), "{own}");
        let demand = pointed(&Reply::new(530, "5.7.0", "log in first"), URL);
        assert_eq!(refused(Some(&demand), URL), demand);
    }
}
