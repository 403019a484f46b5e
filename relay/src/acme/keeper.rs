//! What is done about the certificate: asking for one, showing it, and remembering what came of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::NewAccount;
use jiff::{SignedDuration, Timestamp};
use serde_json::to_value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::Acme;
use super::answers::Answers;
use super::https::Https;
use super::kept::{self, Account, Failure, Kept};
use super::order::{self, Failed};
use super::plan;
use crate::Relay;
use crate::metrics::Counter;
use crate::outbound::Trust;
use crate::tls::Shown;

/// Gets certificates, and remembers what came of it.
pub(super) struct Keeper {
    acme: Acme,
    relay: Arc<Relay>,
    https: Https,
    answers: Answers,
    kept: Kept,
    /// Until when what the authority has said of renewal holds.
    consulted: Option<Timestamp>,
}

impl Keeper {
    /// With what an earlier run has kept.
    pub(super) async fn open(acme: Acme, relay: Arc<Relay>, answers: Answers) -> Self {
        let trust = Trust::load(acme.terms.authorities.as_deref());
        let kept = load(&acme.file).await;
        if kept.certificate.is_none() {
            info!("no certificate of an authority yet; a self-signed one is shown until there is");
        }
        if let Some(failure) = kept.failure.as_ref().filter(|it| it.is_about(&acme.terms)) {
            relay.tls.not_renewed(failure.at);
        }
        Self {
            https: Https::new(relay.router().clone(), &trust),
            acme,
            relay,
            answers,
            kept,
            consulted: None,
        }
    }

    /// When the authority is to be asked for a certificate.
    pub(super) fn due(&self) -> Timestamp {
        self.kept.due(&self.acme.terms)
    }

    /// Asks for a certificate, and shows it.
    pub(super) async fn attempt(&mut self) {
        let _about_other_questions = self.https.take_busy_until();
        let obtained = timeout(ATTEMPT_DEADLINE, self.obtain()).await;
        self.answers.clear();
        let (certificate, shown) = match obtained.unwrap_or(Err(Failed::TimedOut)) {
            Ok(obtained) => obtained,
            Err(failed) => return self.failed(&failed).await,
        };
        let facts = shown.facts();
        let failure = self.kept.failure.take();
        self.kept.certificate = Some(certificate);
        self.consulted = None;
        self.save().await;
        self.relay.tls.show(shown);
        self.relay.metrics().count(Counter::CertificatesObtained);
        let not_after = facts.map(|facts| facts.not_after.to_string());
        let names = kept::domains(&self.acme.terms).join(", ");
        info!(names, not_after, "certificate obtained");
        if self.due() <= Timestamp::now() {
            // Or it would be asked for without end.
            self.kept.failure = failure;
            self.failed(&Failed::DueAtOnce).await;
        }
    }

    async fn obtain(&mut self) -> Result<(kept::Certificate, Shown), Failed> {
        let failed = match self.order().await {
            Ok(obtained) => return Ok(obtained),
            Err(failed) => failed,
        };
        // Once only: what does not help then is no remedy.
        if failed.is("accountDoesNotExist") {
            warn!("the authority knows the relay's account no more; making another");
            self.kept.account = None;
        } else if !failed.is("badNonce") {
            return Err(failed);
        }
        self.order().await
    }

    async fn order(&mut self) -> Result<(kept::Certificate, Shown), Failed> {
        let account = self.account().await?;
        let terms = &self.acme.terms;
        // The authority takes part in this only if it has said when to renew. And it may not like what it hears of the
        // old one, so that is said once.
        let old = self.kept.certificate.as_ref().filter(|it| {
            let first = self.kept.failure.is_none();
            first && it.window.is_some() && self.kept.due_of_certificate(terms).is_some()
        });
        let old = old.and_then(|it| it.shown().ok());
        let old = old.as_ref().map(|shown| &shown.leaf);
        order::obtain(&account, terms, old, &self.answers).await
    }

    /// The account with the authority; makes one, if there is none.
    async fn account(&mut self) -> Result<instant_acme::Account, Failed> {
        let terms = &self.acme.terms;
        let builder = instant_acme::Account::builder_with_http(Box::new(self.https.clone()));
        let contact: Vec<&str> = terms.contact.iter().map(String::as_str).collect();
        if let Some(kept) = self.kept.account(terms) {
            let credentials = serde_json::from_value(kept.credentials.clone())?;
            let account = builder.from_credentials(credentials).await?;
            if kept.contact != terms.contact {
                account.update_contacts(&contact).await?;
                self.keep_account(kept.credentials.clone()).await;
            }
            return Ok(account);
        }
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = terms.directory.to_string();
        let external = self.acme.external.as_ref();
        let (account, credentials) = builder.create(&wanted, directory, external).await?;
        info!(account = account.id(), "account with the authority made");
        self.keep_account(to_value(credentials)?).await;
        Ok(account)
    }

    async fn keep_account(&mut self, credentials: serde_json::Value) {
        let terms = &self.acme.terms;
        self.kept.account = Some(Account {
            directory: terms.directory.to_string(),
            contact: terms.contact.clone(),
            credentials,
        });
        self.save().await;
    }

    async fn failed(&mut self, failed: &Failed) {
        let now = Timestamp::now();
        let terms = &self.acme.terms;
        let before = self.kept.failure.as_ref().filter(|it| it.is_about(terms));
        let count = before.map_or(0, |it| it.count).saturating_add(1);
        let pause = plan::pause(count, !failed.is_unheard(), fastrand::u16(..));
        let own = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        let demanded = self.https.take_busy_until().max(failed.is_late_until(now));
        let next = demanded.map_or(own, |demanded| demanded.max(own));
        let error = failed.to_string();
        let certificate = self.kept.certificate.as_ref();
        let facts = certificate.and_then(|it| it.shown().ok()?.facts());
        let none_left = facts.is_none_or(|facts| facts.not_after <= next);
        if none_left || count >= GRAVE {
            error!(error, count, %next, "no certificate from the authority; the old one stays");
        } else {
            warn!(error, count, %next, "no certificate from the authority; the old one stays");
        }
        self.kept.failure = Some(Failure {
            directory: terms.directory.to_string(),
            domains: kept::domains(terms),
            count,
            at: now,
            error,
            next,
            demanded: demanded.is_some(),
        });
        self.relay.tls.not_renewed(now);
        self.relay.metrics().count(Counter::CertificatesFailed);
        self.save().await;
    }

    /// The operator has changed something: an attempt that waits is made now.
    pub(super) fn forget_pause(&mut self) {
        match &mut self.kept.failure {
            Some(failure) if failure.demanded && Timestamp::now() < failure.next => {
                let next = failure.next;
                warn!(%next, "the authority itself wants no request for a certificate before that");
            }
            Some(failure) => failure.next = Timestamp::UNIX_EPOCH,
            None => {}
        }
    }

    /// Asks when the authority would like the certificate to be renewed, unless it was asked not long ago.
    pub(super) async fn consult(&mut self) {
        let now = Timestamp::now();
        let terms = &self.acme.terms;
        if self.consulted.is_some_and(|until| now < until) || self.kept.failure.is_some() {
            return;
        }
        let (Some(certificate), Some(account), Some(_)) = (
            &self.kept.certificate,
            self.kept.account(terms),
            self.kept.due_of_certificate(terms),
        ) else {
            return;
        };
        let asking = window(certificate, account, self.https.clone());
        let (window, holds) = match timeout(CONSULTATION_DEADLINE, asking).await {
            Ok(Ok((window, holds))) => (Some(window), holds),
            Ok(Err(Failed::Authority(instant_acme::Error::Unsupported(_)))) => (None, LONGEST_HOLD),
            // RFC 9773 section 4.3.3: what was said before holds until it can be asked again.
            Ok(Err(_)) | Err(_) => (certificate.window, USUAL_HOLD),
        };
        let holds = holds.clamp(SHORTEST_HOLD, LONGEST_HOLD);
        self.consulted = now.saturating_add(holds).ok();
        if let Some(certificate) = &mut self.kept.certificate
            && certificate.window != window
        {
            certificate.window = window;
            if let Some(plan::Window { start, end }) = window {
                info!(%start, %end, "the authority says when to renew the certificate");
            }
            self.save().await;
        }
    }

    /// What is not on disk is lost with the next restart, which is to be known.
    async fn save(&self) {
        let file = self.acme.file.clone();
        let text = self.kept.text();
        let saved = spawn_blocking(move || crate::durable::replace(&file, &text?)).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
            error!(file = %self.acme.file.display(), %error, "account and certificate are not kept: the next start asks for others");
        }
    }
}

async fn load(file: &Path) -> Kept {
    let path = file.to_owned();
    let loaded = spawn_blocking(move || Kept::load(&path)).await;
    loaded.unwrap_or_else(|error| Err(io::Error::other(error))).unwrap_or_else(|error| {
        let aside = file.with_extension("damaged");
        let put_aside = std::fs::rename(file, &aside).is_ok();
        warn!(file = %file.display(), %error, put_aside, "account and certificate cannot be read, beginning anew");
        Kept::default()
    })
}

/// When the authority would like the certificate to be renewed, and how long that holds (RFC 9773 section 4).
async fn window(
    certificate: &kept::Certificate,
    account: &Account,
    https: Https,
) -> Result<(plan::Window, SignedDuration), Failed> {
    let shown = certificate.shown()?;
    let id = (&shown.leaf).try_into().map_err(|_no_key_identifier| {
        instant_acme::Error::Unsupported("certificates without a key identifier")
    })?;
    let builder = instant_acme::Account::builder_with_http(Box::new(https));
    let account = serde_json::from_value(account.credentials.clone())?;
    let account = builder.from_credentials(account).await?;
    let (said, holds) = account.renewal_info(&id).await?;
    let window = said.suggested_window;
    let start = Timestamp::from_second(window.start.unix_timestamp());
    let end = Timestamp::from_second(window.end.unix_timestamp());
    let (Ok(start), Ok(end)) = (start, end) else {
        return Err(instant_acme::Error::Str("a time that is none").into());
    };
    let holds = SignedDuration::try_from(holds).unwrap_or(USUAL_HOLD);
    Ok((plan::Window { start, end }, holds))
}

/// An authority may take minutes for each step.
pub(super) const ATTEMPT_DEADLINE: Duration = Duration::from_secs(600);
const CONSULTATION_DEADLINE: Duration = Duration::from_secs(120);
/// Failures from which on a person must act.
const GRAVE: u32 = 3;
/// How long an authority's wish is taken for granted (RFC 9773 section 4.3.2).
const SHORTEST_HOLD: SignedDuration = SignedDuration::from_mins(1);
const USUAL_HOLD: SignedDuration = SignedDuration::from_hours(6);
const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24);
