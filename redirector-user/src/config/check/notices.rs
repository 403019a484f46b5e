//! `[notices]` and `[[contact]]`: how customers are told, and who is.

use lettre::message::Mailbox;

use super::{
    absolute, duration, prefix,
    webhooks::{is_loopback, secret_file},
};
use crate::{
    config::{
        Notices, Submit, SubmitTls, Wrong,
        raw::{RawContact, RawNotices},
    },
    notice::Contacts,
};

pub(super) fn notices(raw: RawNotices) -> Result<Notices, Wrong> {
    let login = match (raw.user, raw.password_file) {
        (Some(user), Some(file)) => Some((user, secret_file("notices.password_file", &file)?)),
        (None, None) => None,
        (Some(_), None) => return Err(Wrong::new("notices.password_file", "missing", HALF)),
        (None, Some(_)) => return Err(Wrong::new("notices.user", "missing", HALF)),
    };
    let submit = submit(&raw.submit, raw.insecure)?;
    if login.is_some() && submit.tls == SubmitTls::None && !is_loopback(&submit.host) {
        let problem =
            "a password would go over the network in clear text; allowed is a server with TLS";
        return Err(Wrong::new("notices.submit", raw.submit, problem));
    }
    let language = raw.language;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    if !(2..=10).contains(&language.len()) || !language.bytes().all(fits) {
        let problem = "not a language, as en or pt-BR; files are named by it";
        return Err(Wrong::new(
            "notices.language",
            format!("{language:?}"),
            problem,
        ));
    }
    let file = |key: &str, path| absolute(&format!("notices.{key}"), path);
    Ok(Notices {
        from: mailbox("notices.from", &raw.from)?,
        reply_to: raw
            .reply_to
            .map(|text| mailbox("notices.reply_to", &text))
            .transpose()?,
        submit,
        login,
        ca_file: raw.ca_file.map(|path| file("ca_file", path)).transpose()?,
        templates: raw
            .templates
            .map(|path| file("templates", path))
            .transpose()?,
        language,
        at_most_every: duration("notices.at_most_every", &raw.at_most_every, AT_MOST_EVERY)?,
    })
}

pub(super) fn contacts(raw: &[RawContact]) -> Result<Contacts, Wrong> {
    let mut contacts = Contacts::default();
    for (index, RawContact { prefix: text, mail }) in raw.iter().enumerate() {
        let key = |field: &str| format!("contact[{index}].{field}");
        let prefix = prefix(&key("prefix"), text)?;
        let mail = mailbox(&key("mail"), mail)?;
        if !contacts.add(prefix, mail) {
            let problem = "named twice; one contact for each prefix";
            return Err(Wrong::new(key("prefix"), text, problem));
        }
    }
    Ok(contacts)
}

fn mailbox(key: &str, text: &str) -> Result<String, Wrong> {
    let wrong = || {
        let problem = "not an address of mail, as abuse@example.net or \"Example Hosting <abuse@example.net>\"";
        Wrong::new(key, format!("{text:?}"), problem)
    };
    let mailbox: Mailbox = text.parse().map_err(|_malformed| wrong())?;
    // Without SMTPUTF8, which not every server has, an address is ASCII.
    let plain = mailbox.email.as_ref() as &str;
    if !plain.is_ascii() || text.chars().any(char::is_control) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn submit(text: &str, insecure: bool) -> Result<Submit, Wrong> {
    let wrong = |problem| Wrong::new("notices.submit", format!("{text:?}"), problem);
    let (implicit, place) = match text.split_once("://") {
        Some(("smtp", place)) => (false, place),
        Some(("smtps", place)) => (true, place),
        Some(_) | None => return Err(wrong(FORM)),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(|| wrong(FORM))?)
        }
        Some(_) | None => (place, if implicit { 465 } else { 587 }),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._:".contains(&octet);
    if bare.is_empty() || !bare.bytes().all(fits) || bare.contains(':') != host.starts_with('[') {
        return Err(wrong(FORM));
    }
    let tls = match implicit {
        true => SubmitTls::Implicit,
        false if insecure || is_loopback(bare) => SubmitTls::None,
        false => SubmitTls::Starttls,
    };
    Ok(Submit {
        host: bare.to_owned(),
        port,
        tls,
    })
}

const FORM: &str = "not a server that takes mail; allowed are smtp://HOST:PORT (with STARTTLS, but on this host) and \
                    smtps://HOST:PORT";
const HALF: &str =
    "a user is of no use without its password_file, nor a password without its user; give both";
/// Shorter than a moment is no pause; longer than a week is no news.
const AT_MOST_EVERY: (&str, &str) = ("1s", "168h");
