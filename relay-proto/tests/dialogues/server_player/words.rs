//! What scripts call questions and answers.

use relay_proto::envelope::TlsTag;
use relay_proto::limits::Limits;
use relay_proto::reply::Reply;
use relay_proto::server::{Answer, Auth, Claim, Evidence, Keys, Offer, Question};

pub(super) fn asked(question: &Question) -> String {
    match question {
        Question::Hello(hello) => {
            let verb = if hello.esmtp { "EHLO" } else { "HELO" };
            let tls = if hello.tls { " tls" } else { "" };
            format!("{verb} {}{tls}", hello.name)
        }
        Question::Auth(Auth::NotOffered(mechanism)) => format!("AUTH {mechanism}"),
        Question::Auth(Auth::Keys(user)) => format!("KEYS {}", user.as_str()),
        Question::Auth(Auth::Claim(Claim { user, evidence })) => match evidence {
            Evidence::Password(password) => {
                let password = String::from_utf8_lossy(password.as_bytes());
                format!("CLAIM {} {password}", user.as_str())
            }
            Evidence::Proven | Evidence::Disproven => {
                format!("CLAIM {} {evidence:?}", user.as_str())
            }
        },
        Question::Mail(mail) => {
            let mut text = format!("MAIL {}", mail.reverse_path);
            if let Some(size) = mail.size {
                text += &format!(" {size}");
            }
            if let Some(body) = mail.body {
                text += &format!(" {body:?}");
            }
            if mail.smtputf8 {
                text += " utf8";
            }
            if let Some(ret) = mail.ret {
                text += &format!(" {ret}");
            }
            if let Some(id) = &mail.envelope_id {
                text += &format!(" {id}");
            }
            if mail.tls == TlsTag::Required {
                text += " requiretls";
            }
            if mail.auth {
                text += " auth";
            }
            text
        }
        Question::Recipient(recipient) => {
            let mut text = format!("RCPT {}", recipient.forward_path);
            if let Some(notify) = recipient.notify {
                text += &format!(" {notify}");
            }
            if let Some(original) = &recipient.original {
                text += &format!(" {original}");
            }
            text
        }
        Question::Data => "DATA".to_owned(),
        Question::Message => "MESSAGE".to_owned(),
    }
}

pub(super) fn answer(text: &str) -> Answer {
    if text == "proceed" {
        return Answer::Proceed;
    }
    if text == "keys" {
        return Answer::Keys {
            keys: keys(),
            nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned(),
        };
    }
    if let Some(words) = text.strip_prefix("offer") {
        return Answer::Offer(
            words
                .split_ascii_whitespace()
                .fold(Offer::default(), offering),
        );
    }
    match text.strip_prefix("close ") {
        Some(text) => Answer::ReplyAndClose(reply(text)),
        None => Answer::Reply(reply(text)),
    }
}

fn offering(mut offer: Offer, word: &str) -> Offer {
    match word {
        "8bitmime" => offer.eight_bit_mime = true,
        "smtputf8" => offer.smtputf8 = true,
        "chunking" => offer.chunking = true,
        "dsn" => offer.dsn = true,
        "starttls" => offer.starttls = true,
        "requiretls" => offer.require_tls = true,
        limit if limit.contains('=') => {
            offer.limits = offer.limits.least(Limits::read([limit]));
        }
        "auth" => offer.auth = true,
        octets => offer.max_message_octets = octets.parse().unwrap(),
    }
    offer
}

/// Of the password `pencil`, as in RFC 7677 section 3.
fn keys() -> Keys {
    let octets = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    Keys {
        salt: octets("W22ZaJ0SNY7soEsUEjb6gQ=="),
        iterations: 4096,
        stored_key: octets("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=")
            .try_into()
            .unwrap(),
        server_key: octets("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
            .try_into()
            .unwrap(),
    }
}

/// `250 2.1.0 ok`, or `250 ok` without an enhanced code.
pub(crate) fn reply(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').unwrap();
    Reply::plain(code.parse().unwrap(), &text.replace("\\n", "\n"))
}
