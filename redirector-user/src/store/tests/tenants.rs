//! Customers and assignments come back as they were stored, and flags with whom they are for.

use super::*;
use crate::{
    policy::{
        rules::Conduct,
        tenant::{Assignment, Customer, CustomerId, Reassignment},
    },
    store::tenants::{CustomerChange, Fresh, Package, subject},
};

fn id(text: &str) -> CustomerId {
    CustomerId::read(text).unwrap()
}

fn later(hours: i64) -> Timestamp {
    now() + SignedDuration::from_hours(hours)
}

fn customer(key: &str) -> Customer {
    Customer {
        id: id(key),
        number: 0,
        name: Some(String::from("Example Ltd")),
        contact: None,
        origin: Some(String::from("netbox")),
        created_at: now(),
        changed_at: now(),
    }
}

fn assignment(prefix: &str, key: &str, from: Timestamp) -> Assignment {
    Assignment {
        prefix: prefix.parse().unwrap(),
        customer: id(key),
        from,
        to: None,
        origin: None,
    }
}

fn change(at: Timestamp, before: Option<&Assignment>, after: Option<&Assignment>) -> Package {
    let prefix = before.or(after).unwrap().prefix;
    let reassignment = Reassignment {
        prefix,
        at,
        before: before.cloned(),
        after: after.cloned(),
        was: before.map(|before| before.customer.clone()),
        is: after.map(|after| after.customer.clone()),
    };
    Package {
        by: String::from("alice"),
        at,
        assignments: BTreeMap::from([(prefix, reassignment)]),
        ..Package::default()
    }
}

#[tokio::test]
async fn who_had_a_prefix_when_is_known_to_another_process() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for (narrow, wide) in [
        ("192.0.2.64/28", "192.0.2.0/24"),
        ("2001:db8:a:a::/64", "2001:db8:a::/48"),
    ] {
        let (first, second) = (
            assignment(narrow, "C-1", now()),
            assignment(narrow, "C-2", later(2)),
        );
        let around = assignment(wide, "C-3", now());
        for package in [
            change(now(), None, Some(&first)),
            change(now(), None, Some(&around)),
            change(later(2), Some(&first), Some(&second)),
            change(later(4), Some(&second), None),
        ] {
            store.apply(package, |_| {}).await.unwrap();
        }
        let other = fixture.another().await;
        for (hours, expected) in [
            (-1, None),
            (0, Some("C-1")),
            (2, Some("C-2")),
            (4, Some("C-3")),
        ] {
            let found = other
                .who(narrow.parse().unwrap(), later(hours))
                .await
                .unwrap();
            assert_eq!(
                found.map(|found| found.customer),
                expected.map(id),
                "{narrow} {hours}"
            );
        }
        let standing = other.with_tenants(|tenants| tenants.of(narrow.parse().unwrap()).cloned());
        assert_eq!(standing, Some(around));
        let ended = other
            .last_unassigned(narrow.parse().unwrap())
            .await
            .unwrap();
        assert_eq!(ended, Some(later(4)));
    }
    let had = store.assignments_of(&id("C-1")).await.unwrap();
    let until: Vec<_> = had.iter().map(|it| it.to).collect();
    assert_eq!(until, [Some(later(2)); 2]);
    fixture.chain().await.unwrap();
}

#[tokio::test]
async fn a_flag_is_for_whom_its_prefix_is_when_it_is_made() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let of_nobody = store.add(&proposal("192.0.2.1", "drop")).await.unwrap();
    assert_eq!(of_nobody.flag.tenant, None);
    let first = assignment("192.0.2.0/28", "C-1", now());
    let package = change(now(), None, Some(&first));
    store.apply(package, |_| {}).await.unwrap();
    let one = store
        .add(&proposal("192.0.2.2", "drop"))
        .await
        .unwrap()
        .flag;
    assert_eq!(one.tenant, Some(Box::new(first.tenant())));
    let wide = store
        .add(&proposal("192.0.2.0/24", "drop"))
        .await
        .unwrap()
        .flag;
    assert_eq!(wide.tenant, None);

    // A package's own flags are for whom its assignments say, and what it ends makes room for them.
    let second = assignment("192.0.2.0/28", "C-2", later(1));
    let ended = Ended {
        at: later(1),
        by: String::from("outgated"),
        reason: String::from("reassigned to C-2"),
    };
    let conduct = Conduct::fresh(later(1));
    let package = Package {
        ends: vec![(one.id, Kind::FlagReassigned, ended.clone())],
        moves: vec![(of_nobody.flag.id, second.tenant())],
        conduct: vec![("192.0.2.2/32".parse().unwrap(), conduct.clone())],
        flags: vec![Proposal {
            origin: Some("billing".into()),
            ..proposal("192.0.2.2", "drop")
        }],
        ..change(later(1), Some(&first), Some(&second))
    };
    let stored = store.apply(package.clone(), |_| {}).await.unwrap();
    assert_eq!(stored.ended.len(), 1);
    assert_eq!(stored.replaced, []);
    let loaded = fixture.another().await.load().await.unwrap();
    let tenant = |id| loaded.flags.get(&id).unwrap().tenant.clone();
    let fresh = &stored.flags[0];
    assert_eq!(tenant(fresh.id), Some(Box::new(second.tenant())));
    assert_eq!(
        loaded.flags.get(&fresh.id).unwrap().terms.origin.as_deref(),
        Some("billing")
    );
    assert_eq!(tenant(of_nobody.flag.id), Some(Box::new(second.tenant())));
    assert_eq!(
        loaded.conduct.get(&"192.0.2.2/32".parse().unwrap()),
        Some(&conduct)
    );
    let before = store.flag(one.id).await.unwrap().unwrap();
    assert_eq!(before.ended, Some(Box::new(ended)));
    assert_eq!(store.flags_of(&id("C-1"), 10).await.unwrap(), [before]);
    // What has ended meanwhile keeps nothing else from being stored.
    let again = Package {
        ends: package.ends,
        ..Package::default()
    };
    assert_eq!(store.apply(again, |_| {}).await.unwrap().ended, []);
    fixture.chain().await.unwrap();
}

#[tokio::test]
async fn a_customer_keeps_its_number_and_loses_its_name() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let set = |customers| Package {
        by: String::from("alice"),
        at: now(),
        customers,
        ..Package::default()
    };
    let both = ["C-1", "C-2"].map(|key| CustomerChange::Set(customer(key), Fresh::New));
    store.apply(set(both.to_vec()), |_| {}).await.unwrap();
    let first = store.customer(&id("C-1")).await.unwrap().unwrap();
    assert_eq!(
        first,
        Customer {
            number: 1,
            ..customer("C-1")
        }
    );
    let renamed = Customer {
        name: Some(String::from("Other")),
        ..first.clone()
    };
    let changes = vec![CustomerChange::Set(renamed.clone(), Fresh::Known)];
    store.apply(set(changes), |_| {}).await.unwrap();
    assert_eq!(store.customer(&id("C-1")).await.unwrap(), Some(renamed));
    let gone = vec![CustomerChange::Remove(first)];
    store.apply(set(gone), |_| {}).await.unwrap();
    assert_eq!(store.customer(&id("C-1")).await.unwrap(), None);
    let left: Vec<_> = store.customers("", 10).await.unwrap().into_keys().collect();
    assert_eq!(left, [id("C-2")]);
    let named =
        "SELECT * FROM customers WHERE id = 'C-1' AND (name IS NOT NULL OR contact IS NOT NULL)";
    let rows = sqlx::query(named).fetch_all(&store.readers).await.unwrap();
    assert!(rows.is_empty());
    let back = vec![CustomerChange::Set(customer("C-1"), Fresh::New)];
    store.apply(set(back), |_| {}).await.unwrap();
    assert_eq!(store.customer(&id("C-1")).await.unwrap().unwrap().number, 1);
    let trail = store.trail_of(&subject(1)).await.unwrap();
    let kinds: Vec<_> = trail.iter().map(|row| row.kind.as_str()).collect();
    let expected = [
        "customer added",
        "customer changed",
        "customer removed",
        "customer added",
    ];
    assert_eq!(kinds, expected);
}
