//! The address that the relay's own leg to the MX leaves from, by the customer's policy.

use std::io;

use contract::Egress;
use tokio::net::TcpStream;

use crate::origin::OriginalDst;

mod pool;

/// Connects to the customer's destination. The caller bounds the time.
pub(crate) async fn connect(egress: Egress, destination: OriginalDst) -> io::Result<TcpStream> {
    match egress {
        Egress::Pool => pool::connect(destination).await,
        Egress::Customer => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}
