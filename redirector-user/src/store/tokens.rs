//! Tokens of the API in the store.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Row as _, any::AnyRow};

use super::{
    Store, StoreError,
    audit::{self, Entry, Kind},
    drains::Word,
    events::Told,
};
use crate::{
    feed::Own,
    policy::token::{Scope, SecretDigest, Token},
};

impl Store {
    /// Adds a token of this name, which there must not be yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn add_token(&self, token: &Token) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query(
            "INSERT INTO tokens (name, scope, digest, created_us, created_by, expires_us, used_us) \
             VALUES ($1, $2, $3, $4, $5, $6, NULL)",
        )
        .bind(token.name.clone())
        .bind(token.scope.name())
        .bind(token.digest.to_hex())
        .bind(token.created_at.as_microsecond())
        .bind(token.created_by.clone())
        .bind(token.expires_at.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        let entry = Entry {
            at: token.created_at,
            actor: token.created_by.clone(),
            kind: Kind::TokenAdded,
            subject: subject(&token.name),
            payload: json!({ "scope": token.scope, "expires_at": token.expires_at }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        let mut told = Told::default();
        told.note(Own::TokenAdded(token).at(token.created_at, None));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// Removes a token.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is removed then.
    pub async fn remove_token(&self, name: &str, word: &Word) -> Result<(), StoreError> {
        let mut transaction = self.writer.decide().await?;
        sqlx::query("DELETE FROM tokens WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *transaction)
            .await?;
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind: Kind::TokenRemoved,
            subject: subject(name),
            payload: json!({ "reason": word.reason }),
        };
        audit::append(&mut transaction, &self.name, entry).await?;
        let mut told = Told::default();
        told.note(Own::TokenRemoved(name, word).at(word.at, None));
        let told = told.store(&mut transaction).await?;
        transaction.commit().await?;
        self.announce(told);
        Ok(())
    }

    /// Notes the day on which a token was of use. No row of the trail: what was done with it has its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn token_used(&self, name: &str, day: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE tokens SET used_us = $1 WHERE name = $2")
            .bind(day.as_microsecond())
            .bind(name.to_owned())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// All tokens by name, those that have expired too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Row`].
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY name")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }
}

/// How the trail names a token.
#[must_use]
pub fn subject(name: &str) -> String {
    format!("token:{name}")
}

fn read(row: &AnyRow) -> Result<Token, StoreError> {
    let name: String = row.try_get("name")?;
    let damaged = |what: String| StoreError::Row {
        table: "tokens",
        key: name.clone(),
        what,
    };
    let time =
        |at_us: i64| Timestamp::from_microsecond(at_us).map_err(|error| damaged(error.to_string()));
    let (scope, digest): (String, String) = (row.try_get("scope")?, row.try_get("digest")?);
    let used_us: Option<i64> = row.try_get("used_us")?;
    Ok(Token {
        scope: Scope::from_name(&scope).ok_or_else(|| damaged(format!("scope {scope}")))?,
        digest: SecretDigest::from_hex(&digest)
            .ok_or_else(|| damaged(String::from("its digest is none")))?,
        created_at: time(row.try_get("created_us")?)?,
        created_by: row.try_get("created_by")?,
        expires_at: time(row.try_get("expires_us")?)?,
        used_on: used_us.map(time).transpose()?,
        name,
    })
}
