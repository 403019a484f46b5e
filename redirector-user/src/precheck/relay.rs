//! Whether an address carries strangers' mail to strangers.

use super::{
    Check, Finding, Question, Verdict,
    facts::{Exchange, HostFacts, Knock},
};

/// What is said at port 25, in order; each waits for its reply. No message is ever sent: a recipient that is taken is
/// answer enough.
pub(super) fn script(question: &Question, stranger: &str) -> Vec<String> {
    let domain = &question.domain;
    let mail = |from: &str| format!("MAIL FROM:<{from}>");
    let recipient = format!("RCPT TO:<{stranger}>");
    vec![
        // The empty path is refused by nobody for itself (RFC 5321 section 4.5.5).
        mail(""),
        recipient.clone(),
        String::from("RSET"),
        // Some believe whoever says to be one of their own.
        mail(&format!("postmaster@{domain}")),
        recipient,
    ]
}

/// What is to be said of one address.
pub(super) fn judge(question: &Question, host: &HostFacts) -> Finding {
    let finding =
        |verdict, seen: String| Finding::new(Check::OpenRelay, host.address, verdict, seen);
    let exchanges = match &host.knock {
        Knock::Refused => return finding(Verdict::Pass, String::from("nobody listens on port 25")),
        Knock::Silent(why) => {
            return finding(
                Verdict::Warn,
                format!("port 25 does not answer from here ({why})"),
            )
            .fix(
                "if a server is there that others reach, let the edge reach it, too, and ask again",
            );
        }
        Knock::Spoke(exchanges) => exchanges,
    };
    let recipients = exchanges.iter().filter(|it| it.command.starts_with("RCPT"));
    if let Some(taken) = recipients.clone().find(|it| it.is('2')) {
        let before = exchanges.iter().take_while(|it| !std::ptr::eq(*it, taken));
        let from = before.filter(|it| it.command.starts_with("MAIL")).last();
        let from = from.map_or("", |it| it.command.as_str());
        return finding(Verdict::Fail, format!("{from}, {}", taken.line()))
            .fix("it relays for strangers; close it (Postfix, in main.cf; mynetworks must not hold the internet)")
            .paste("smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination");
    }
    // Whatever refuses for good along the way has refused the stranger.
    let mut refusals = exchanges
        .iter()
        .filter(|it| it.refuses() && !is_courtesy(&it.command));
    let doubts = exchanges.iter().find(|it| !it.is('2') && !it.refuses());
    match (doubts, refusals.next_back()) {
        (Some(doubt), _) => finding(Verdict::Unknown, doubt.line()).fix(format!(
            "it neither takes nor refuses a stranger's mail now; ask again later, or have {} let the edge speak",
            question.domain
        )),
        (None, Some(refused)) => finding(Verdict::Pass, refused.line()),
        (None, None) => finding(
            Verdict::Unknown,
            String::from("it was never asked to relay"),
        )
        .fix("the dialogue ended early; ask again later"),
    }
}

/// EHLO and RSET refused say nothing about mail.
fn is_courtesy(command: &str) -> bool {
    command.starts_with("EHLO") || command.starts_with("HELO") || command == "RSET"
}

impl Exchange {
    /// Whether the reply's first digit is this one.
    pub(super) fn is(&self, digit: char) -> bool {
        self.reply
            .as_ref()
            .is_ok_and(|reply| reply.starts_with(digit))
    }

    /// For good; or as Postfix does by default, which defers strangers' mail (`defer_unauth_destination`) with a reply that
    /// nobody who greylists uses.
    fn refuses(&self) -> bool {
        let deferred = |reply: &String| reply.starts_with("454 4.7.1 ");
        self.is('5') || self.reply.as_ref().is_ok_and(deferred)
    }

    fn line(&self) -> String {
        let command = match self.command.as_str() {
            "" => "greeting",
            command => command,
        };
        match &self.reply {
            Ok(reply) => format!("{command}: {reply}"),
            Err(why) => format!("{command}: no reply ({why})"),
        }
    }
}
