//! What a customer is offered on behalf of its destination, and what becomes of a promise that the
//! destination does not keep.
//!
//! A message is passed on as it was written, so nothing may be offered that the destination lacks: a sender
//! that is offered less converts before it signs, one that is offered more cannot be helped any more
//! (RFC 6152 section 3, RFC 6531 section 3.2).

use relay_proto::client::Extensions;
use relay_proto::envelope::{BodyType, Mail, Recipient};
use relay_proto::reply::Reply;
use relay_proto::server::Offer;

/// What both this relay and the destination can do. STARTTLS and CHUNKING are about this hop alone, and ours. REQUIRETLS
/// is a promise about the next hop that depends on the recipient's domain, too: `secured` keeps it, or refuses.
/// DSN is the destination's: here its parameters are passed on, and nobody is notified.
pub(super) fn offer(own: Offer, destination: &Extensions) -> Offer {
    let destinations_limit = destination.size.flatten().unwrap_or(0);
    let limits = [own.max_message_octets, destinations_limit];
    Offer {
        max_message_octets: limits
            .into_iter()
            .filter(|&limit| limit > 0)
            .min()
            .unwrap_or(0),
        eight_bit_mime: own.eight_bit_mime && destination.eight_bit_mime,
        smtputf8: own.smtputf8 && destination.smtputf8,
        dsn: destination.dsn,
        require_tls: own.require_tls && destination.require_tls,
        limits: own.limits.least(destination.limits),
        ..own
    }
}

/// The answer to a mail that needs what this destination lacks. It had been promised, or the session
/// would have refused the parameter itself; so the sender asks again, and hears the truth.
pub(super) fn broken(mail: &Mail, destination: &Extensions) -> Option<Reply> {
    let limit = destination.size.flatten();
    let lacking = if mail.body == Some(BodyType::EightBitMime) && !destination.eight_bit_mime {
        "8BITMIME"
    } else if mail.smtputf8 && !destination.smtputf8 {
        "SMTPUTF8"
    } else if limit.is_some_and(|limit| mail.size.is_some_and(|size| size > limit)) {
        "messages of this size"
    } else if (mail.ret.is_some() || mail.envelope_id.is_some()) && !destination.dsn {
        "DSN"
    } else if mail.insists_on_tls() && !destination.require_tls {
        "REQUIRETLS"
    } else {
        return None;
    };
    Some(ask_again(lacking))
}

/// The same for a recipient.
pub(super) fn broken_for(recipient: &Recipient, destination: &Extensions) -> Option<Reply> {
    let needs_dsn = recipient.notify.is_some() || recipient.original.is_some();
    (needs_dsn && !destination.dsn).then(|| ask_again("DSN"))
}

fn ask_again(lacking: &str) -> Reply {
    let text = format!(
        "your destination took {lacking} until now and does not any more; connect again and say EHLO"
    );
    Reply::new(451, "4.3.5", &text)
}

#[cfg(test)]
mod tests {
    use relay_proto::limits::Limits;
    use relay_proto::wire::command::Command;

    use super::*;

    fn limits(text: &str) -> Limits {
        Limits::read(text.split(' '))
    }

    #[test]
    fn the_offer_is_what_both_can_do() {
        let own = Offer {
            max_message_octets: 1000,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            dsn: true,
            starttls: true,
            require_tls: true,
            limits: limits("MAILMAX=50 RCPTMAX=100"),
            auth: false,
        };
        let all = Extensions {
            size: Some(Some(500)),
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            require_tls: true,
            limits: limits("RCPTMAX=100 MAILMAX=70"),
            ..Extensions::default()
        };
        let smaller = Offer {
            max_message_octets: 500,
            ..own
        };
        assert_eq!(offer(own, &all), smaller);
        for size in [None, Some(None), Some(Some(2000))] {
            assert_eq!(offer(own, &Extensions { size, ..all }), own, "{size:?}");
        }
        let unlimited = Offer {
            max_message_octets: 0,
            ..own
        };
        assert_eq!(offer(unlimited, &all), smaller);
        assert_eq!(
            offer(unlimited, &Extensions { size: None, ..all }),
            unlimited
        );
        let bare = Offer {
            max_message_octets: 1000,
            chunking: true,
            starttls: true,
            limits: own.limits,
            ..Offer::default()
        };
        assert_eq!(offer(own, &Extensions::default()), bare);
        let few = Extensions {
            limits: limits("RCPTMAX=1 RCPTDOMAINMAX=3"),
            ..all
        };
        let least = limits("MAILMAX=50 RCPTMAX=1 RCPTDOMAINMAX=3");
        assert_eq!(offer(own, &few).limits, least);
    }

    #[test]
    fn only_a_mail_that_needs_it_finds_a_promise_broken() {
        let mail = |parameters: &str| {
            let line = format!("MAIL FROM:<a@customer.example>{parameters}");
            match Command::parse(line.as_bytes()) {
                Ok(Command::Mail(mail)) => mail,
                other => panic!("{other:?}"),
            }
        };
        let plain = mail(" SIZE=700 BODY=7BIT");
        let size = |limit| Extensions {
            size: Some(limit),
            ..Extensions::default()
        };
        assert_eq!(broken(&plain, &Extensions::default()), None);
        assert_eq!(broken(&plain, &size(None)), None);
        assert_eq!(broken(&plain, &size(Some(700))), None);
        assert!(broken(&plain, &size(Some(699))).is_some());
        let able = Extensions {
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
            require_tls: true,
            ..Extensions::default()
        };
        for parameters in [
            " BODY=8BITMIME",
            " SMTPUTF8",
            " RET=HDRS",
            " ENVID=x",
            " REQUIRETLS",
        ] {
            let mail = mail(parameters);
            let reply = broken(&mail, &Extensions::default()).unwrap();
            assert_eq!(reply.code(), 451, "{reply}");
            assert_eq!(broken(&mail, &able), None, "{parameters}");
        }
        for (parameters, needs) in [
            ("", false),
            (" NOTIFY=NEVER", true),
            (" ORCPT=rfc822;b", true),
        ] {
            let line = format!("RCPT TO:<b@mx.example>{parameters}");
            let Ok(Command::Rcpt(recipient)) = Command::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            let reply = broken_for(&recipient, &Extensions::default());
            assert_eq!(reply.is_some(), needs, "{line}");
            assert_eq!(broken_for(&recipient, &able), None, "{line}");
        }
    }
}
