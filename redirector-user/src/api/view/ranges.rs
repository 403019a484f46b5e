//! Announced prefixes, and what of them no flag is about.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/ranges/gaps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GapsRequest {
    /// What the operator announces.
    #[schema(value_type = Vec<String>)]
    pub announced: Vec<IpNetwork>,
}

/// A prefix that is not wholly under a flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GapView {
    /// As it is announced.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// Whether it is in one of the customer prefixes of the configuration; if not, nobody in it can be flagged.
    pub customers: bool,
    /// The share of it that flags are about, from 0 to 1.
    pub covered: f64,
    /// The rest, in as few prefixes as it takes.
    #[schema(value_type = Vec<String>)]
    pub left: Vec<IpNetwork>,
    /// Whether there is more of it than is named.
    pub more: bool,
}
