//! What the relay does for one customer, word by word.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::LimitsName;

/// What the relay does for one redirected customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CustomerPolicy {
    /// The flagged address or prefix.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub prefix: IpNetwork,
    /// The flag, as `outgate flag show` prints it.
    pub flag_id: u32,
    /// Pool that the edge sends it to.
    pub pool: String,
    /// What the relay does.
    pub treatment: Treatment,
    /// Address that the relay's own leg to the MX leaves from.
    pub egress: Egress,
    /// Why, as the abuse desk wrote it; part of what a refused sender reads.
    pub reason: String,
    /// When the flag ends by itself.
    pub expires_at: Timestamp,
    /// Known to abuse: nothing that it sends or does makes the relay splice its sessions. An older controller does
    /// not say.
    #[serde(default)]
    pub confirmed: bool,
    /// When the customer hears 250. An older controller does not say, and means cut-through.
    #[serde(default)]
    pub delivery: Delivery,
    /// What of its mail may be looked at; `None` = what the relay's own configuration says.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// What it may do, by a name of the relay's configuration; `None` = what everybody may.
    #[serde(default)]
    pub limits: Option<LimitsName>,
}

/// What the relay does with a redirected connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Own certificate on STARTTLS, scan, then deliver by cut-through.
    #[default]
    Filter,
    /// TLS stays end to end: after STARTTLS the session is spliced to its destination untouched, and what is said
    /// in clear text is scanned as by `filter`.
    Opaque,
    /// Every recipient is refused with the reason, but for the operator's abuse@ and postmaster@.
    Walled,
}

impl Treatment {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Filter, Self::Opaque, Self::Walled];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Opaque => "opaque",
            Self::Walled => "walled",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// What of a customer's mail may be looked at and kept; each tier holds those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Nothing: no scanner is asked.
    None,
    /// Who sends to whom, when and how much.
    Metadata,
    /// The header section, too.
    Headers,
    /// All of it.
    Body,
}

impl Tier {
    /// All of them, the one that shows least first.
    pub const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Headers, Self::Body];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Headers => "headers",
            Self::Body => "body",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// When the customer hears 250, and so who tries again: it, or the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Delivery {
    /// When its destination has said 250; every answer is the destination's own.
    #[default]
    #[serde(rename = "cutthrough")]
    Cutthrough,
    /// The same, but what the destination defers, or does not answer, goes into the relay's queue.
    #[serde(rename = "cutthrough+spool")]
    CutthroughSpool,
    /// When the relay's disk has the message. It goes by the recipients' MXs, the original destination first.
    #[serde(rename = "queue")]
    Queue,
}

impl Delivery {
    /// All of them, the default first.
    pub const ALL: [Self; 3] = [Self::Cutthrough, Self::CutthroughSpool, Self::Queue];

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cutthrough => "cutthrough",
            Self::CutthroughSpool => "cutthrough+spool",
            Self::Queue => "queue",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Where the relay's own leg to the MX leaves from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// An address of the relay.
    #[default]
    Pool,
    /// The customer's own address; the pool must be via = "steer".
    Customer,
    /// A SOCKS5 proxy of the relay's configuration.
    Socks5,
    /// An address of the relay, and the customer's own for a message that receivers would refuse from anywhere else
    /// (DMARC); the pool must be via = "steer".
    #[serde(rename = "pool+customer")]
    PoolOrCustomer,
}

impl Egress {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [
        Self::Pool,
        Self::Customer,
        Self::Socks5,
        Self::PoolOrCustomer,
    ];

    /// Whether the relay may use the customer's own address.
    #[must_use]
    pub const fn lends_address(self) -> bool {
        match self {
            Self::Customer | Self::PoolOrCustomer => true,
            Self::Pool | Self::Socks5 => false,
        }
    }

    /// Its name, as serde writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PoolOrCustomer => "pool+customer",
            Self::Pool => "pool",
            Self::Customer => "customer",
            Self::Socks5 => "socks5",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Source ports of a leg with [`Egress::Customer`]. By them the edge tells what comes back to the relay
/// from what comes back to the customer, whose kernel uses them last if at all.
pub const CUSTOMER_EGRESS_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_treatment_has_one_name() {
        for treatment in Treatment::ALL {
            let written = serde_json::to_value(treatment).unwrap();
            assert_eq!(written, treatment.name());
            assert_eq!(Treatment::from_name(treatment.name()), Some(treatment));
        }
    }

    #[test]
    fn a_delivery_has_one_name() {
        for delivery in Delivery::ALL {
            let written = serde_json::to_value(delivery).unwrap();
            assert_eq!(written, delivery.name());
            assert_eq!(Delivery::from_name(delivery.name()), Some(delivery));
        }
    }

    #[test]
    fn a_tier_has_one_name() {
        for tier in Tier::ALL {
            let written = serde_json::to_value(tier).unwrap();
            assert_eq!(written, tier.name());
            assert_eq!(Tier::from_name(tier.name()), Some(tier));
        }
    }

    #[test]
    fn an_egress_has_one_name() {
        for egress in Egress::ALL {
            let written = serde_json::to_value(egress).unwrap();
            assert_eq!(written, egress.name());
            assert_eq!(Egress::from_name(egress.name()), Some(egress));
        }
        assert_eq!(Egress::from_name("later"), None);
    }
}
