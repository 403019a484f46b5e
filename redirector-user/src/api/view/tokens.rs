//! Tokens of the API.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::token::Scope;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// Whose it is: the actor of all that is done with it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who wanted it.
    pub created_by: String,
    /// From when on it is no good.
    pub expires_at: Timestamp,
    /// Whether that is so now.
    pub expired: bool,
    /// The day on which it was last of use, by its beginning in UTC; `None` = never.
    pub used_on: Option<Timestamp>,
}

/// What making a token is answered with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenToldView {
    /// The token.
    #[serde(flatten)]
    pub token: TokenView,
    /// What to show (`Authorization: Bearer ...`). It is told this once.
    pub secret: String,
}

/// Without the secret.
impl fmt::Debug for TokenToldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenToldView")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
