//! What of a flag's term is more than its end: columns that few flags fill, and the changes of a standing flag's term.

use contract::Generation;
use jiff::Timestamp;
use serde_json::json;

use super::{change::Change, subject};
use crate::{
    feed::Life,
    policy::dial::{Flag, FlagId, Proposal, term::Stage},
    store::{
        Store, StoreError, Transaction,
        audit::{self, Entry, Kind, OUTGATED, Row as TrailRow},
        drains::Word,
    },
};

impl Store {
    /// Stores that a standing flag has other terms from now on; `kind` is the trail's word for it. Nothing of it but its
    /// term may differ.
    ///
    /// # Errors
    ///
    /// [`StoreError::AlreadyEnded`], [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn change_term(
        &self,
        flag: &Flag,
        terms: &Proposal,
        kind: Kind,
        word: &Word,
    ) -> Result<Generation, StoreError> {
        let mut change = self.change().await?;
        change.change_term(flag, terms, kind, word).await?;
        change.commit().await
    }

    /// Notes that the reviews of these flags have come, and tells it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`], [`StoreError::Random`]; nothing is stored then.
    pub async fn reviews_due(
        &self,
        flags: &[Flag],
        at: Timestamp,
    ) -> Result<Generation, StoreError> {
        let mut change = self.change().await?;
        let word = Word {
            at,
            by: String::from(OUTGATED),
            reason: String::from("its review has come"),
        };
        for flag in flags {
            let terms = flag.terms.with_review_told();
            let kind = Kind::FlagReviewDue;
            change.change_term(flag, &terms, kind, &word).await?;
        }
        change.commit().await
    }

    /// What the trail has about every flag there ever was of a prefix, the newest first, and at most so much.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub async fn trail_of_prefix(
        &self,
        prefix: ipnetwork::IpNetwork,
        at_most: u32,
    ) -> Result<Vec<TrailRow>, StoreError> {
        let text = "SELECT * FROM audit WHERE subject IN (SELECT 'flag:' || id FROM flags WHERE prefix = $1) \
                    ORDER BY at_us DESC, writer DESC, seq DESC LIMIT $2";
        let rows = sqlx::query(text)
            .bind(prefix.to_string())
            .bind(i64::from(at_most))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(audit::read).collect()
    }
}

impl Change<'_> {
    async fn change_term(
        &mut self,
        flag: &Flag,
        terms: &Proposal,
        kind: Kind,
        word: &Word,
    ) -> Result<(), StoreError> {
        let done =
            sqlx::query("UPDATE flags SET expires_us = $1 WHERE id = $2 AND ended_us IS NULL")
                .bind(terms.expires_at.as_microsecond())
                .bind(i64::from(flag.id.0))
                .execute(&mut *self.transaction)
                .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::AlreadyEnded(flag.id));
        }
        write(&mut self.transaction, flag.id, terms).await?;
        let before = &flag.terms;
        let payload = json!({
            "reason": word.reason,
            "expires_at": terms.expires_at,
            "expired_at_before": (terms.expires_at != before.expires_at).then_some(before.expires_at),
            "review_at": terms.review_at(),
            "review_at_before": before.review_at().filter(|at| Some(*at) != terms.review_at()),
        });
        let entry = Entry {
            at: word.at,
            actor: word.by.clone(),
            kind,
            subject: subject(flag.id),
            payload,
        };
        self.chain.append(&mut self.transaction, entry).await?;
        let life = Life::Term {
            kind,
            id: flag.id,
            terms,
            word,
        };
        self.told.note(life.at(word.at, Some(terms.prefix)));
        Ok(())
    }
}

/// Whether a flag fills more than the columns that each one fills.
pub(super) const fn has_more(terms: &Proposal) -> bool {
    terms.for_ever.is_some() || terms.despite_exemption.is_some()
}

/// Writes what is more.
pub(super) async fn write(
    transaction: &mut Transaction,
    id: FlagId,
    terms: &Proposal,
) -> Result<(), StoreError> {
    let for_ever = terms.for_ever.as_deref();
    let (mut decided, mut told) = (None, false);
    match for_ever.map(|it| &it.stage) {
        Some(Stage::Approved {
            by, at, told: it, ..
        }) => {
            decided = Some((by.clone(), at.as_microsecond()));
            told = *it;
        }
        Some(Stage::Rejected { by, at }) => decided = Some((by.clone(), at.as_microsecond())),
        Some(Stage::Pending) | None => {}
    }
    let (decided_by, decided_us) = decided.unzip();
    sqlx::query(
        "UPDATE flags SET review_s = $1, approval = $2, decided_by = $3, decided_us = $4, review_us = $5, \
         review_told = $6, despite_exemption = $7 WHERE id = $8",
    )
    .bind(for_ever.map(|it| i64::from(it.review_s)))
    .bind(for_ever.map(|it| it.stage.name()))
    .bind(decided_by)
    .bind(decided_us)
    .bind(terms.review_at().map(Timestamp::as_microsecond))
    .bind(for_ever.map(|_| i64::from(told)))
    .bind(terms.despite_exemption.as_deref().map(str::to_owned))
    .bind(i64::from(id.0))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
