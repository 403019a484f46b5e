//! What a customer is offered on behalf of its destination, and what becomes of a promise that the
//! destination does not keep.
//!
//! A message is passed on as it was written, so nothing may be offered that the destination lacks: a sender
//! that is offered less converts before it signs, one that is offered more cannot be helped any more
//! (RFC 6152 section 3, RFC 6531 section 3.2).

use relay_proto::client::Extensions;
use relay_proto::envelope::{BodyType, Mail};
use relay_proto::reply::Reply;
use relay_proto::server::Offer;

/// What both this relay and the destination can do. STARTTLS is this hop's alone.
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
        dsn: own.dsn && destination.dsn,
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
    } else if (mail.ret.is_some() || mail.envelope_id.is_some()) && !destination.dsn {
        "DSN"
    } else if limit.is_some_and(|limit| mail.size.is_some_and(|size| size > limit)) {
        "messages of this size"
    } else {
        return None;
    };
    let text = format!(
        "your destination took {lacking} until now and does not any more; connect again and say EHLO"
    );
    Some(Reply::new(451, "4.3.5", &text))
}

#[cfg(test)]
mod tests {
    use relay_proto::address::ReversePath;
    use relay_proto::envelope::Ret;

    use super::*;

    #[test]
    fn the_offer_is_what_both_can_do() {
        let own = Offer {
            max_message_octets: 1000,
            eight_bit_mime: true,
            smtputf8: true,
            chunking: true,
            dsn: true,
            starttls: true,
        };
        let all = Extensions {
            size: Some(Some(500)),
            eight_bit_mime: true,
            smtputf8: true,
            dsn: true,
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
            ..Offer::default()
        };
        assert_eq!(offer(own, &Extensions::default()), bare);
    }

    #[test]
    fn only_a_mail_that_needs_it_finds_a_promise_broken() {
        let plain = Mail {
            size: Some(700),
            body: Some(BodyType::SevenBit),
            ..Mail::new(ReversePath::Null)
        };
        let body = Some(BodyType::EightBitMime);
        let eight_bit = Mail {
            body,
            ..plain.clone()
        };
        let smtputf8 = true;
        let utf8 = Mail {
            smtputf8,
            ..plain.clone()
        };
        let notified = Mail {
            ret: Some(Ret::Headers),
            ..plain.clone()
        };
        let size = |limit| Extensions {
            size: Some(limit),
            ..Extensions::default()
        };
        assert_eq!(broken(&plain, &Extensions::default()), None);
        assert_eq!(broken(&plain, &size(None)), None);
        assert_eq!(broken(&plain, &size(Some(700))), None);
        for (mail, destination) in [
            (&eight_bit, Extensions::default()),
            (&utf8, Extensions::default()),
            (&notified, Extensions::default()),
            (&plain, size(Some(699))),
        ] {
            let reply = broken(mail, &destination).unwrap();
            assert_eq!(reply.code(), 451, "{reply}");
        }
        let able = Extensions {
            eight_bit_mime: true,
            smtputf8: true,
            ..Extensions::default()
        };
        assert_eq!(broken(&eight_bit, &able), None);
        assert_eq!(broken(&utf8, &able), None);
    }
}
