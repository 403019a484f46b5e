//! DMARC (RFC 7489): that the domain, or the organisation above it, says what holds of mail in its name.

use super::{
    Check, Finding, Question, Verdict,
    facts::DomainFacts,
    zone::{self, tag, tags},
};

/// What is to be said of the domain.
pub(super) fn judge(question: &Question, facts: &DomainFacts) -> Finding {
    let own = question.domain.as_str();
    let texts = match &facts.dmarc {
        Err(silence) => return Finding::unknown(Check::Dmarc, own, silence),
        Ok(texts) => texts,
    };
    let records = records(texts);
    if !records.is_empty() {
        return of_records(own, own, &records);
    }
    // Section 6.6.3: nothing at the domain itself, so the organisation's counts.
    match &facts.dmarc_above {
        Some((_, Err(silence))) => return Finding::unknown(Check::Dmarc, own, silence),
        Some((above, Ok(texts))) => {
            let records = self::records(texts);
            if !records.is_empty() {
                return of_records(own, above.as_str(), &records);
            }
        }
        None => {}
    }
    let above = facts.dmarc_above.as_ref();
    let above = above.map(|(above, _)| format!(", nor has _dmarc.{above}"));
    Finding::new(
        Check::Dmarc,
        own,
        Verdict::Fail,
        format!("_dmarc.{own} has no DMARC record{}", above.unwrap_or_default()),
    )
    .fix("publish (none asks for reports alone, until all that sends is signed; then quarantine or reject)")
    .paste(proposal(own, "none"))
}

fn of_records(domain: &str, owner: &str, records: &[&String]) -> Finding {
    let place = format!("_dmarc.{owner}");
    let finding = |verdict, seen: String| Finding::new(Check::Dmarc, domain, verdict, seen);
    let record = match records {
        [record] => record.as_str(),
        several => {
            let text = format!(
                "{place} has {} records, so that none counts (section 6.6.3)",
                several.len()
            );
            return finding(Verdict::Fail, text)
                .fix("keep one")
                .paste(zone::txt(
                    &place,
                    several.first().map_or("", |first| first.as_str()),
                ));
        }
    };
    let seen = format!("{place}: \"{record}\"");
    let Some(tags) = tags(record) else {
        return finding(Verdict::Fail, format!("{seen} is not a list of tags"))
            .fix("publish in its place")
            .paste(proposal(owner, "none"));
    };
    // Section 6.3: sp is that of domains below.
    let name = if domain == owner || tag(&tags, "sp").is_none() {
        "p"
    } else {
        "sp"
    };
    match (
        tag(&tags, "p"),
        tag(&tags, name).map(str::to_ascii_lowercase).as_deref(),
    ) {
        (None, _) => finding(
            Verdict::Fail,
            format!("{seen} has no p=, which must be there"),
        )
        .fix("publish in its place")
        .paste(proposal(owner, "none")),
        (Some(_), Some("reject" | "quarantine")) => finding(Verdict::Pass, seen),
        (Some(_), Some("none")) => finding(Verdict::Warn, seen)
            .fix("none asks nobody to keep forged mail away; once all that sends is signed")
            .paste(zone::txt(
                &place,
                &record.replacen(&format!("{name}=none"), &format!("{name}=quarantine"), 1),
            )),
        (Some(_), other) => finding(
            Verdict::Fail,
            format!("{seen}: {name}={} is no policy", other.unwrap_or_default()),
        )
        .fix("allowed are none, quarantine and reject; publish in its place")
        .paste(proposal(owner, "quarantine")),
    }
}

/// Section 6.6.3: what does not begin with the version is something else.
fn records(texts: &[String]) -> Vec<&String> {
    let is_record = |text: &&String| {
        let first = text.split(';').next().unwrap_or_default();
        let pair = first.split_once('=');
        pair.is_some_and(|(name, value)| name.trim() == "v" && value.trim() == "DMARC1")
    };
    texts.iter().filter(is_record).collect()
}

fn proposal(domain: &str, policy: &str) -> String {
    let text = format!("v=DMARC1; p={policy}; rua=mailto:postmaster@{domain}");
    zone::txt(&format!("_dmarc.{domain}"), &text)
}
