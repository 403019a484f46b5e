//! What was seen of a customer that asks for port 25.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FlagView;
use crate::precheck::{Finding, Fqdn, Verdict};

/// `POST /v1/precheck`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PrecheckView {
    /// Who asks.
    #[schema(value_type = String)]
    pub target: IpNetwork,
    /// In whose name.
    #[schema(value_type = String)]
    pub domain: Fqdn,
    /// The worst of the findings.
    pub verdict: Verdict,
    /// Each thing that was looked at.
    pub findings: Vec<Finding>,
    /// Why it was not let out, although that was asked for.
    pub refused: Option<String>,
    /// The flag by which it was let out.
    pub flag: Option<Box<FlagView>>,
}
