//! The steps that have made the schema.

use super::{POSTGRES, SQLITE};

/// Version, the one database that needs it (as `backend_name` spells it) if not all, description, text.
pub(super) type Step = (i64, Option<&'static str>, &'static str, &'static str);

pub(super) const MIGRATIONS: &[Step] = &[
    (
        1,
        None,
        "tables",
        include_str!("../migrations/0001_tables.sql"),
    ),
    (
        2,
        Some(SQLITE),
        "append-only trail",
        include_str!("../migrations/0002_append_only_sqlite.sql"),
    ),
    (
        2,
        Some(POSTGRES),
        "append-only trail",
        include_str!("../migrations/0002_append_only_postgres.sql"),
    ),
    (
        3,
        None,
        "drained relays",
        include_str!("../migrations/0003_drains.sql"),
    ),
    (
        4,
        None,
        "confirmed customers",
        include_str!("../migrations/0004_confirmed.sql"),
    ),
    (
        5,
        None,
        "delivery",
        include_str!("../migrations/0005_delivery.sql"),
    ),
    (
        6,
        None,
        "users of submission",
        include_str!("../migrations/0006_submission.sql"),
    ),
    (
        7,
        None,
        "what may be looked at",
        include_str!("../migrations/0007_tier.sql"),
    ),
    (
        8,
        None,
        "rules",
        include_str!("../migrations/0008_rules.sql"),
    ),
    (
        9,
        Some(SQLITE),
        "figures of rotations",
        include_str!("../migrations/0009_rotations_sqlite.sql"),
    ),
    (
        9,
        Some(POSTGRES),
        "figures of rotations",
        include_str!("../migrations/0009_rotations_postgres.sql"),
    ),
    (
        10,
        None,
        "events",
        include_str!("../migrations/0010_events.sql"),
    ),
    (
        11,
        None,
        "flags for ever",
        include_str!("../migrations/0011_for_ever.sql"),
    ),
    (
        12,
        None,
        "exemptions",
        include_str!("../migrations/0012_exemptions.sql"),
    ),
    (
        13,
        None,
        "bypasses",
        include_str!("../migrations/0013_bypasses.sql"),
    ),
    (
        14,
        None,
        "customers",
        include_str!("../migrations/0014_customers.sql"),
    ),
    (
        15,
        None,
        "whom flags are for",
        include_str!("../migrations/0015_tenants.sql"),
    ),
    (
        17,
        None,
        "trail by time",
        include_str!("../migrations/0017_trail.sql"),
    ),
    (
        18,
        None,
        "tokens of the API",
        include_str!("../migrations/0018_tokens.sql"),
    ),
    (
        19,
        None,
        "requests with a key",
        include_str!("../migrations/0019_requests.sql"),
    ),
    (
        20,
        None,
        "webhooks and notices",
        include_str!("../migrations/0020_notices.sql"),
    ),
    (
        21,
        None,
        "limits by name",
        include_str!("../migrations/0021_limits.sql"),
    ),
    (
        22,
        Some(SQLITE),
        "where the trail begins",
        include_str!("../migrations/0022_audit_anchors_sqlite.sql"),
    ),
    (
        22,
        Some(POSTGRES),
        "where the trail begins",
        include_str!("../migrations/0022_audit_anchors_postgres.sql"),
    ),
    (
        23,
        None,
        "listings",
        include_str!("../migrations/0023_listings.sql"),
    ),
    (
        24,
        Some(POSTGRES),
        "several edges",
        include_str!("../migrations/0024_feed_postgres.sql"),
    ),
];
