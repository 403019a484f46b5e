//! Users of submission: what may be asked for, and what comes of it. Pure: what a password is made into comes from
//! [`crate::password`].

use contract::{ScramKeys, SubmissionUser};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::dial::Refusal;
use crate::password::Password;

/// A user, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// By which the trail names it; never used again.
    pub id: u32,
    /// In lower case.
    pub name: String,
    /// What may be changed about it.
    pub terms: Terms,
    /// What is kept of its password.
    pub credentials: Credentials,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whose it is, in the operator's words.
    pub customer: Option<String>,
    /// Domains that it may write as, in lower case; none = any.
    pub sender_domains: Vec<String>,
    /// Messages in an hour.
    pub messages_per_hour: u32,
    /// Recipients of one message.
    pub recipients_per_message: u32,
    /// It may not log in.
    pub disabled: bool,
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `$argon2id$...`.
    pub password: String,
    /// Keys of SCRAM-SHA-256.
    pub scram: Option<ScramKeys>,
}

/// `POST /v1/users`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// Its name.
    pub name: String,
    /// Whose it is.
    #[serde(default)]
    pub customer: Option<String>,
    /// Without one, one is made and told once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<Password>,
    /// No keys of SCRAM are kept.
    #[serde(default)]
    pub no_scram: bool,
    /// None = any.
    #[serde(default)]
    pub sender_domains: Vec<String>,
    /// Default 100.
    #[serde(default)]
    pub messages_per_hour: Option<u32>,
    /// Default 100.
    #[serde(default)]
    pub recipients_per_message: Option<u32>,
    /// Who adds it.
    #[serde(default)]
    pub actor: String,
}

/// `PATCH /v1/users/{name}`: what is given changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whose it is; empty = nobody's.
    #[serde(default)]
    pub customer: Option<String>,
    /// Another password.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub password: Option<Password>,
    /// Another password, which is made and told once.
    #[serde(default)]
    pub new_password: bool,
    /// No keys of SCRAM are kept, of the password that there is, or of the new one.
    #[serde(default)]
    pub no_scram: bool,
    /// Empty = any.
    #[serde(default)]
    pub sender_domains: Option<Vec<String>>,
    /// Messages in an hour.
    #[serde(default)]
    pub messages_per_hour: Option<u32>,
    /// Recipients of one message.
    #[serde(default)]
    pub recipients_per_message: Option<u32>,
    /// Whether it may not log in.
    #[serde(default)]
    pub disabled: Option<bool>,
    /// Why; needed to disable.
    #[serde(default)]
    pub reason: String,
    /// Who changes it.
    #[serde(default)]
    pub actor: String,
}

impl UserRequest {
    /// The name and terms that it asks for.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`] says what may be.
    pub fn read(&self) -> Result<(String, Terms), Refusal> {
        let terms = Terms {
            customer: customer(self.customer.as_deref())?,
            sender_domains: domains(&self.sender_domains)?,
            messages_per_hour: limit(
                "messages-per-hour",
                self.messages_per_hour.unwrap_or(DEFAULT_LIMIT),
                MESSAGES_MAX,
            )?,
            recipients_per_message: limit(
                "recipients-per-message",
                self.recipients_per_message.unwrap_or(DEFAULT_LIMIT),
                RECIPIENTS_MAX,
            )?,
            disabled: false,
        };
        Ok((name(&self.name)?, terms))
    }
}

impl UserChange {
    /// The terms of a user that has these.
    ///
    /// # Errors
    ///
    /// [`Refusal::Usage`] says what may be.
    pub fn apply(&self, before: &Terms) -> Result<Terms, Refusal> {
        let mut terms = before.clone();
        if self.password.is_some() && self.new_password {
            return usage("a password is given, or made: not both");
        }
        if self.customer.is_some() {
            terms.customer = customer(self.customer.as_deref())?;
        }
        if let Some(texts) = &self.sender_domains {
            terms.sender_domains = domains(texts)?;
        }
        if let Some(messages) = self.messages_per_hour {
            terms.messages_per_hour = limit("messages-per-hour", messages, MESSAGES_MAX)?;
        }
        if let Some(recipients) = self.recipients_per_message {
            terms.recipients_per_message =
                limit("recipients-per-message", recipients, RECIPIENTS_MAX)?;
        }
        if let Some(disabled) = self.disabled {
            if disabled && self.reason.trim().is_empty() {
                return Err(Refusal::Guard(String::from(
                    "disabling a user needs a reason, for the trail",
                )));
            }
            terms.disabled = disabled;
        }
        Ok(terms)
    }
}

impl User {
    /// What relays are told.
    #[must_use]
    pub fn for_relays(&self) -> SubmissionUser {
        SubmissionUser {
            name: self.name.clone(),
            password: self.credentials.password.clone(),
            scram: self.credentials.scram.clone(),
            sender_domains: self.terms.sender_domains.clone(),
            messages_per_hour: self.terms.messages_per_hour,
            recipients_per_message: self.terms.recipients_per_message,
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("scram", &self.scram.is_some())
            .finish_non_exhaustive()
    }
}

/// A name in the one form in which it is kept.
///
/// # Errors
///
/// [`Refusal::Usage`].
pub fn name(text: &str) -> Result<String, Refusal> {
    let name = text.trim().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    // What begins with a dash is an option on command lines.
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.starts_with('-') {
        return usage(format!(
            "{text:?}: a user's name is 1 to 64 letters, digits, '.', '_', '-', '+' or '@', as ann or ann@example.org"
        ));
    }
    Ok(name)
}

fn customer(text: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > 200 || text.contains(char::is_control) {
        return usage("customer: at most 200 octets on one line, as \"account 4711\"");
    }
    Ok(Some(text.to_owned()))
}

fn domains(texts: &[String]) -> Result<Vec<String>, Refusal> {
    if texts.len() > DOMAINS_MAX {
        return usage(format!("sender-domain: at most {DOMAINS_MAX} of them"));
    }
    let mut domains: Vec<String> = texts
        .iter()
        .map(|text| domain(text))
        .collect::<Result<_, _>>()?;
    domains.sort_unstable();
    domains.dedup();
    Ok(domains)
}

fn domain(text: &str) -> Result<String, Refusal> {
    let domain = text.trim().to_ascii_lowercase();
    let fits = |label: &str| {
        let graphic = |c: char| c.is_ascii_alphanumeric() || c == '-' || !c.is_ascii();
        (1..=63).contains(&label.len()) && label.chars().all(graphic)
    };
    if domain.len() > 253 || !domain.split('.').all(fits) {
        return usage(format!(
            "sender-domain {text:?}: a domain as in reverse-paths, as example.org"
        ));
    }
    Ok(domain)
}

fn limit(what: &str, value: u32, max: u32) -> Result<u32, Refusal> {
    match (1..=max).contains(&value) {
        true => Ok(value),
        false => usage(format!("{what} {value}: between 1 and {max}")),
    }
}

fn usage<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Usage(text.into()))
}

const DEFAULT_LIMIT: u32 = 100;
const MESSAGES_MAX: u32 = 100_000;
/// As many as a relay's session takes.
const RECIPIENTS_MAX: u32 = 10_000;
const DOMAINS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> UserRequest {
        UserRequest {
            name: name.to_owned(),
            ..UserRequest::default()
        }
    }

    #[test]
    fn a_request_is_read_or_says_what_may_be() {
        let (name, terms) = UserRequest {
            customer: Some(String::from(" account 4711 ")),
            sender_domains: ["Example.org", "b.example", "example.org"]
                .map(String::from)
                .to_vec(),
            ..request(" Ann@Example.org ")
        }
        .read()
        .unwrap();
        assert_eq!(name, "ann@example.org");
        let expected = Terms {
            customer: Some(String::from("account 4711")),
            sender_domains: ["b.example", "example.org"].map(String::from).to_vec(),
            messages_per_hour: 100,
            recipients_per_message: 100,
            disabled: false,
        };
        assert_eq!(terms, expected);
        let long = "a".repeat(65);
        for wrong in ["", "a b", "a\nb", "-ann", "änn", &long] {
            let refused = request(wrong).read();
            assert!(
                matches!(refused, Err(Refusal::Usage(_))),
                "{wrong:?}: {refused:?}"
            );
        }
        for wrong in [
            UserRequest {
                messages_per_hour: Some(0),
                ..request("ann")
            },
            UserRequest {
                recipients_per_message: Some(10_001),
                ..request("ann")
            },
            UserRequest {
                sender_domains: vec![String::from("a b")],
                ..request("ann")
            },
            UserRequest {
                sender_domains: vec![String::from("a..b")],
                ..request("ann")
            },
            UserRequest {
                customer: Some("x".repeat(201)),
                ..request("ann")
            },
        ] {
            assert!(matches!(wrong.read(), Err(Refusal::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_change_changes_what_it_names() {
        let (_, before) = request("ann").read().unwrap();
        assert_eq!(UserChange::default().apply(&before), Ok(before.clone()));
        let change = UserChange {
            customer: Some(String::new()),
            sender_domains: Some(vec![]),
            messages_per_hour: Some(7),
            recipients_per_message: Some(8),
            disabled: Some(true),
            reason: String::from("stolen"),
            ..UserChange::default()
        };
        let had = Terms {
            customer: Some(String::from("x")),
            sender_domains: vec![String::from("a.example")],
            ..before
        };
        let expected = Terms {
            messages_per_hour: 7,
            recipients_per_message: 8,
            disabled: true,
            ..before.clone()
        };
        assert_eq!(change.apply(&had), Ok(expected));
        let silent = UserChange {
            reason: String::from(" "),
            ..change
        };
        assert!(matches!(silent.apply(&had), Err(Refusal::Guard(_))));
        let both = UserChange {
            password: Some(Password::new("correct horse").unwrap()),
            new_password: true,
            ..UserChange::default()
        };
        assert!(matches!(both.apply(&before), Err(Refusal::Usage(_))));
    }
}
