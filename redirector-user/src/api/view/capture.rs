//! The frames that the program takes, line by line.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/capture`: asks for the frames that the program takes. The answer is a line of JSON for each
/// [`CaptureLine`], until it ends or the connection is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// Frames from or to this prefix alone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub source: Option<IpNetwork>,
    /// Octets of each frame, 1 to 2048; without it the headers, and no payload.
    #[serde(default)]
    pub octets: Option<u32>,
    /// It ends with so many frames.
    #[serde(default)]
    pub count: Option<u64>,
    /// It ends after so many seconds.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Who, for the log.
    #[serde(default)]
    pub actor: String,
}

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureLine {
    /// A frame was taken.
    Frame(Box<CapturedView>),
    /// It goes on; told every second.
    Going {
        /// Frames that found no room so far.
        lost: u64,
    },
    /// It has ended, and nothing follows.
    Ended {
        /// Frames that found no room.
        lost: u64,
    },
}

/// A frame that the program took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CapturedView {
    /// When.
    pub at: Timestamp,
    /// Interface that it came in by.
    pub interface: String,
    /// `drop`, `tx` or `redirect`.
    pub verdict: String,
    /// Counter that says most about it.
    pub counter: String,
    /// Number of the relay that it went to or came from.
    pub relay: Option<u32>,
    /// The flag behind it.
    pub flag_id: Option<u32>,
    /// How long it was.
    pub octets: u32,
    /// Whether `frame` is as it left, not as it came in.
    pub as_it_left: bool,
    /// What was kept of it, in hexadecimal.
    pub frame: String,
}
