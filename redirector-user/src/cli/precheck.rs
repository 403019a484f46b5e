//! `outgate precheck`: whether a customer may be let out, line by line, and letting it out.

use std::net::IpAddr;

use clap::Args;
use comfy_table::{Cell, Color};

use super::{
    CliError, Outcome,
    commands::{Teller, whoever},
    tables::{self, Style},
};
use crate::{
    api::view::{FlagState, PrecheckView},
    client::Client,
    precheck::{ApproveRequest, Finding, PrecheckRequest, Verdict},
};

#[derive(Debug, Args)]
pub(super) struct PrecheckArgs {
    /// Who asks for port 25: address or prefix
    target: String,
    /// The domain in whose name it will send
    #[arg(long)]
    domain: String,
    /// An address of the prefix that sends; may be said several times [default: all of it, at most 256]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<IpAddr>,
    /// What its mail server says with EHLO [default: the first name of each address]
    #[arg(long, value_name = "NAME")]
    ehlo: Option<String>,
    /// Selector of a DKIM key, as s= of a DKIM-Signature says it; may be said several times
    #[arg(long, value_name = "NAME")]
    selector: Vec<String>,
    /// Open port 25 for it, if nothing failed and everything could be told
    #[arg(long, requires_all = ["reason", "limit"])]
    approve: bool,
    /// Of an approval: why
    #[arg(long, requires = "approve")]
    reason: Option<String>,
    /// Of an approval: new connections of each address (IPv6: each /64), as 2/s, 30/min or 100/h
    #[arg(long, requires = "approve", value_name = "RATE")]
    limit: Option<String>,
    /// Of an approval: new connections at once after a pause [default: 10]
    #[arg(long, requires = "approve")]
    burst: Option<u16>,
    /// Of an approval: after how long somebody is to look at it again, at most 366d
    #[arg(long, default_value = "30d", value_name = "DURATION")]
    review: String,
    /// Open it although a check failed, or could not be told; why, for the trail
    #[arg(long = "override", requires = "approve", value_name = "REASON")]
    overriding: Option<String>,
    /// Of an approval: reference into another system
    #[arg(long, requires = "approve")]
    ticket: Option<String>,
    /// Who asks [default: you]
    #[arg(long)]
    actor: Option<String>,
    /// An approval of a single IPv6 address means itself, not its /64
    #[arg(long)]
    exact: bool,
}

pub(super) async fn run(
    client: &Client,
    teller: &Teller,
    arguments: PrecheckArgs,
) -> Result<Outcome, CliError> {
    let approve = arguments.approve.then(|| ApproveRequest {
        reason: arguments.reason.unwrap_or_default(),
        limit: arguments.limit.unwrap_or_default(),
        burst: arguments.burst,
        review: arguments.review,
        overriding: arguments.overriding,
        ticket: arguments.ticket,
    });
    let request = PrecheckRequest {
        target: arguments.target,
        addresses: arguments.address,
        domain: arguments.domain,
        ehlo: arguments.ehlo,
        selectors: arguments.selector,
        exact: arguments.exact,
        actor: whoever(arguments.actor),
        approve,
    };
    let view: PrecheckView = client.post_patiently("/v1/precheck", &request).await?;
    teller.tell(&view, shown)?;
    Ok(match (&view.flag, view.verdict.lets_out()) {
        (Some(flag), _) if flag.state == FlagState::Pending => Outcome::Partial,
        (Some(_), _) | (None, true) => Outcome::Done,
        (None, false) => Outcome::Guarded,
    })
}

fn shown(view: &PrecheckView, style: Style) -> String {
    let mut table = style.table(&["", "CHECK", "SUBJECT", "SEEN"]);
    for finding in &view.findings {
        let colour = match finding.verdict {
            Verdict::Pass => Color::Green,
            Verdict::Warn | Verdict::Unknown => Color::Yellow,
            Verdict::Fail => Color::Red,
        };
        let word = match finding.verdict {
            Verdict::Fail => "FAIL",
            better @ (Verdict::Pass | Verdict::Warn | Verdict::Unknown) => better.name(),
        };
        table.add_row([
            Cell::new(word).fg(colour),
            Cell::new(finding.check.name()),
            Cell::new(&finding.subject),
            Cell::new(&finding.seen),
        ]);
    }
    let mut said = format!("{table}\n{}\n{}", fixes(&view.findings), counted(view));
    if let Some(refused) = &view.refused {
        said.push_str(&format!("\n{refused}"));
    }
    if let Some(flag) = &view.flag {
        said.push_str(&format!(
            "\n{}\nit stands for ever, with reviews, once somebody else says `outgate flag approve {} --reason ...`",
            tables::added(flag, style),
            flag.id
        ));
    }
    said
}

/// What to do, each once; what can be pasted stands on lines of its own.
fn fixes(findings: &[Finding]) -> String {
    let mut said: Vec<(String, String)> = Vec::new();
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        let paste = finding.paste.as_ref();
        let text = match paste {
            Some(paste) => format!("{}: {fix}\n{paste}", finding.check.name()),
            None => format!("{}: {fix}", finding.check.name()),
        };
        match said.iter_mut().find(|(known, _)| *known == text) {
            Some((_, about)) => about.push_str(&format!(", {}", finding.subject)),
            None => said.push((text, finding.subject.clone())),
        }
    }
    let lines = said
        .iter()
        .map(|(text, about)| format!("\n{about}, {text}\n"));
    lines.collect()
}

fn counted(view: &PrecheckView) -> String {
    let of = |verdict| {
        view.findings
            .iter()
            .filter(|it| it.verdict == verdict)
            .count()
    };
    let (failed, unknown, warned) = (of(Verdict::Fail), of(Verdict::Unknown), of(Verdict::Warn));
    let target = view.target;
    match view.verdict {
        Verdict::Pass => format!("{target} as {}: pass", view.domain),
        Verdict::Warn => format!("{target} as {}: pass, with {warned} warnings", view.domain),
        Verdict::Unknown | Verdict::Fail => format!(
            "{target} as {}: {failed} failed, {unknown} could not be told, {warned} warnings",
            view.domain
        ),
    }
}

pub(super) const HELP: &str = "Examples:
  outgate precheck 192.0.2.10 --domain customer.example --selector mail2026
  outgate precheck 2001:db8:a:a::/64 --address 2001:db8:a:a::10 --domain customer.example --selector mail2026
  outgate precheck 192.0.2.64/28 --domain customer.example --ehlo mail.customer.example -j
  outgate precheck 192.0.2.10 --domain customer.example --selector mail2026 --approve --limit 30/min --review 30d \\
      --reason \"ticket 4713\"

The controller asks the DNS ([precheck] in outgated.toml: resolvers, lists) and knocks at port 25 of each address, so that
it must be a customer's. It looks at PTR, the way back from that name, the EHLO name, SPF, DKIM, DMARC, where bounces go,
whether strangers' mail is relayed (no message is sent), and lists. Below the table stands what mends what is wrong, as lines
to paste. Who does not answer has not passed.

With --approve it is let out by a flag with action limit, which wins over what stands for a range around it. It is in force at
once, ends after 90 days, or stands for ever with a review from time to time once somebody else approves it (`outgate flag
approve`). What was seen stands in its history.

Exit codes: 0 passed, with warnings perhaps, or let out; 3 a check failed or could not be told, and nobody was let out;
4 let out, but not yet in force.";
