//! Notices to customers.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{notice::Kind, policy::dial::FlagId};

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Its number.
    pub id: u64,
    /// What it says, as far as is known by now.
    pub kind: Option<Kind>,
    /// The flags that it tells of, oldest first.
    pub flags: Vec<FlagId>,
    /// About whom.
    #[schema(value_type = String)]
    pub prefix: IpNetwork,
    /// To whom.
    pub mail: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What became of it.
    pub state: NoticeState,
    /// When it is tried, if it waits.
    pub next_at: Option<Timestamp>,
    /// When it was sent or given up.
    pub done_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// What became of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It is still to be sent.
    Waiting,
    /// The submission server has it.
    Sent,
    /// It was given up.
    Lost,
}

/// What a customer would be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticePreview {
    /// What it says.
    pub kind: Kind,
    /// Whom it would go to; `None` = nobody.
    pub mail: Option<String>,
    /// One line.
    pub subject: String,
    /// The rest.
    pub text: String,
}
