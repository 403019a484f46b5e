//! Users of submission in the store.

use std::collections::BTreeMap;

use contract::{Generation, ScramKeys};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Row as _, any::AnyRow};

use super::{
    Door, Store, StoreError, Transaction,
    audit::{self, Entry, Kind},
    next_generation,
};
use crate::policy::user::{Credentials, Terms, User};

/// All that relays are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// By name.
    pub users: BTreeMap<String, User>,
    /// What the salts of users are made of that do not exist, in hexadecimal.
    pub decoy: String,
}

/// Who wants a change, when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why; empty where nobody asks.
    pub reason: String,
}

impl Store {
    /// Adds a user of this name, whom there must not be yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add_user(
        &self,
        name: &str,
        terms: &Terms,
        credentials: &Credentials,
        word: &Word,
    ) -> Result<(User, Generation), StoreError> {
        let mut transaction = self.writer.decide().await?;
        let row = sqlx::query(
            "UPDATE submission SET last_id = last_id + 1 WHERE one = 1 RETURNING last_id",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let user = User {
            id: number(row.try_get(0)?, name, "id")?,
            name: name.to_owned(),
            terms: terms.clone(),
            credentials: credentials.clone(),
            created_at: word.at,
            changed_at: word.at,
        };
        let insert = "INSERT INTO users (name, customer, password, scram_salt, scram_iterations, scram_stored_key, \
                      scram_server_key, sender_domains, messages_per_hour, recipients_per_message, disabled, \
                      created_us, changed_us, id) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        write(&mut transaction, insert, &user).await?;
        let entry = entry(Kind::UserAdded, &user, word, Some(true));
        let generation = self.noted(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok((user, generation))
    }

    /// Makes a user what `user` says; `password` if it has another one now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn change_user(
        &self,
        user: &User,
        password: bool,
        word: &Word,
    ) -> Result<Generation, StoreError> {
        let mut transaction = self.writer.decide().await?;
        let update = "UPDATE users SET name = $1, customer = $2, password = $3, scram_salt = $4, scram_iterations = $5, \
                      scram_stored_key = $6, scram_server_key = $7, sender_domains = $8, messages_per_hour = $9, \
                      recipients_per_message = $10, disabled = $11, created_us = $12, changed_us = $13 \
                      WHERE id = $14";
        write(&mut transaction, update, user).await?;
        let entry = entry(Kind::UserChanged, user, word, Some(password));
        let generation = self.noted(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(generation)
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is removed then.
    pub async fn remove_user(&self, user: &User, word: &Word) -> Result<Generation, StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query("DELETE FROM users WHERE id = $1")
            .bind(i64::from(user.id))
            .execute(&mut *transaction)
            .await?;
        let entry = entry(Kind::UserRemoved, user, word, None);
        let generation = self.noted(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(generation)
    }

    async fn noted(
        &self,
        transaction: &mut Transaction,
        entry: Entry,
    ) -> Result<Generation, StoreError> {
        let generation = next_generation(transaction).await?;
        audit::append(transaction, &self.name, entry).await?;
        Ok(generation)
    }
}

/// How the trail names a user: a name may be a person's.
#[must_use]
pub fn subject(id: u32) -> String {
    format!("user:{id}")
}

/// Makes what users have in common, if it is not there yet.
pub(super) async fn prepare(writer: &Door) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO submission (one, decoy, last_id) VALUES (1, $1, 0) ON CONFLICT (one) DO NOTHING",
    )
    .bind(audit::random_hex::<32>()?)
    .execute(writer)
    .await?;
    Ok(())
}

pub(super) async fn standing(readers: &Door) -> Result<Standing, StoreError> {
    let row = sqlx::query("SELECT decoy FROM submission WHERE one = 1")
        .fetch_one(readers)
        .await?;
    let decoy = row.try_get(0)?;
    let rows = sqlx::query("SELECT * FROM users")
        .fetch_all(readers)
        .await?;
    let users = rows.iter().map(|row| {
        let user = read(row)?;
        Ok((user.name.clone(), user))
    });
    let users: Result<_, StoreError> = users.collect();
    Ok(Standing {
        users: users?,
        decoy,
    })
}

/// Binds all columns in the order of both statements.
async fn write(
    transaction: &mut Transaction,
    statement: &'static str,
    user: &User,
) -> Result<(), StoreError> {
    let User {
        id,
        name,
        terms,
        credentials,
        created_at,
        changed_at,
    } = user;
    let scram = credentials.scram.as_ref();
    sqlx::query(statement)
        .bind(name.clone())
        .bind(terms.customer.clone())
        .bind(credentials.password.clone())
        .bind(scram.map(|keys| keys.salt.clone()))
        .bind(scram.map(|keys| i64::from(keys.iterations)))
        .bind(scram.map(|keys| keys.stored_key.clone()))
        .bind(scram.map(|keys| keys.server_key.clone()))
        .bind(terms.sender_domains.join(" "))
        .bind(i64::from(terms.messages_per_hour))
        .bind(i64::from(terms.recipients_per_message))
        .bind(i64::from(terms.disabled))
        .bind(created_at.as_microsecond())
        .bind(changed_at.as_microsecond())
        .bind(i64::from(*id))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<User, StoreError> {
    let name: String = row.try_get("name")?;
    let time = |column: &str| {
        let at = Timestamp::from_microsecond(row.try_get(column)?);
        at.map_err(|error| damaged(&name, error.to_string()))
    };
    let counted = |column: &'static str| number(row.try_get(column)?, &name, column);
    let domains: String = row.try_get("sender_domains")?;
    let scram = match row.try_get::<Option<String>, _>("scram_salt")? {
        None => None,
        Some(salt) => Some(ScramKeys {
            salt,
            iterations: counted("scram_iterations")?,
            stored_key: row.try_get("scram_stored_key")?,
            server_key: row.try_get("scram_server_key")?,
        }),
    };
    Ok(User {
        id: counted("id")?,
        terms: Terms {
            customer: row.try_get("customer")?,
            sender_domains: domains.split_whitespace().map(str::to_owned).collect(),
            messages_per_hour: counted("messages_per_hour")?,
            recipients_per_message: counted("recipients_per_message")?,
            disabled: row.try_get::<i64, _>("disabled")? != 0,
        },
        credentials: Credentials {
            password: row.try_get("password")?,
            scram,
        },
        created_at: time("created_us")?,
        changed_at: time("changed_us")?,
        name,
    })
}

fn number(stored: i64, name: &str, column: &str) -> Result<u32, StoreError> {
    u32::try_from(stored).map_err(|_range| damaged(name, format!("{column} {stored}")))
}

fn damaged(name: &str, what: String) -> StoreError {
    StoreError::Row {
        table: "users",
        key: name.to_owned(),
        what,
    }
}

/// All of a user but what is kept of its password, of which the trail only says that there is another one.
fn entry(kind: Kind, user: &User, word: &Word, password: Option<bool>) -> Entry {
    let terms = &user.terms;
    let payload: Value = json!({
        "name": user.name,
        "customer": terms.customer,
        "sender_domains": terms.sender_domains,
        "messages_per_hour": terms.messages_per_hour,
        "recipients_per_message": terms.recipients_per_message,
        "disabled": terms.disabled,
        "scram": user.credentials.scram.is_some(),
        "password_set": password,
        "reason": word.reason,
    });
    Entry {
        at: word.at,
        actor: word.by.clone(),
        kind,
        subject: subject(user.id),
        payload,
    }
}
