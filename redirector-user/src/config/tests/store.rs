//! `[store]`.

use super::*;
use crate::config::Backups;

#[test]
fn copies_are_made_by_themselves_only_where_there_is_a_place_for_them() {
    assert_eq!(parse(WHOLE).unwrap().backups, None);
    let (others, _) = WHOLE.split_once("[store]").unwrap();
    let with = |keys: &str| parse(&format!("{others}[store]\n{keys}"));
    let directory = "backup_directory = \"/srv/backup\"\n";
    let backups = Backups {
        directory: "/srv/backup".into(),
        every: Duration::from_secs(86_400),
        keep: 7,
    };
    assert_eq!(with(directory).unwrap().backups, Some(backups.clone()));
    let other = Backups {
        every: Duration::from_secs(600),
        keep: 1,
        ..backups
    };
    let keys = format!("{directory}backup_every = \"10m\"\nbackup_keep = 1\n");
    assert_eq!(with(&keys).unwrap().backups, Some(other));
    for (keys, expected) in [
        (
            "backup_directory = \"backup\"",
            "store.backup_directory: backup: a relative path depends on where outgated starts; give an absolute one",
        ),
        (
            "backup_every = \"1m\"",
            "store.backup_every: 1m: not a time between two backups; allowed are 10m to 90d, as \"24h\"",
        ),
        (
            "backup_keep = 0",
            "store.backup_keep: 0: out of range; allowed are 1 to 1000",
        ),
    ] {
        assert_eq!(with(keys).unwrap_err(), format!("o.toml: {expected}"));
    }
}

#[test]
fn a_store_of_several_edges_has_an_address_and_a_name() {
    assert_eq!(parse(WHOLE).unwrap().shared, None);
    let (others, _) = WHOLE.split_once("[store]").unwrap();
    let with = |keys: &str| parse(&format!("{others}[store]\n{keys}"));
    let url = "url = \"postgresql://outgate:s3cret@db.example.net/outgate\"\n";
    let shared = with(&format!("{url}edge = \"edge-1\"")).unwrap().shared;
    assert_eq!(shared.unwrap().edge, "edge-1");
    for (keys, expected) in [
        (
            String::from("edge = \"a\""),
            "store.edge: a: names this edge among several",
        ),
        (
            String::from("url = \"mysql://root:s3cret@db/x\""),
            "store.url: (not shown): not an address of PostgreSQL",
        ),
        (
            format!("{url}edge = \"a'b\""),
            "store.edge: a'b: not a name of an edge",
        ),
        (
            format!("{url}edge = \"a\"\nbackup_directory = \"/srv/b\""),
            "store.backup_directory: /srv/b: copies are made of a file",
        ),
    ] {
        let error = with(&keys).unwrap_err();
        assert!(
            error.contains(expected) && !error.contains("s3cret"),
            "{error}"
        );
    }
}
