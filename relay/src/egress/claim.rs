//! A message in the count of the way that it leaves by.

use std::sync::Arc;

use jiff::civil::Date;

use super::endpoint::Endpoint;
use super::warm_up::Tally;

/// A message that is to leave by a way. Dropped without [`Claim::sent`] it is taken back.
#[derive(Debug)]
pub(crate) struct Claim(pub(super) Option<Counted>);

/// Where it is counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) endpoint: Arc<Endpoint>,
    /// And on which day, if the endpoint warms up.
    pub(super) tally: Option<(Arc<Tally>, Date)>,
}

impl Claim {
    /// The destination has been sent content: from here on the message counts, whatever becomes of it, because that
    /// is what receivers count.
    pub(crate) fn sent(mut self) {
        if let Some(counted) = self.0.take() {
            counted.endpoint.count();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(Counted {
            endpoint,
            tally: Some((tally, day)),
        }) = &self.0
        {
            tally.give_back(&endpoint.key, *day);
        }
    }
}
