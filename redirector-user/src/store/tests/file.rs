//! The store as a file: whose it is, and what is not taken for one.

use super::*;

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outgate.db");
    std::fs::write(
        &file,
        b"this is no database, and long enough to have a header of its own......................",
    )
    .unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = Store::open(&file).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("outgate.db: damaged: "),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_page_is_found_before_anything_is_read() {
    let fixture = fixture().await;
    for host in 0..200 {
        fixture
            .store
            .add(&proposal(&format!("192.0.2.{host}"), "drop"))
            .await
            .unwrap();
    }
    fixture.store.close().await;
    let mut octets = std::fs::read(&fixture.file).unwrap();
    for octet in octets.iter_mut().skip(8 * 4096).take(2 * 4096) {
        *octet = 0xa5;
    }
    std::fs::write(&fixture.file, octets).unwrap();
    let error = Store::open(&fixture.file).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn the_store_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = fixture().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fixture.file), 0o600);
    assert_eq!(mode(fixture.file.parent().unwrap()), 0o700);
}
