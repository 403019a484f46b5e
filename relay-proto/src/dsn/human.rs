//! The part of a notification that people read.

use super::text::{CRLF, address, paragraph, said};
use super::{Action, Notice, Reporter, Told, Words};
use crate::envelope::Ret;
use crate::queued::{Cause, Remote, UnixMillis};

impl Notice<'_> {
    /// What happened, to whom, what to do, in the server's own words where there are any.
    pub(super) fn human(
        &self,
        reporter: &Reporter<'_>,
        date: &impl Fn(UnixMillis) -> String,
    ) -> String {
        let mut out = String::new();
        let mut say = |text: &str| {
            paragraph(&mut out, "", text);
            out.push_str(CRLF);
        };
        say(&format!(
            "This is the mail relay {} of {}, writing by itself.",
            reporter.hostname, reporter.operator
        ));
        let message = format!(
            "The message that we took from you on {}",
            date(self.queued.arrived)
        );
        for (kind, opening) in [
            (
                Kind::Failed,
                format!("{message} could NOT be delivered to:"),
            ),
            (
                Kind::Delayed,
                format!("{message} has not been delivered YET to:"),
            ),
            (Kind::Done, format!("{message} was handed on for:")),
        ] {
            let mut told = self.told.iter().filter(|told| kind.is_of(told)).peekable();
            if told.peek().is_none() {
                continue;
            }
            paragraph(&mut out, "", &opening);
            out.push_str(CRLF);
            for told in told {
                about(&mut out, told, date);
                out.push_str(CRLF);
            }
        }
        let mut closing = "The header of your message is attached; its text is not".to_owned();
        closing.push_str(match self.queued.mail.ret {
            Some(Ret::Full) => {
                ", although your mail server asked for it (RET=FULL): this relay never returns it."
            }
            Some(Ret::Headers) | None => ".",
        });
        paragraph(&mut out, "", &closing);
        out.push_str(CRLF);
        // On a line of its own each, so that neither is broken.
        out.push_str(&format!("Help: {}{CRLF}", reporter.help_url));
        out.push_str(&format!("Reference: {}{CRLF}", self.queued.id));
        out
    }

    /// The `Subject`.
    pub(super) fn subject(&self) -> &'static str {
        let some = |kind: Kind| self.told.iter().any(|told| kind.is_of(told));
        match (some(Kind::Failed), some(Kind::Delayed)) {
            (true, _) => "Your message could not be delivered",
            (false, true) => "Your message is delayed",
            (false, false) => "Your message was handed on",
        }
    }
}

/// What people tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Failed,
    Delayed,
    Done,
}

impl Kind {
    fn is_of(self, told: &Told<'_>) -> bool {
        self == match told.action {
            Action::Failed => Self::Failed,
            Action::Delayed { .. } => Self::Delayed,
            Action::Delivered | Action::Relayed | Action::Expanded => Self::Done,
        }
    }
}

fn about(out: &mut String, told: &Told<'_>, date: &impl Fn(UnixMillis) -> String) {
    paragraph(out, "  ", &address(&told.recipient.forward_path));
    let server = told.remote.map_or_else(|| "its server".to_owned(), server);
    let last = match told.words {
        Words::NotYet(_) => " at the last attempt",
        Words::Taken(_) | Words::Final(_) => "",
    };
    let words = match told.words {
        Words::Taken(reply)
        | Words::Final(Cause::Reply(reply))
        | Words::NotYet(Cause::Reply(reply)) => {
            paragraph(out, "    ", &format!("What {server} said{last}:"));
            said(reply)
        }
        Words::Final(Cause::Local { text, status: _ })
        | Words::NotYet(Cause::Local { text, status: _ }) => {
            paragraph(out, "    ", &format!("What happened{last}:"));
            text.clone()
        }
    };
    paragraph(out, "      ", &words);
    let advice = match told.action {
        Action::Failed => format!("What to do: {}", told.advice()),
        Action::Delayed { until } => format!(
            "There is nothing that you need to do. We try again until {}, and tell you if that is in vain.",
            date(until)
        ),
        Action::Relayed => {
            "Its server does not report what becomes of the message, so you will hear no more \
                            unless it cannot be delivered."
                .to_owned()
        }
        Action::Delivered => "It has arrived.".to_owned(),
        Action::Expanded => {
            "Its server sends it on to several mailboxes, and reports no more.".to_owned()
        }
    };
    paragraph(out, "    ", &advice);
}

fn server(remote: &Remote) -> String {
    let address = remote.address.ip();
    match &remote.name {
        Some(name) => format!("{name} [{address}]"),
        None => format!("[{address}]"),
    }
}
