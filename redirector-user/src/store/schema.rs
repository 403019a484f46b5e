//! The schema, as migrations that are applied on start, and what is asked of a database before it is used.

use std::path::Path;

use sqlx::{
    AnyConnection, Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

use super::StoreError;

/// Refuses a damaged database file: what it says about customers could be anything.
pub(super) async fn check_integrity(
    file: &Path,
    connection: &mut AnyConnection,
) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        file: file.to_owned(),
        what,
    };
    let answer = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await;
    let answer = answer.and_then(|row| row.try_get::<String, _>(0));
    match answer {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(damaged(answer)),
        Err(error) if is_damage(&error) => Err(damaged(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Brings the schema up to this version.
pub(super) async fn migrate(file: &Path, connection: &mut AnyConnection) -> Result<(), StoreError> {
    let dialect = connection.backend_name().to_owned();
    let migrations = MIGRATIONS
        .iter()
        .filter(|(_, only, ..)| only.is_none_or(|only| only == dialect));
    let migrations = migrations.map(|(version, _, description, sql)| {
        Migration::new(
            *version,
            (*description).into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|source| StoreError::Schema {
            file: file.to_owned(),
            source,
        })?;
    Ok(())
}

/// What a failure to open means; opening already reads the file's header.
pub(super) fn opening_error(file: &Path, error: sqlx::Error) -> StoreError {
    if is_damage(&error) {
        return StoreError::Damaged {
            file: file.to_owned(),
            what: error.to_string(),
        };
    }
    error.into()
}

/// SQLite's "not a database" (26) and "malformed" (11).
fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("11" | "26"))
}

/// Version, the one database that needs it (as `backend_name` spells it) if not all, description, text.
const MIGRATIONS: &[(i64, Option<&str>, &str, &str)] = &[
    (
        1,
        None,
        "tables",
        include_str!("migrations/0001_tables.sql"),
    ),
    (
        2,
        Some("SQLite"),
        "append-only trail",
        include_str!("migrations/0002_append_only_sqlite.sql"),
    ),
    (
        3,
        None,
        "drained relays",
        include_str!("migrations/0003_drains.sql"),
    ),
    (
        4,
        None,
        "confirmed customers",
        include_str!("migrations/0004_confirmed.sql"),
    ),
    (
        5,
        None,
        "delivery",
        include_str!("migrations/0005_delivery.sql"),
    ),
    (
        6,
        None,
        "users of submission",
        include_str!("migrations/0006_submission.sql"),
    ),
    (
        7,
        None,
        "what may be looked at",
        include_str!("migrations/0007_tier.sql"),
    ),
    (8, None, "rules", include_str!("migrations/0008_rules.sql")),
    (
        9,
        Some("SQLite"),
        "figures of rotations",
        include_str!("migrations/0009_rotations_sqlite.sql"),
    ),
    (
        10,
        None,
        "events",
        include_str!("migrations/0010_events.sql"),
    ),
    (
        18,
        None,
        "tokens of the API",
        include_str!("migrations/0018_tokens.sql"),
    ),
    (
        19,
        None,
        "requests with a key",
        include_str!("migrations/0019_requests.sql"),
    ),
    (
        20,
        None,
        "webhooks and notices",
        include_str!("migrations/0020_notices.sql"),
    ),
    (
        21,
        None,
        "limits by name",
        include_str!("migrations/0021_limits.sql"),
    ),
];
