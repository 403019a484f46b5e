//! The store's file: copies of it, what is wrong with it, and what is put into its place.

use std::fs;

use sqlx::{AnyConnection, Connection as _};

use super::*;
use crate::store::{
    audit::{Head, Wanted},
    life::{Lock, backups_in, check_file, last_good_backup, restore},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Damages pages in the middle of a file.
fn damage(file: &Path) {
    let mut octets = fs::read(file).unwrap();
    let length = octets.len();
    for octet in octets.iter_mut().skip(length / 2).take(3 * 4096) {
        *octet = 0xa5;
    }
    fs::write(file, octets).unwrap();
}

#[tokio::test]
async fn a_copy_is_the_store_at_one_moment_and_sound() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = fixture().await;
    let store = &fixture.store;
    store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let made = store.back_up_into(directory.path(), at(1)).await.unwrap();
    store.add(&proposal("192.0.2.11", "drop")).await.unwrap();

    assert_eq!(
        names_in(directory.path()),
        ["outgate-19700101T000001.000Z.db"]
    );
    let mode = fs::metadata(&made.file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let checked = check_file(&made.file).await.unwrap();
    assert_eq!(
        (checked.octets, &checked.faults[..]),
        (made.octets, &[][..])
    );
    // Looking at it has left nothing beside it.
    assert_eq!(names_in(directory.path()).len(), 1);
    let copy = Store::open(&made.file).await.unwrap();
    assert_eq!(copy.load().await.unwrap().flags.values().count(), 1);
    assert_eq!(copy.verify_trail().await.unwrap().unwrap().0, 1);

    let again = store.back_up(&made.file, at(2)).await.unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    let nowhere = directory.path().join("none/x.db");
    let nowhere = store.back_up(&nowhere, at(2)).await.unwrap_err();
    assert!(matches!(nowhere, StoreError::Unusable { .. }), "{nowhere}");
}

/// Where a table's first page is, and how long a page is.
async fn root_of(file: &Path, table: &str) -> (usize, usize) {
    let mut connection = AnyConnection::connect(&sqlite_url(file).unwrap())
        .await
        .unwrap();
    let text = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = $1";
    let row = sqlx::query(text).bind(table.to_owned());
    let row = row.fetch_one(&mut connection).await.unwrap();
    let (page, size): (i64, i64) = (row.get(0), row.get(1));
    connection.close().await.unwrap();
    let (page, size) = (
        usize::try_from(page).unwrap(),
        usize::try_from(size).unwrap(),
    );
    ((page - 1) * size, size)
}

#[tokio::test]
async fn of_a_large_store_what_decides_is_looked_at_first_and_the_rest_later() {
    let fixture = fixture().await;
    for host in 0..50 {
        let flag = proposal(&format!("192.0.2.{host}"), "drop");
        fixture.store.add(&flag).await.unwrap();
    }
    fixture.store.close().await;
    let file = &fixture.file;
    let sound = Store::open_looking(file, 0).await.unwrap();
    assert_eq!(sound.load().await.unwrap().flags.values().count(), 50);
    sound.check_rest().await.unwrap();
    sound.close().await;

    let good = fs::read(file).unwrap();
    let spoilt = async |table: &str| {
        fs::write(file, &good).unwrap();
        let (at, size) = root_of(file, table).await;
        let mut octets = good.clone();
        octets[at..at + size].fill(0xa5);
        fs::write(file, octets).unwrap();
    };
    spoilt("firings").await;
    let remembers = Store::open_looking(file, 0).await.unwrap();
    assert_eq!(remembers.load().await.unwrap().flags.values().count(), 50);
    let error = remembers.check_rest().await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    remembers.close().await;
    // A short one is looked at whole.
    let error = Store::open(file).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");

    for table in ["exemptions", "tokens"] {
        spoilt(table).await;
        let error = Store::open_looking(file, 0).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{table}: {error:?}"
        );
    }
    // What is read whole is looked at meanwhile; unless a step of the schema is to change it.
    for table in ["flags", "flags_active", "flags_prefix"] {
        spoilt(table).await;
        let opened = Store::open_looking(file, 0).await.unwrap();
        let error = opened.load().await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{table}: {error:?}"
        );
        opened.close().await;
        undo_last_step(file).await;
        let error = Store::open_looking(file, 0).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{table}: {error:?}"
        );
    }
    // Where it is to be served, it is set aside then.
    spoilt("flags").await;
    let opened = Store {
        set_aside: Some(None),
        ..Store::open_looking(file, 0).await.unwrap()
    };
    let error = opened.load().await.unwrap_err();
    assert!(matches!(error, StoreError::SetAside { .. }), "{error:?}");
    assert!(!file.exists());
}

/// As if the file were of a version before.
async fn undo_last_step(file: &Path) {
    let mut connection = AnyConnection::connect(&sqlite_url(file).unwrap())
        .await
        .unwrap();
    let text =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    sqlx::query(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_nobody_begins_anew_by_itself() {
    let fixture = fixture().await;
    for host in 0..200 {
        let flag = proposal(&format!("192.0.2.{host}"), "drop");
        fixture.store.add(&flag).await.unwrap();
    }
    let backups = tempfile::tempdir().unwrap();
    let good = fixture
        .store
        .back_up_into(backups.path(), at(1))
        .await
        .unwrap();
    let bad = fixture
        .store
        .back_up_into(backups.path(), at(2))
        .await
        .unwrap();
    damage(&bad.file);
    assert_eq!(
        last_good_backup(backups.path()).await.as_ref(),
        Some(&good.file)
    );
    fixture.store.close().await;
    damage(&fixture.file);
    let damaged = fs::read(&fixture.file).unwrap();

    let state = fixture.file.parent().unwrap();
    let lock = Lock::take(state).unwrap();
    let refused = Lock::take(state).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    for start in ["first", "second"] {
        let error = Store::open_for_service(&lock, &fixture.file, Some(backups.path())).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, StoreError::SetAside { .. }),
            "{start}: {error:?}"
        );
        let said = error.to_string();
        let command = format!("outgate store restore {}", good.file.display());
        for part in [
            "outgate.db.corrupt-",
            &command,
            "what is in force there stays",
        ] {
            assert!(said.contains(part), "{start}: {part} is not in: {said}");
        }
        assert!(
            !fixture.file.exists(),
            "{start}: an empty store would lift every flag"
        );
    }
    let aside = names_in(state)
        .into_iter()
        .find(|name| name.contains(".corrupt-"))
        .unwrap();
    assert_eq!(fs::read(state.join(aside)).unwrap(), damaged);

    let refused = restore(&lock, &bad.file, &fixture.file, "alice", "")
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    assert!(!fixture.file.exists());
    let restored = restore(&lock, &good.file, &fixture.file, "alice", "disk")
        .await
        .unwrap();
    assert_eq!((restored.flags, restored.aside), (200, None));
    let store = Store::open_for_service(&lock, &fixture.file, None)
        .await
        .unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.flags.values().count(), 200);
    assert!(
        loaded.generation > Generation(1_000_000),
        "a relay may know one of those since"
    );
    let last = store
        .trail(&Wanted {
            limit: 1,
            ..Wanted::default()
        })
        .await
        .unwrap();
    assert_eq!(
        (last[0].kind.as_str(), last[0].actor.as_str()),
        ("store restored", "alice")
    );
    assert!(store.prove_trail(Vec::new()).await.unwrap().holds());
}

#[tokio::test]
async fn a_restored_store_keeps_the_one_from_before_and_its_lost_rows_are_noticed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    store.add(&proposal("192.0.2.10", "drop")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = store.back_up_into(directory.path(), at(1)).await.unwrap();
    store.add(&proposal("192.0.2.11", "drop")).await.unwrap();
    let head: Head = store.prove_trail(Vec::new()).await.unwrap().writers[0]
        .head
        .parse()
        .unwrap();
    store.close().await;
    let lock = Lock::take(fixture.file.parent().unwrap()).unwrap();
    let restored = restore(&lock, &copy.file, &fixture.file, "alice", "")
        .await
        .unwrap();
    let before = Store::open(&restored.aside.unwrap()).await.unwrap();
    assert_eq!(before.load().await.unwrap().flags.values().count(), 2);
    let store = Store::open(&fixture.file).await.unwrap();
    assert_eq!(store.load().await.unwrap().flags.values().count(), 1);
    let proof = store.prove_trail(vec![head.clone()]).await.unwrap();
    assert_eq!(proof.missing, [head.to_string()]);
    assert_eq!(proof.writers[0].broken, None);
    assert_eq!(backups_in(directory.path()).unwrap().len(), 1);
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused_and_told() {
    let cases: [(&str, &str); 4] = [
        (
            "DROP TRIGGER audit_is_append_only",
            "trigger audit_is_append_only is missing; it was made by: CREATE TRIGGER",
        ),
        ("DROP INDEX audit_at", "index audit_at is missing"),
        (
            "ALTER TABLE flags RENAME COLUMN ticket TO tickets",
            "table flags is not what it was",
        ),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', 1, x'00', 0)",
            "written by a newer outgated: its schema has step 9999",
        ),
    ];
    for (sql, expected) in cases {
        let fixture = fixture().await;
        // One more than is known does not matter.
        fixture
            .meddle("CREATE INDEX mine ON audit (actor)")
            .await
            .unwrap();
        Store::open(&fixture.file).await.unwrap().close().await;
        fixture.meddle(sql).await.unwrap();
        let checked = fixture.store.check().await;
        let told = match checked {
            Ok(checked) => checked.faults.join("; "),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{sql}: {told}");
        let error = Store::open(&fixture.file).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
        assert!(
            fixture.file.exists(),
            "its rows are sound, so it stays where it is"
        );
    }
}
