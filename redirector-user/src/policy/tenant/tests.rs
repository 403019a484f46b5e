use contract::Generation;
use proptest::prelude::*;

use super::*;
use crate::policy::dial::{Action, FlagId, Proposal};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn assignment(prefix: &str, customer: &str, from: i64) -> Assignment {
    Assignment {
        prefix: prefix.parse().unwrap(),
        customer: CustomerId::read(customer).unwrap(),
        from: at(from),
        to: None,
        origin: None,
    }
}

fn flag(prefix: &str, created: i64, tenant: Option<&Assignment>) -> Flag {
    Flag {
        id: FlagId(1),
        terms: Proposal {
            prefix: prefix.parse().unwrap(),
            action: Action::Drop,
            reason: "r".into(),
            actor: "a".into(),
            ticket: None,
            grace_s: 0,
            created_at: at(created).into(),
            expires_at: at(created + 1000).into(),
            cause: None,
            origin: None,
            for_ever: None,
            despite_exemption: None,
            quiet: false,
        },
        generation: Generation(1),
        tenant: tenant.map(|it| Box::new(it.tenant())),
        replaces: None,
        activated_at: None,
        ended: None,
    }
}

#[test]
fn keys_are_the_operators_and_fit_a_line() {
    for good in ["C-1042", "a", "hosting.example:7@x", &"x".repeat(64)] {
        assert_eq!(CustomerId::read(good).unwrap().as_str(), good);
    }
    for bad in ["", "  ", "C 1", "C/1", "C\n1", "caf\u{e9}", &"x".repeat(65)] {
        assert!(CustomerId::read(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_most_specific_assignment_is_whose_a_prefix_is() {
    let tenants: Tenants = [
        assignment("192.0.2.0/24", "wide", 1),
        assignment("192.0.2.64/28", "narrow", 1),
        assignment("2001:db8:a::/48", "six", 1),
    ]
    .into_iter()
    .collect();
    let of = |prefix: &str| {
        let found = tenants.of(prefix.parse().unwrap());
        found.map(|found| found.customer.to_string())
    };
    assert_eq!(of("192.0.2.70/32").as_deref(), Some("narrow"));
    assert_eq!(of("192.0.2.64/28").as_deref(), Some("narrow"));
    // Wider than the narrow one: it is about others, too.
    assert_eq!(of("192.0.2.64/27").as_deref(), Some("wide"));
    assert_eq!(of("192.0.0.0/16"), None);
    assert_eq!(of("2001:db8:a:a::/64").as_deref(), Some("six"));
}

#[test]
fn a_flag_ends_with_the_tenancy_it_was_made_for() {
    let (before, after) = (
        assignment("192.0.2.0/28", "C-1", 10),
        assignment("192.0.2.0/28", "C-2", 100),
    );
    let ends = |to: &str| Fate::Ends(format!("reassigned to {to}"));
    let of_first = flag("192.0.2.5/32", 50, Some(&before));
    assert_eq!(fate(&of_first, Some(&before)), Fate::Stays);
    assert_eq!(fate(&of_first, Some(&after)), ends("C-2"));
    assert_eq!(fate(&of_first, None), ends("nobody"));
    // What was made since then was about the new one, though nobody had said so yet.
    let later = flag("192.0.2.5/32", 150, Some(&before));
    assert_eq!(fate(&later, Some(&after)), Fate::Moves(after.tenant()));
    // The same customer by another assignment.
    let narrower = assignment("192.0.2.4/30", "C-1", 100);
    assert_eq!(
        fate(&of_first, Some(&narrower)),
        Fate::Moves(narrower.tenant())
    );
    // Nobody knew whose it was.
    let of_nobody = flag("192.0.2.5/32", 50, None);
    assert_eq!(fate(&of_nobody, Some(&after)), Fate::Moves(after.tenant()));
    assert_eq!(fate(&of_nobody, None), Fate::Stays);
}

fn prefixes() -> impl Strategy<Value = IpNetwork> {
    let lengths = (any::<bool>(), any::<u32>(), 0..=8_u8);
    lengths.prop_map(|(four, bits, length)| {
        let address: std::net::IpAddr = match four {
            true => std::net::Ipv4Addr::from(bits << 24).into(),
            false => std::net::Ipv6Addr::from(u128::from(bits) << 120).into(),
        };
        let network = IpNetwork::new(address, length).unwrap();
        IpNetwork::new(network.network(), length).unwrap()
    })
}

proptest! {
    /// What will be is what is once the changes are noted.
    #[test]
    fn what_was_foreseen_comes(
        standing in prop::collection::vec(prefixes(), 0..8),
        changes in prop::collection::vec((prefixes(), any::<bool>()), 0..8),
        asked in prefixes(),
    ) {
        let named = |prefix: IpNetwork, customer: &str| Assignment {
            prefix,
            ..assignment("192.0.2.0/28", customer, 1)
        };
        let mut tenants: Tenants = standing.into_iter().map(|prefix| named(prefix, "C-1")).collect();
        let changes: BTreeMap<_, _> = changes
            .into_iter()
            .map(|(prefix, stays)| {
                let change = Reassignment {
                    prefix,
                    at: at(2),
                    before: tenants.on(prefix).cloned(),
                    after: stays.then(|| named(prefix, "C-2")),
                    was: None,
                    is: None,
                };
                (prefix, change)
            })
            .collect();
        let foreseen = After::new(&tenants, &changes).of(asked).cloned();
        changes.values().for_each(|change| tenants.note(change));
        prop_assert_eq!(tenants.of(asked), foreseen.as_ref());
    }
}
