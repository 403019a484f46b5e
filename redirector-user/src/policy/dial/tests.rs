use contract::Delivery;
use redirector_common::abi::Via;

use super::*;

fn request() -> FlagRequest {
    FlagRequest {
        target: String::from("192.0.2.10"),
        reason: String::from("spam run"),
        actor: String::from("alice"),
        ..FlagRequest::default()
    }
}

fn pool(name: &str, via: Via) -> PoolTerms {
    PoolTerms {
        name: name.to_owned(),
        via,
        third_party: false,
    }
}

#[track_caller]
fn read(request: &FlagRequest) -> Result<Proposal, Refusal> {
    Proposal::read(
        request,
        &[pool("default", Via::Rewrite), pool("other", Via::Steer)],
        Timestamp::UNIX_EPOCH,
    )
}

#[test]
fn defaults_are_a_redirect_to_the_first_pool_for_a_week() {
    let proposal = read(&request()).unwrap();
    assert_eq!(proposal.prefix, "192.0.2.10/32".parse().unwrap());
    assert_eq!(proposal.action.redirect().unwrap().pool, "default");
    assert_eq!(proposal.expires_at.at().as_second(), 7 * 24 * 3600);
    assert_eq!(proposal.grace_s, GRACE_S);
    assert_eq!(
        read(&FlagRequest {
            cut: true,
            ..request()
        })
        .unwrap()
        .grace_s,
        0
    );
}

#[test]
fn one_ipv6_address_stands_for_its_subnet_unless_exact() {
    let address = "2001:db8:a:a::10";
    assert_eq!(
        read_target(address, false),
        Ok("2001:db8:a:a::/64".parse().unwrap())
    );
    assert_eq!(
        read_target(address, true),
        Ok("2001:db8:a:a::10/128".parse().unwrap())
    );
    assert_eq!(
        read_target("2001:db8:a:a::10/128", false),
        Ok("2001:db8:a:a::10/128".parse().unwrap())
    );
    assert_eq!(
        read_target("192.0.2.10", false),
        Ok("192.0.2.10/32".parse().unwrap())
    );
}

#[test]
fn what_cannot_be_read_says_what_is_allowed() {
    let some = |text: &str| Some(String::from(text));
    let cases = [
        (
            FlagRequest {
                target: String::from("192.0.2.10/24"),
                ..request()
            },
            "the prefix is 192.0.2.0/24",
        ),
        (
            FlagRequest {
                target: String::from("example.net"),
                ..request()
            },
            "neither an address nor a prefix",
        ),
        (
            FlagRequest {
                target: String::from("::ffff:192.0.2.1"),
                ..request()
            },
            "give it as IPv4",
        ),
        (
            FlagRequest {
                action: some("throttle"),
                ..request()
            },
            "allowed are pass, observe, limit,",
        ),
        (
            FlagRequest {
                action: some("limit"),
                ..request()
            },
            "action limit needs a rate",
        ),
        (
            FlagRequest {
                action: some("limit"),
                rate: some("30/min"),
                pool: some("default"),
                ..request()
            },
            "belongs to action redirect, not limit",
        ),
        (
            FlagRequest {
                burst: Some(5),
                ..request()
            },
            "burst belongs to action limit, not redirect",
        ),
        (
            FlagRequest {
                pool: some("gone"),
                ..request()
            },
            "configured are: default, other",
        ),
        (
            FlagRequest {
                treatment: some("clear"),
                ..request()
            },
            "allowed are filter, opaque, walled",
        ),
        (
            FlagRequest {
                egress: some("tor"),
                ..request()
            },
            "allowed are pool, customer, socks5, pool+customer",
        ),
        (
            FlagRequest {
                delivery: some("spool"),
                ..request()
            },
            "allowed are cutthrough, cutthrough+spool, queue",
        ),
        (
            FlagRequest {
                delivery: some("queue"),
                treatment: some("walled"),
                ..request()
            },
            "leave out one of the two",
        ),
        (
            FlagRequest {
                action: some("observe"),
                delivery: some("queue"),
                ..request()
            },
            "delivery belongs to action redirect",
        ),
        (
            FlagRequest {
                tier: some("subject"),
                ..request()
            },
            "allowed are none, metadata, headers, body",
        ),
        (
            FlagRequest {
                action: some("drop"),
                tier: some("headers"),
                ..request()
            },
            "tier belongs to action redirect",
        ),
        (
            FlagRequest {
                limits: some("No Such"),
                ..request()
            },
            "allowed are 1 to 32 small letters, digits and hyphens",
        ),
        (
            FlagRequest {
                action: some("observe"),
                limits: some("small"),
                ..request()
            },
            "limits belongs to action redirect",
        ),
        (
            FlagRequest {
                action: some("drop"),
                pool: some("default"),
                ..request()
            },
            "belongs to action redirect",
        ),
        (
            FlagRequest {
                action: some("refuse"),
                confirmed: true,
                ..request()
            },
            "confirmed belongs to action redirect",
        ),
        (
            FlagRequest {
                treatment: some("opaque"),
                confirmed: true,
                ..request()
            },
            "leave out one of the two",
        ),
        (
            FlagRequest {
                life: some("soon"),
                ..request()
            },
            "not a duration",
        ),
        (
            FlagRequest {
                life: some("-1h"),
                ..request()
            },
            "not a duration",
        ),
        (
            FlagRequest {
                reason: String::from("a\r\n250 ok"),
                ..request()
            },
            "allowed is one line",
        ),
        (
            FlagRequest {
                actor: String::new(),
                ..request()
            },
            "allowed is one line",
        ),
    ];
    for (request, expected) in cases {
        match read(&request) {
            Err(Refusal::Usage(message)) => assert!(message.contains(expected), "{message}"),
            other => panic!("{request:?}: {other:?}"),
        }
    }
}

#[test]
fn a_treatment_is_for_relays_that_know_of_it() {
    for treatment in Treatment::ALL {
        let request = FlagRequest {
            treatment: Some(String::from(treatment.name())),
            ..request()
        };
        let proposal = read(&request).unwrap();
        assert_eq!(proposal.action.redirect().unwrap().treatment, treatment);
        let theirs = PoolTerms {
            third_party: true,
            ..pool("theirs", Via::Rewrite)
        };
        match Proposal::read(&request, &[theirs], Timestamp::UNIX_EPOCH) {
            Ok(_) => assert_eq!(treatment, Treatment::Filter),
            Err(Refusal::Usage(message)) => {
                assert_ne!(treatment, Treatment::Filter);
                assert!(message.contains("a third party's"), "{message}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_may_be_looked_at_and_done_is_said_to_a_relay_of_ours() {
    let request = FlagRequest {
        tier: Some(String::from("headers")),
        ..request()
    };
    let proposal = read(&request).unwrap();
    let tier = proposal.action.redirect().unwrap().tier;
    assert_eq!(tier, Some(Tier::Headers));
    let named = FlagRequest {
        limits: Some(String::from("small")),
        ..self::request()
    };
    let limits = read(&named)
        .unwrap()
        .action
        .redirect()
        .unwrap()
        .limits
        .clone();
    assert_eq!(limits.unwrap().as_str(), "small");
    let theirs = PoolTerms {
        third_party: true,
        ..pool("theirs", Via::Rewrite)
    };
    for request in [request, named] {
        let theirs = std::slice::from_ref(&theirs);
        let refused = Proposal::read(&request, theirs, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(refused.to_string().contains("a third party's"), "{refused}");
    }
}

#[test]
fn a_queue_is_for_mail_that_leaves_by_a_relay_of_ours() {
    let theirs = PoolTerms {
        third_party: true,
        ..pool("theirs", Via::Rewrite)
    };
    for delivery in Delivery::ALL {
        for treatment in ["filter", "opaque"] {
            let request = FlagRequest {
                treatment: Some(String::from(treatment)),
                delivery: Some(String::from(delivery.name())),
                ..request()
            };
            let proposal = read(&request).unwrap();
            assert_eq!(proposal.action.redirect().unwrap().delivery, delivery);
        }
        let request = FlagRequest {
            delivery: Some(String::from(delivery.name())),
            ..request()
        };
        let read = Proposal::read(
            &request,
            std::slice::from_ref(&theirs),
            Timestamp::UNIX_EPOCH,
        );
        match (delivery, read) {
            (Delivery::Cutthrough, Ok(_)) => {}
            (Delivery::CutthroughSpool | Delivery::Queue, Err(Refusal::Usage(message))) => {
                assert!(message.contains("a third party's"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_relays_of_our_own_know_what_confirmed_means() {
    let request = FlagRequest {
        confirmed: true,
        ..request()
    };
    let proposal = read(&request).unwrap();
    assert!(proposal.action.redirect().unwrap().confirmed);
    let theirs = PoolTerms {
        third_party: true,
        ..pool("theirs", Via::Rewrite)
    };
    let refused = Proposal::read(&request, &[theirs], Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(matches!(&refused, Refusal::Usage(message) if message.contains("a third party's")));
}

#[test]
fn a_customers_address_is_lent_only_to_relays_that_answers_find() {
    let customer = |pool: &str| FlagRequest {
        egress: Some(String::from("customer")),
        pool: Some(pool.to_owned()),
        ..request()
    };
    let proposal = read(&customer("other")).unwrap();
    assert_eq!(proposal.action.redirect().unwrap().egress, Egress::Customer);
    let refused =
        "egress customer: needs a pool that is via = \"steer\", and default is via = \"rewrite\"";
    let usage = |instead: &str| Err(Refusal::Usage(format!("{refused}; {instead}")));
    assert_eq!(
        read(&customer("default")),
        usage("name one that is with --pool: other")
    );
    assert_eq!(
        Proposal::read(
            &customer("default"),
            &[pool("default", Via::Rewrite)],
            Timestamp::UNIX_EPOCH
        ),
        usage("configure a pool that is, and name it with --pool")
    );
}

#[test]
fn a_reason_and_an_end_are_guarded() {
    let refused = |request| matches!(read(&request), Err(Refusal::Guard(_)));
    assert!(refused(FlagRequest {
        reason: String::from("  "),
        ..request()
    }));
    assert!(refused(FlagRequest {
        life: Some(String::from("91d")),
        ..request()
    }));
    assert!(
        read(&FlagRequest {
            life: Some(String::from("90d")),
            ..request()
        })
        .is_ok()
    );
}

#[test]
fn a_flag_fits_into_160_octets() {
    // The next that an allocator has is 192, and there may be a million of them.
    assert!(size_of::<Flag>() <= 160, "{}", size_of::<Flag>());
}
