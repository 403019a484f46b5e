//! Users of submission: adding, changing, removing them, and telling the relays.
//!
//! Relays learn of a change with the next generation, for which they are waiting anyway. Nothing in the kernel depends
//! on users.

use contract::{Generation, Submission};
use tokio::task::spawn_blocking;

use super::{Controller, Problem, clock, state::State};
use crate::{
    api::view::{UserToldView, UserView},
    password::Password,
    policy::user::{self, Credentials, User, UserChange, UserRequest},
    store::users::Word,
};

impl Controller {
    /// Adds a user. A password that was made is in the answer, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::Guard`] without an actor, for a name that is taken, or beyond the most users.
    pub async fn add_user(&self, request: &UserRequest) -> Result<UserToldView, Problem> {
        let (name, terms) = request.read()?;
        let word = word(&request.actor, "")?;
        // Before it costs anything, and again below.
        self.may_add(&*self.lock().await, &name)?;
        let (password, made) = given_or_made(request.password.as_ref())?;
        let credentials = self
            .credentials(password.clone(), !request.no_scram)
            .await?;
        let mut state = self.lock().await;
        self.may_add(&state, &name)?;
        let (user, generation) = self
            .store
            .add_user(&name, &terms, &credentials, &word)
            .await?;
        tracing::info!(
            user.id = user.id,
            actor = word.by,
            generation = generation.0,
            "user added"
        );
        let view = view(&user);
        state.submission.users.insert(name, user);
        self.tell_relays(&mut state, generation).await;
        Ok(UserToldView {
            user: view,
            password: made.then(|| password.told().to_owned()),
            generation,
        })
    }

    /// Changes a user. A password that was made is in the answer, and nowhere else.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`], [`Problem::NotFound`], [`Problem::Guard`] without an actor, or without a reason to disable.
    pub async fn change_user(
        &self,
        name: &str,
        change: &UserChange,
    ) -> Result<UserToldView, Problem> {
        let name = user::name(name)?;
        let word = word(&change.actor, &change.reason)?;
        let before = known(&*self.lock().await, &name)?.terms.clone();
        change.apply(&before)?;
        let fresh = if change.password.is_some() || change.new_password {
            let (password, made) = given_or_made(change.password.as_ref())?;
            let credentials = self.credentials(password.clone(), !change.no_scram).await?;
            let told = made.then(|| password.told().to_owned());
            Some((credentials, told))
        } else {
            None
        };
        let mut state = self.lock().await;
        // Somebody else may have been here meanwhile.
        let mut user = known(&state, &name)?.clone();
        user.terms = change.apply(&user.terms)?;
        user.changed_at = word.at;
        if change.no_scram {
            user.credentials.scram = None;
        }
        let is_fresh = fresh.is_some();
        let (credentials, told) = fresh.unzip();
        if let Some(credentials) = credentials {
            user.credentials = credentials;
        }
        let generation = self.store.change_user(&user, is_fresh, &word).await?;
        tracing::info!(
            user.id = user.id,
            actor = word.by,
            generation = generation.0,
            "user changed"
        );
        let view = view(&user);
        state.submission.users.insert(name, user);
        self.tell_relays(&mut state, generation).await;
        Ok(UserToldView {
            user: view,
            password: told.flatten(),
            generation,
        })
    }

    /// Removes a user; answers with what it was.
    ///
    /// # Errors
    ///
    /// [`Problem::NotFound`], [`Problem::Guard`] without a reason or an actor.
    pub async fn remove_user(
        &self,
        name: &str,
        actor: &str,
        reason: &str,
    ) -> Result<UserToldView, Problem> {
        let name = user::name(name)?;
        let word = word(actor, reason)?;
        if word.reason.is_empty() {
            let text = "removing a user needs a reason, for the trail";
            return Err(Problem::Guard(String::from(text)));
        }
        let mut state = self.lock().await;
        let user = known(&state, &name)?.clone();
        let generation = self.store.remove_user(&user, &word).await?;
        tracing::info!(
            user.id = user.id,
            actor = word.by,
            generation = generation.0,
            "user removed"
        );
        state.submission.users.remove(&name);
        self.tell_relays(&mut state, generation).await;
        Ok(UserToldView {
            user: view(&user),
            password: None,
            generation,
        })
    }

    /// All users by name.
    pub async fn list_users(&self) -> Vec<UserView> {
        let state = self.lock().await;
        state.submission.users.values().map(view).collect()
    }

    /// What the kernel says to the new generation is no answer to a change that it has no part in: the next pass looks
    /// into it.
    async fn tell_relays(&self, state: &mut State, generation: Generation) {
        if let Err(error) = self.advance(state, generation).await {
            tracing::error!(%error, "the kernel is not as it should be");
        }
    }

    fn may_add(&self, state: &State, name: &str) -> Result<(), Problem> {
        let users = &state.submission.users;
        if users.contains_key(name) {
            return Err(Problem::Guard(format!(
                "there is a user {name} already; `outgate user set {name}` changes it"
            )));
        }
        if users.len() >= USERS_MAX {
            return Err(Problem::Guard(format!(
                "there are {USERS_MAX} users already, which is the most that relays are told of at once"
            )));
        }
        Ok(())
    }

    /// One at a time: each takes 19 MiB, and a processor.
    async fn credentials(&self, password: Password, scram: bool) -> Result<Credentials, Problem> {
        let _turn = self.hashing.lock().await;
        let made = spawn_blocking(move || password.credentials(scram)).await;
        match made {
            Ok(Ok(credentials)) => Ok(credentials),
            Ok(Err(error)) => Err(Problem::Busy(error.to_string())),
            Err(_panicked) => Err(Problem::Busy(String::from(
                "nothing could be made of the password; outgated's log says more",
            ))),
        }
    }
}

/// What relays are told of users.
pub(super) fn submission(state: &State) -> Submission {
    let users = state.submission.users.values();
    Submission {
        users: users
            .filter(|user| !user.terms.disabled)
            .map(User::for_relays)
            .collect(),
        decoy: state.submission.decoy.clone(),
    }
}

fn given_or_made(password: Option<&Password>) -> Result<(Password, bool), Problem> {
    match password {
        Some(given) => Ok((given.clone(), false)),
        None => match Password::made() {
            Ok(made) => Ok((made, true)),
            Err(error) => Err(Problem::Busy(error.to_string())),
        },
    }
}

fn known<'a>(state: &'a State, name: &str) -> Result<&'a User, Problem> {
    let user = state.submission.users.get(name);
    user.ok_or_else(|| Problem::NotFound(format!("no user {name}; `outgate user ls` lists all")))
}

fn word(actor: &str, reason: &str) -> Result<Word, Problem> {
    let (actor, reason) = (actor.trim(), reason.trim());
    if actor.is_empty() {
        let text = "a change of users needs an actor, for the trail";
        return Err(Problem::Guard(String::from(text)));
    }
    Ok(Word {
        at: clock(),
        by: actor.to_owned(),
        reason: reason.to_owned(),
    })
}

fn view(user: &User) -> UserView {
    let terms = &user.terms;
    UserView {
        name: user.name.clone(),
        customer: terms.customer.clone(),
        disabled: terms.disabled,
        scram: user.credentials.scram.is_some(),
        sender_domains: terms.sender_domains.clone(),
        messages_per_hour: terms.messages_per_hour,
        recipients_per_message: terms.recipients_per_message,
        created_at: user.created_at,
        changed_at: user.changed_at,
    }
}

/// Some 400 octets each go to every relay with each change of the policy.
const USERS_MAX: usize = 100_000;
