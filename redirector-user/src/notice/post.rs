//! Handing a notice to the operator's submission server.
//!
//! The message is made and sent by lettre; what is here says how: plain on this host alone, TLS everywhere else, and
//! nothing is taken for sent that the server has not taken (RFC 5321 section 6.1).
//!
//! # Diagnostics
//!
//! [`SetUpError`] at start; [`PostError`] of one attempt, which says whether another one could help.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters, TlsParametersBuilder},
        extension::ClientId,
    },
};

use super::Text;
use crate::{config::Notices, config::SubmitTls};

/// The way to the submission server.
#[derive(Debug)]
pub struct Post {
    notices: Notices,
}

/// A notice that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Unsent<'a> {
    /// To whom.
    pub to: &'a str,
    /// What.
    pub text: &'a Text,
    /// The left part of its Message-ID: the same at each attempt.
    pub id: &'a str,
    /// Its date: the same at each attempt.
    pub at: Timestamp,
}

/// What is wrong with what the configuration names.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The password cannot be read.
    #[error("notices.password_file: {file}: {source}")]
    Password {
        /// Which file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The authorities cannot be read.
    #[error("notices.ca_file: {}: {source}", file.display())]
    Authorities {
        /// Which file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// They are none.
    #[error("notices.ca_file: {}: {source}; it must be a PEM file of certificates", file.display())]
    NoAuthorities {
        /// Which file.
        file: PathBuf,
        /// Why not.
        source: lettre::transport::smtp::Error,
    },
    /// The library refuses.
    #[error("notices.submit: {0}")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Why a notice was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// What the way needs is not there any more.
    #[error(transparent)]
    SetUp(#[from] SetUpError),
    /// The message cannot be made.
    #[error("the message: {0}")]
    Message(String),
    /// The server refuses this message, for now or for ever.
    #[error("{text}")]
    Refused {
        /// What it said.
        text: String,
        /// Whether it would say so again.
        forever: bool,
    },
    /// The server is not to be spoken to.
    #[error("{0}")]
    Unreachable(String),
}

impl Post {
    /// Looks at what the configuration names beside itself.
    ///
    /// # Errors
    ///
    /// [`SetUpError`].
    pub fn set_up(notices: &Notices) -> Result<Self, SetUpError> {
        let post = Self {
            notices: notices.clone(),
        };
        post.transport()?;
        Ok(post)
    }

    /// Hands one over; it is the server's when this returns.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn send(&self, unsent: Unsent<'_>) -> Result<(), PostError> {
        let message = message(&self.notices, unsent)?;
        let transport = self.transport()?;
        match transport.send(message).await {
            Ok(_answer) => Ok(()),
            Err(error) => Err(judged(&error)),
        }
    }

    /// Made anew each time, so that another password is in use at once.
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, SetUpError> {
        let submit = &self.notices.submit;
        let tls = match submit.tls {
            SubmitTls::None => Tls::None,
            SubmitTls::Starttls => Tls::Required(self.parameters()?),
            SubmitTls::Implicit => Tls::Wrapper(self.parameters()?),
        };
        let name = rustix::system::uname();
        let name = name.nodename().to_string_lossy().into_owned();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&submit.host)
            .port(submit.port)
            .tls(tls)
            .hello_name(ClientId::Domain(name))
            .timeout(Some(TIMEOUT));
        if let Some((user, file)) = &self.notices.login {
            let password = file.read().map_err(|source| SetUpError::Password {
                file: file.to_string(),
                source,
            })?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(builder.build())
    }

    fn parameters(&self) -> Result<TlsParameters, SetUpError> {
        let mut builder: TlsParametersBuilder =
            TlsParameters::builder(self.notices.submit.host.clone());
        if let Some(file) = &self.notices.ca_file {
            builder = builder.add_root_certificate(authority(file)?);
        }
        builder.build().map_err(SetUpError::Tls)
    }
}

/// What a customer gets (RFC 5322). No program answers what says that it is generated itself (RFC 3834 section 5).
fn message(notices: &Notices, unsent: Unsent<'_>) -> Result<Message, PostError> {
    let wrong = |error: &dyn std::error::Error| PostError::Message(error.to_string());
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| wrong(&error));
    let from = mailbox(&notices.from)?;
    let domain = from.email.domain().to_owned();
    let generated = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut builder = Message::builder()
        .from(from)
        .to(mailbox(unsent.to)?)
        .subject(unsent.text.subject.clone())
        .date(SystemTime::from(unsent.at))
        .message_id(Some(format!("<{}@{domain}>", unsent.id)))
        .raw_header(HeaderValue::new(generated, String::from("auto-generated")))
        .header(ContentType::TEXT_PLAIN);
    if let Some(reply_to) = &notices.reply_to {
        builder = builder.reply_to(mailbox(reply_to)?);
    }
    builder
        .body(unsent.text.body.clone())
        .map_err(|error| wrong(&error))
}

fn judged(error: &lettre::transport::smtp::Error) -> PostError {
    let text: String = chain(error)
        .chars()
        .filter(|c| !c.is_control())
        .take(ERROR_CHARS_MAX)
        .collect();
    let Some(code) = error.status() else {
        return PostError::Unreachable(text);
    };
    let code: u16 = code.into();
    match code {
        // What it says of a mailbox (RFC 5321 section 4.2.3); of the connection, a person changes it.
        550..=553 => PostError::Refused {
            text,
            forever: true,
        },
        450..=452 => PostError::Refused {
            text,
            forever: false,
        },
        _ => PostError::Unreachable(text),
    }
}

/// An error with all that it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

fn authority(file: &Path) -> Result<Certificate, SetUpError> {
    let pem = fs::read(file).map_err(|source| SetUpError::Authorities {
        file: file.to_owned(),
        source,
    })?;
    Certificate::from_pem(&pem).map_err(|source| SetUpError::NoAuthorities {
        file: file.to_owned(),
        source,
    })
}

/// For each command; RFC 5321 section 4.5.3.2 would wait for minutes, and what is late is tried again.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of what is kept.
const ERROR_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Submit, notice::Kind};

    #[test]
    fn a_message_is_what_mail_servers_take() {
        let notices = Notices {
            from: String::from("Gr\u{fc}n Hosting <abuse@example.net>"),
            reply_to: Some(String::from("desk@example.net")),
            submit: Submit {
                host: String::from("::1"),
                port: 25,
                tls: SubmitTls::None,
            },
            login: None,
            ca_file: None,
            templates: None,
            language: String::from("en"),
            at_most_every: Duration::from_secs(3600),
        };
        let text = Text {
            kind: Kind::Flag,
            subject: String::from("Ausgehende Mail ist eingeschr\u{e4}nkt"),
            body: String::from("Hello,\n.\n\u{fc}ber\n"),
        };
        let unsent = Unsent {
            to: "admin@customer.example",
            text: &text,
            id: "notice-7.outgated-1",
            at: Timestamp::from_second(1_750_000_000).unwrap(),
        };
        let message = String::from_utf8(message(&notices, unsent).unwrap().formatted()).unwrap();
        let (head, body) = message.split_once("\r\n\r\n").unwrap();
        for line in [
            "To: admin@customer.example",
            "Reply-To: desk@example.net",
            "Date: Sun, 15 Jun 2025 15:06:40 +0000",
            "Message-ID: <notice-7.outgated-1@example.net>",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(head.lines().any(|found| found == line), "{line}\n{head}");
        }
        assert!(message.is_ascii(), "{message}");
        assert!(body.contains("=C3=BCber"), "{body}");
        assert!(head.contains("From: =?utf-8?"), "{head}");
        Post::set_up(&notices).unwrap();
    }
}
