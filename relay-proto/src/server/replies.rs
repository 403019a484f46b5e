//! What the server says of its own accord.

use data_encoding::BASE64;

use super::{Config, Hello, Offer};
use crate::reply::Reply;
use crate::sasl::Mechanism;
use crate::wire::command::CommandError;
use crate::wire::line::FramingError;

pub(super) fn greeting(config: &Config) -> Reply {
    let Config {
        hostname, operator, ..
    } = config;
    Reply::plain(220, &format!("{hostname} ESMTP Outgate at {operator}"))
}

pub(super) fn hello(config: &Config, hello: &Hello, offer: &Offer) -> Reply {
    let mut lines = vec![config.hostname.clone()];
    if hello.esmtp {
        lines.extend(offer.lines(hello.tls));
    }
    Reply::plain(250, &lines.join("\n"))
}

pub(super) fn command_error(error: &CommandError) -> Reply {
    let text = error.to_string();
    match error {
        CommandError::Unknown | CommandError::NotText => Reply::new(500, "5.5.2", &text),
        CommandError::Argument(_) => Reply::new(501, "5.5.4", &text),
        CommandError::Chunk => Reply::new(501, "5.5.4", &format!("{text}; closing")),
        CommandError::ReversePath(_) => Reply::new(501, "5.1.7", &text),
        CommandError::ForwardPath(_) => Reply::new(501, "5.1.3", &text),
        CommandError::Parameter(_) => Reply::new(555, "5.5.4", &text),
    }
}

pub(super) fn line_too_long() -> Reply {
    Reply::new(500, "5.5.2", "command line too long")
}

pub(super) fn malformed_command(error: FramingError) -> Reply {
    let text = format!("{error} in a command, see RFC 5321 section 2.3.8; closing");
    Reply::new(500, "5.5.2", &text)
}

pub(super) fn malformed_content(error: FramingError) -> Reply {
    let text = format!(
        "{error} in the message: lines must end in CRLF and nothing else, see RFC 5321 section 2.3.8; \
         message refused, closing"
    );
    Reply::new(554, "5.6.0", &text)
}

pub(super) fn malformed_chunk(error: FramingError) -> Reply {
    let text = format!(
        "{error} in the message: lines must end in CRLF and nothing else, see RFC 5321 section 2.3.8; \
         message refused"
    );
    Reply::new(554, "5.6.0", &text)
}

pub(super) fn content_line_too_long(limit: u64) -> Reply {
    let text = format!("a line of the message is longer than {limit} octets");
    Reply::new(554, "5.6.0", &text)
}

pub(super) fn mail_loop(limit: u32) -> Reply {
    let text = format!("mail loop: the message has more than {limit} Received fields");
    Reply::new(554, "5.4.6", &text)
}

pub(super) fn chunk_taken(octets: u64) -> Reply {
    Reply::new(250, "2.0.0", &format!("{octets} octets received so far"))
}

pub(super) fn too_large(limit: u64) -> Reply {
    let text = format!("message larger than the limit of {limit} octets");
    Reply::new(552, "5.3.4", &text)
}

/// RFC 4954 section 4.
pub(super) fn no_such_mechanism() -> Reply {
    let known = Mechanism::ALL.map(Mechanism::name).join(", ");
    Reply::new(504, "5.5.4", &format!("the mechanisms here are {known}"))
}

pub(super) fn already_authenticated() -> Reply {
    out_of_order("AUTH was said already, and who you are stays")
}

pub(super) fn challenge(octets: &[u8]) -> Reply {
    Reply::plain(334, &BASE64.encode(octets))
}

pub(super) fn auth_cancelled() -> Reply {
    Reply::new(501, "5.7.0", "authentication cancelled")
}

pub(super) fn not_base64() -> Reply {
    let text = "the response is not base64; authentication ended";
    Reply::new(501, "5.5.2", text)
}

pub(super) fn auth_malformed(problem: &str) -> Reply {
    Reply::new(501, "5.5.2", &format!("{problem}; authentication ended"))
}

pub(super) fn auth_refused(problem: &str) -> Reply {
    Reply::new(535, "5.7.8", problem)
}

/// RFC 4954 section 6.
pub(super) fn auth_line_too_long() -> Reply {
    let text = "a response is at most 12288 octets; authentication ended";
    Reply::new(500, "5.5.6", text)
}

pub(super) fn needs_smtputf8() -> Reply {
    Reply::new(
        553,
        "5.6.7",
        "the address needs SMTPUTF8, which MAIL did not say",
    )
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(
        452,
        "4.5.3",
        "too many recipients, send the rest in another transaction",
    )
}

pub(super) fn parameter_without_ehlo() -> Reply {
    Reply::new(555, "5.5.4", "parameters need EHLO")
}

pub(super) fn parameter_not_offered(keyword: &str) -> Reply {
    Reply::new(555, "5.5.4", &format!("{keyword} is not offered"))
}

pub(super) fn out_of_order(what_to_do: &str) -> Reply {
    Reply::new(503, "5.5.1", what_to_do)
}

pub(super) fn transaction_open() -> Reply {
    out_of_order("a transaction is open, say RSET first")
}

pub(super) fn no_valid_recipients() -> Reply {
    Reply::new(554, "5.5.1", "no valid recipients")
}

pub(super) fn start_content() -> Reply {
    Reply::plain(354, "end data with <CR><LF>.<CR><LF>")
}

pub(super) fn ok() -> Reply {
    Reply::new(250, "2.0.0", "ok")
}

pub(super) fn bye() -> Reply {
    Reply::new(221, "2.0.0", "bye")
}

pub(super) fn ready_for_tls() -> Reply {
    Reply::new(220, "2.0.0", "ready to start TLS")
}

pub(super) fn octets_after_starttls() -> Reply {
    let text = "nothing may follow STARTTLS before the handshake, see RFC 3207 section 4; closing";
    Reply::new(503, "5.5.1", text)
}

pub(super) fn will_not_verify() -> Reply {
    Reply::new(252, "2.0.0", "addresses are not verified, try to send")
}

pub(super) fn help(config: &Config) -> Reply {
    let text = format!(
        "mail filter of {}; commands as in RFC 5321",
        config.operator
    );
    Reply::new(214, "2.0.0", &text)
}

pub(super) fn not_implemented() -> Reply {
    Reply::new(502, "5.5.1", "command not implemented")
}

pub(super) fn no_chunking() -> Reply {
    Reply::new(502, "5.5.1", "CHUNKING is not offered; closing")
}

pub(super) fn not_smtp() -> Reply {
    Reply::new(500, "5.5.2", "this is an SMTP server; closing")
}

pub(super) fn only_probing() -> Reply {
    Reply::new(554, "5.7.1", "health checks are served NOOP and QUIT alone")
}

pub(super) fn only_quit() -> Reply {
    Reply::new(503, "5.5.1", "the session was refused, say QUIT")
}

pub(super) fn too_many_errors() -> Reply {
    Reply::new(421, "4.7.0", "too many errors, closing")
}

pub(super) fn too_many_commands() -> Reply {
    Reply::new(421, "4.7.0", "too many commands, closing")
}

pub(super) fn too_many_mails() -> Reply {
    Reply::new(
        421,
        "4.7.0",
        "too many messages in one session, connect again; closing",
    )
}

pub(super) fn too_much_pipelined() -> Reply {
    Reply::new(
        421,
        "4.7.0",
        "too much sent without waiting for replies, closing",
    )
}

pub(super) fn timed_out() -> Reply {
    Reply::new(421, "4.4.2", "nothing came in time, closing")
}

pub(super) fn too_slow() -> Reply {
    Reply::new(421, "4.4.2", "the message comes too slowly, closing")
}

pub(super) fn session_too_long() -> Reply {
    Reply::new(
        421,
        "4.3.2",
        "the session has lasted long enough, connect again; closing",
    )
}

pub(super) fn deferred_for_early_talk() -> Reply {
    Reply::new(
        421,
        "4.7.0",
        "you talked before the greeting, see RFC 5321 section 4.3.1; closing",
    )
}

pub(super) fn refused_for_early_talk() -> Reply {
    Reply::new(
        554,
        "5.7.1",
        "you talked before the greeting, see RFC 5321 section 4.3.1; closing",
    )
}

/// The application answered what the question does not allow: a bug of ours, and no loss of mail.
pub(super) fn our_bug() -> Reply {
    Reply::new(451, "4.3.0", "internal error, try again later")
}
