//! The schema, as migrations that are applied on start, and what is asked of a database before it is used.

mod migrations;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sqlx::{
    AnyConnection, AssertSqlSafe, Connection as _, Row as _, SqlSafeStr as _,
    any::AnyRow,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use self::migrations::{MIGRATIONS, Step};
use super::{StoreError, life::unusable};

/// Refuses a damaged database file: what it says about customers could be anything. Of a file longer than that, tables
/// that only remember are left for [`check_table`] to look at later: a disk takes minutes for their gigabytes, and nobody
/// is flagged or let go by them. Nor is what is read as a whole, if no step of the schema has to change it before: that
/// takes as long, and can be looked at meanwhile. Answers with their names.
pub(super) async fn check_integrity(
    file: &Path,
    connection: &mut AnyConnection,
    whole_up_to: u64,
) -> Result<Unchecked, StoreError> {
    let octets = std::fs::metadata(file).map_err(unusable(file))?.len();
    if octets <= whole_up_to {
        let answer = sqlx::query("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await;
        return sound(file, answer).map(|()| Unchecked::default());
    }
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut *connection)
        .await;
    let tables = match tables {
        Ok(tables) => tables,
        Err(error) => return sound(file, Err(error)).map(|()| Unchecked::default()),
    };
    let mut unchecked = Unchecked::default();
    for row in tables {
        let name: String = row.try_get(0)?;
        if let Some(name) = REMEMBERING.into_iter().find(|it| *it == name) {
            unchecked.later.push(name);
        } else if name == READ_WHOLE {
            unchecked.at_load = Some(READ_WHOLE);
        } else {
            check_table(file, connection, &name).await?;
        }
    }
    let newest = steps_of(SQLITE).map(|(version, ..)| *version).max();
    if Some(version(file, connection).await?) < newest
        && let Some(table) = unchecked.at_load.take()
    {
        check_table(file, connection, table).await?;
    }
    Ok(unchecked)
}

/// Tables of a large database that nobody has looked at yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unchecked {
    /// While it is read, and before anything is done by it.
    pub(super) at_load: Option<&'static str>,
    /// When there is time.
    pub(super) later: Vec<&'static str>,
}

/// The same of one table and its indexes.
pub(super) async fn check_table(
    file: &Path,
    connection: &mut AnyConnection,
    table: &str,
) -> Result<(), StoreError> {
    let quoted = table.replace('\'', "''");
    // Quoted, and of the file's own schema.
    let query = AssertSqlSafe(format!("PRAGMA quick_check('{quoted}')"));
    let answer = sqlx::query(query).fetch_one(&mut *connection).await;
    sound(file, answer)
}

/// What a check has answered: `ok`, or the first thing that is wrong.
fn sound(file: &Path, answer: Result<AnyRow, sqlx::Error>) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        file: file.to_owned(),
        what,
    };
    match answer.and_then(|row| row.try_get::<String, _>(0)) {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(damaged(answer)),
        Err(error) if is_damage(&error) => Err(damaged(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Brings the schema up to this version.
pub(super) async fn migrate(file: &Path, connection: &mut AnyConnection) -> Result<(), StoreError> {
    version(file, connection).await?;
    let done = run(connection, |_| true).await;
    done.map_err(|source| StoreError::Schema {
        file: file.to_owned(),
        source,
    })?;
    let differs = match dialect(connection) {
        SQLITE => differences(connection).await?,
        _ => missing_triggers(connection).await?,
    };
    match differs.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Meddled {
            file: file.to_owned(),
            what,
        }),
    }
}

/// The last step of a database's schema, 0 before the first.
pub(super) async fn version(
    file: &Path,
    connection: &mut AnyConnection,
) -> Result<i64, StoreError> {
    let known = MIGRATIONS.iter().map(|(version, ..)| *version).max();
    let (known, found) = (known.unwrap_or_default(), applied(connection).await?);
    let last = found.last().copied().unwrap_or_default();
    if last > known {
        return Err(StoreError::Newer {
            file: file.to_owned(),
            found: last,
            known,
        });
    }
    Ok(last)
}

/// What is not as the migrations that were applied have made it. More than they have made does not matter; the order of
/// columns does not either, which depends on the order of upgrades.
pub(super) async fn differences(
    connection: &mut AnyConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let steps = applied(connection).await?;
    let mut model = AnyConnection::connect("sqlite::memory:").await?;
    let made = run(&mut model, |version| steps.contains(&version)).await;
    made.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    let (should, is) = (objects(&mut model).await?, objects(connection).await?);
    model.close().await?;
    let differs = should
        .into_iter()
        .filter_map(|(object, text)| match is.get(&object) {
            None => Some(format!("{object} is missing; it was made by: {text}")),
            Some(other) if *other != text => {
                Some(format!("{object} is not what it was; it was: {text}"))
            }
            Some(_) => None,
        });
    Ok(differs.collect())
}

/// Steps that a database has had.
async fn applied(connection: &mut AnyConnection) -> Result<BTreeSet<i64>, sqlx::Error> {
    let there = match dialect(connection) {
        SQLITE => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
        }
        _ => {
            "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = '_sqlx_migrations'"
        }
    };
    let row = sqlx::query(there).fetch_one(&mut *connection).await?;
    if row.try_get::<i64, _>(0)? == 0 {
        return Ok(BTreeSet::new());
    }
    let rows = sqlx::query("SELECT version FROM _sqlx_migrations")
        .fetch_all(&mut *connection)
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Triggers that keep the trail append-only, or tell other edges of changes, and are not there or not at work.
async fn missing_triggers(connection: &mut AnyConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CAST(tgname AS TEXT) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid \
         WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut there = BTreeSet::new();
    for row in rows {
        there.insert(row.try_get::<String, _>(0)?);
    }
    let made = MIGRATIONS
        .iter()
        .filter(|(_, only, ..)| *only == Some(POSTGRES));
    let lines = made.flat_map(|(.., text)| text.lines());
    let named = lines.filter_map(|line| line.strip_prefix("CREATE TRIGGER ")?.split(' ').next());
    let missing = named.filter(|name| !there.contains(*name));
    Ok(missing
        .map(|name| format!("trigger {name} is missing or disabled"))
        .collect())
}

/// As `backend_name` spells it.
fn dialect(connection: &AnyConnection) -> &'static str {
    if connection.backend_name() == POSTGRES {
        POSTGRES
    } else {
        SQLITE
    }
}

/// Tables, indexes and triggers by name, with what they are.
async fn objects(connection: &mut AnyConnection) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT type, name, COALESCE(sql, '') FROM sqlite_master \
         WHERE type <> 'table' AND sql IS NOT NULL AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let (kind, name, text): (String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let words: Vec<_> = text.split_whitespace().collect();
        found.insert(format!("{kind} {name}"), words.join(" "));
    }
    let columns = sqlx::query(
        "SELECT t.name, c.name || ' ' || c.type || CASE WHEN c.\"notnull\" THEN ' NOT NULL' ELSE '' END \
         || CASE WHEN c.pk > 0 THEN ' PRIMARY KEY ' || c.pk ELSE '' END \
         FROM sqlite_master t JOIN pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY t.name, c.name",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in columns {
        let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let columns = found.entry(format!("table {table}")).or_default();
        if !columns.is_empty() {
            columns.push_str(", ");
        }
        columns.push_str(&column);
    }
    Ok(found)
}

/// Applies those steps that are wanted and were not applied yet.
async fn run(
    connection: &mut AnyConnection,
    wanted: impl Fn(i64) -> bool,
) -> Result<(), MigrateError> {
    let dialect = dialect(connection);
    let migrations = steps_of(dialect).filter(|(version, ..)| wanted(*version));
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
    migrator.run_direct(None, connection, false).await
}

/// The steps that one database needs.
fn steps_of(dialect: &str) -> impl Iterator<Item = &'static Step> {
    let steps = MIGRATIONS.iter();
    steps.filter(move |(_, only, ..)| only.is_none_or(|only| only == dialect))
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

/// SQLite's "not a database" (26) and "malformed" (11); what its extended codes add stands above the lowest octet.
fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    matches!(code.map(|code| code & 0xff), Some(11 | 26))
}

/// Tables of what has been: they grow with the years, and nothing in force follows from them.
const REMEMBERING: [&str; 8] = [
    "audit",
    "event_numbers",
    "event_runs",
    "events",
    "firings",
    "notices",
    "requests",
    "rotations",
];
/// Every flag that stands is read at a start, and they are most of what there is beside that.
const READ_WHOLE: &str = "flags";
const SQLITE: &str = "SQLite";
const POSTGRES: &str = "PostgreSQL";
