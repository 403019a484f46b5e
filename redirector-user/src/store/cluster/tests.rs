use super::*;
use crate::config::StoreUrl;

fn shared(url: &str) -> SharedStore {
    SharedStore {
        url: StoreUrl::read(url).unwrap(),
        edge: String::from("edge-1"),
    }
}

#[test]
fn nothing_that_is_shown_has_the_password() {
    let at = shared("postgresql://outgate:s3cret@db.example.net:5433/outgate?sslmode=verify-full");
    let cluster = Cluster::new(&at);
    let shown = format!("{at:?} {cluster:?} {} {}", cluster.place(), at.place());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(
        at.place(),
        "PostgreSQL at db.example.net:5433, database outgate"
    );
    let options = cluster.options().unwrap();
    assert_eq!(options.get_port(), 5433);
    let settings = options.get_options().unwrap_or_default();
    assert!(settings.contains("outgate.edge=edge-1"), "{settings}");
    assert!(settings.contains("lock_timeout=3s"), "{settings}");
}

#[test]
fn a_socket_is_an_address_too() {
    let at = shared("postgresql:///outgate?host=/run/postgresql");
    assert_eq!(
        at.place(),
        "PostgreSQL at /run/postgresql, database outgate"
    );
}

#[test]
fn an_ipv6_address_is_one_in_brackets() {
    let at = shared("postgresql://outgate@[2001:db8::5]:5433/outgate?sslmode=verify-full");
    assert_eq!(
        at.place(),
        "PostgreSQL at [2001:db8::5]:5433, database outgate"
    );
    let options = Cluster::new(&at).options().unwrap();
    assert_eq!(
        (options.get_host(), options.get_port()),
        ("2001:db8::5", 5433)
    );
}

#[test]
fn a_change_of_ones_own_is_known_only_if_all_before_it_were() {
    let cluster = Cluster::new(&shared("postgresql:///outgate?host=/run/postgresql"));
    cluster.apply(Seq(7));
    cluster.advance(Seq(7), Seq(8));
    assert_eq!(cluster.applied(), Seq(8));
    cluster.advance(Seq(9), Seq(10));
    assert_eq!(cluster.applied(), Seq(8), "9 is not known");
}

#[test]
fn only_what_ends_a_connection_makes_the_store_away() {
    let cluster = Cluster::new(&shared("postgresql:///outgate?host=/run/postgresql"));
    let (_, broken) = cluster.heard(sqlx::Error::RowNotFound);
    assert!(!broken && cluster.there().is_ok());
    let (error, broken) = cluster.heard(sqlx::Error::PoolTimedOut);
    assert!(broken);
    let first = match StoreError::from(error) {
        StoreError::Away { since, .. } => since,
        other => panic!("{other}"),
    };
    // Whoever asks later hears since when.
    let later = StoreError::from(cluster.there().unwrap_err());
    assert!(matches!(later, StoreError::Away { since, .. } if since == first));
    cluster.is_back();
    assert!(cluster.there().is_ok());
}
