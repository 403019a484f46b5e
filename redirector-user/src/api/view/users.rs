//! Users of submission.

use std::fmt;

use contract::Generation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Name.
    pub name: String,
    /// Whose it is.
    pub customer: Option<String>,
    /// It may not log in.
    pub disabled: bool,
    /// It can log in by SCRAM-SHA-256.
    pub scram: bool,
    /// Domains that it may write as; none = any.
    pub sender_domains: Vec<String>,
    /// Messages in an hour.
    pub messages_per_hour: u32,
    /// Recipients of one message.
    pub recipients_per_message: u32,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
}

/// What a change of a user is answered with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserToldView {
    /// As it is now, or was when it was removed.
    #[serde(flatten)]
    pub user: UserView,
    /// The password, if it was made now. It is told this once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password: Option<String>,
    /// With which generation relays know.
    pub generation: Generation,
}

/// Without the password.
impl fmt::Debug for UserToldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserToldView")
            .field("user", &self.user)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
