//! Tokens of the API: making and removing them, and telling whose one is.
//!
//! They are kept beside the one lock: who may ask is answered even while something that takes long holds it.

use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use super::{Controller, Problem, clock};
use crate::{
    api::view::{TokenToldView, TokenView},
    caller::{Caller, Door},
    policy::{
        rules::ACTOR_PREFIX,
        token::{Secret, SecretDigest, Token, TokenRequest},
    },
    store::drains::Word,
};

/// All tokens, for those who ask by them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    all: RwLock<Vec<Token>>,
    /// Held by whoever changes them.
    changing: tokio::sync::Mutex<()>,
}

impl Tokens {
    pub(super) fn new(all: Vec<Token>) -> Self {
        Self {
            all: RwLock::new(all),
            changing: tokio::sync::Mutex::new(()),
        }
    }

    /// Takes them as they are stored.
    pub(super) fn replace(&self, fresh: Vec<Token>) {
        self.change(|all| *all = fresh);
    }

    fn read<T>(&self, look: impl FnOnce(&[Token]) -> T) -> T {
        look(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Token>) -> T) -> T {
        change(&mut self.all.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Controller {
    /// Makes a token. Its secret is in the answer, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] without an actor, for a name that is taken, or beyond the most tokens.
    pub async fn add_token(&self, request: &TokenRequest) -> Result<TokenToldView, Problem> {
        let word = word(&request.actor, "")?;
        let relays = self.config.relays().map(|(_, relay)| relay.name.as_str());
        let (name, scope, expires_at) = request.read(relays, word.at)?;
        let _alone = self.tokens.changing.lock().await;
        let (taken, many) = self
            .tokens
            .read(|all| (all.iter().any(|it| it.name == name), all.len()));
        if taken {
            return Err(Problem::Guard(format!(
                "there is a token {name} already; remove it first (`outgate token rm {name}`), or choose another name"
            )));
        }
        if many >= TOKENS_MAX {
            return Err(Problem::Guard(format!(
                "there are {many} tokens, as many as there may be; remove some that are not needed (`outgate token ls`)"
            )));
        }
        let secret = Secret::new(&random_octets()?);
        let token = Token {
            name,
            scope,
            digest: secret.digest(),
            created_at: word.at,
            created_by: word.by,
            expires_at,
            used_on: None,
        };
        self.store.add_token(&token).await?;
        tracing::info!(
            token = token.name,
            scope = scope.name(),
            actor = token.created_by,
            "token added"
        );
        let view = view(&token, word.at);
        self.tokens.change(|all| all.push(token));
        Ok(TokenToldView {
            token: view,
            secret: secret.told().to_owned(),
        })
    }

    /// Removes a token; whoever asks with it from now on is refused. Answers with what it was.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`], [`Problem::Guard`] without a reason or an actor.
    pub async fn remove_token(
        &self,
        name: &str,
        actor: &str,
        reason: &str,
    ) -> Result<TokenView, Problem> {
        let word = word(actor, reason)?;
        if word.reason.is_empty() {
            let text = "removing a token needs a reason, for the trail";
            return Err(Problem::Guard(String::from(text)));
        }
        let _alone = self.tokens.changing.lock().await;
        let found = |all: &[Token]| all.iter().find(|it| it.name == name).cloned();
        let Some(token) = self.tokens.read(found) else {
            return Err(Problem::NotFound(format!(
                "no token {name:?}; `outgate token ls` lists them"
            )));
        };
        self.store.remove_token(&token.name, &word).await?;
        tracing::info!(token = token.name, actor = word.by, "token removed");
        self.tokens
            .change(|all| all.retain(|it| it.name != token.name));
        Ok(view(&token, word.at))
    }

    /// All tokens by name, those that have expired too.
    #[must_use]
    pub fn list_tokens(&self) -> Vec<TokenView> {
        let now = clock();
        let mut views: Vec<_> = self
            .tokens
            .read(|all| all.iter().map(|token| view(token, now)).collect());
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    /// Whose secret that is; `None` if it is nobody's, or its token has expired.
    #[must_use]
    pub fn caller_by_secret(&self, shown: &str) -> Option<Caller> {
        let (digest, now) = (SecretDigest::of(shown), clock());
        // All of them, whichever it is: how long it takes says nothing about it.
        let matching = |all: &[Token]| {
            all.iter()
                .fold(None, |found, token| match token.digest.is(&digest) {
                    true => Some(token.clone()),
                    false => found,
                })
        };
        let token = self
            .tokens
            .read(matching)
            .filter(|token| token.holds(now))?;
        let caller = Caller {
            name: token.name.clone(),
            scope: token.scope,
            door: Door::Token,
        };
        self.note_use(token, now);
        Some(caller)
    }

    /// Keeps the day of a token's use, once a day.
    fn note_use(&self, token: Token, now: Timestamp) {
        let today = beginning_of_day(now);
        if token.used_on == Some(today) {
            return;
        }
        self.tokens.change(|all| {
            let used = all.iter_mut().find(|it| it.name == token.name);
            if let Some(used) = used {
                used.used_on = Some(today);
            }
        });
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.token_used(&token.name, today).await {
                tracing::warn!(token = token.name, %error, "the day of a token's use is not kept");
            }
        });
    }
}

fn view(token: &Token, now: Timestamp) -> TokenView {
    TokenView {
        name: token.name.clone(),
        scope: token.scope,
        created_at: token.created_at,
        created_by: token.created_by.clone(),
        expires_at: token.expires_at,
        expired: !token.holds(now),
        used_on: token.used_on,
    }
}

fn word(actor: &str, reason: &str) -> Result<Word, Problem> {
    let (actor, reason) = (actor.trim(), reason.trim());
    if actor.is_empty() {
        let text = "changing tokens needs an actor, for the trail";
        return Err(Problem::Guard(String::from(text)));
    }
    let odd = |text: &str, most: usize| text.len() > most || text.chars().any(char::is_control);
    if odd(actor, ACTOR_OCTETS) || odd(reason, REASON_OCTETS) || actor.starts_with(ACTOR_PREFIX) {
        return Err(Problem::Usage(format!(
            "actor {actor:?}, reason {reason:?}: allowed are one line of at most {ACTOR_OCTETS} and {REASON_OCTETS} \
             octets, and no actor that begins with {ACTOR_PREFIX}"
        )));
    }
    Ok(Word {
        at: clock(),
        by: actor.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Days are those of UTC, which has no others than such of 24 hours.
fn beginning_of_day(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(DAY_S)).unwrap_or(at)
}

fn random_octets() -> Result<[u8; 32], Problem> {
    let mut octets = [0; 32];
    // Up to 256 octets come whole once the kernel's pool is initialised (getrandom(2)).
    rustix::rand::getrandom(&mut octets[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| crate::store::StoreError::Random(errno.into()))?;
    Ok(octets)
}

const DAY_S: i64 = 24 * 60 * 60;
/// Each is compared with whatever somebody shows.
const TOKENS_MAX: usize = 1000;
const ACTOR_OCTETS: usize = 100;
const REASON_OCTETS: usize = 200;
