//! The veth pair: made when it is missing, reused when an earlier controller has left it, removed when nobody
//! asks for it any more.

use std::io;

use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkMessage,
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};

use super::{ENDS, FAR_END, INTERFACE, offload};
use crate::edge::{
    EdgeError,
    interface::{self, Interface, netlink_error},
};

/// Makes the pair if it is not there, and brings it up.
///
/// # Errors
///
/// [`EdgeError::NotPermitted`], [`EdgeError::NameTaken`] if another kind of interface has one of its names, else
/// what the kernel answers.
pub async fn prepare() -> Result<(), EdgeError> {
    let what = || format!("making the veth pair {INTERFACE}");
    let handle = connect().await?;
    let found = ends(&handle).await?;
    let ends = match found {
        [Some(near), Some(far)] => [near, far],
        // The other end was moved into another namespace; it ends with this one.
        [Some(lone), None] | [None, Some(lone)] => {
            delete(&handle, lone.index).await?;
            make(&handle)
                .await
                .map_err(|error| EdgeError::kernel(what(), error))?
        }
        [None, None] => make(&handle)
            .await
            .map_err(|error| EdgeError::kernel(what(), error))?,
    };
    for end in &ends {
        // Without addresses of its own the kernel says nothing on this wire. Where it has no IPv6 it has nothing
        // to say either.
        if let Err(error) = change(&handle, silent(end.index)).await {
            tracing::debug!(interface = end.name, %error, "no IPv6 to be silenced");
        }
        change(&handle, LinkUnspec::new_with_index(end.index).up().build())
            .await
            .map_err(|error| EdgeError::kernel(format!("bringing {} up", end.name), error))?;
    }
    offload::switch_on(FAR_END).map_err(|error| {
        EdgeError::kernel(
            format!("switching generic receive offload of {FAR_END} on"),
            error,
        )
    })
}

/// Whether a probe can leave by the pair: both ends are up, and the program is on the near one.
///
/// # Errors
///
/// What the kernel answers.
pub async fn is_whole() -> Result<bool, EdgeError> {
    let found = ends(&connect().await?).await?;
    Ok(match found {
        [Some(near), Some(far)] => near.running && far.running && near.xdp.is_some(),
        [Some(_), None] | [None, Some(_)] | [None, None] => false,
    })
}

/// Removes the pair, if it is there. What is attached to it must be detached first.
///
/// # Errors
///
/// [`EdgeError::NotPermitted`], else what the kernel answers.
pub async fn remove() -> Result<(), EdgeError> {
    let handle = connect().await?;
    match ends(&handle).await {
        // One end takes the other along.
        Ok([Some(end), _] | [None, Some(end)]) => delete(&handle, end.index).await,
        // Somebody else's is not ours to remove.
        Ok([None, None]) | Err(EdgeError::NameTaken { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn connect() -> Result<Handle, EdgeError> {
    interface::connect().map_err(|error| EdgeError::kernel("opening a netlink socket", error))
}

/// What there is of the pair.
async fn ends(handle: &Handle) -> Result<[Option<Interface>; 2], EdgeError> {
    let mut found = [None, None];
    for (slot, name) in found.iter_mut().zip(ENDS) {
        let end = interface::by_name(handle, name)
            .await
            .map_err(|error| EdgeError::kernel(format!("looking up interface {name}"), error))?;
        if end.as_ref().is_some_and(|end| !end.veth) {
            return Err(EdgeError::NameTaken {
                interface: name.to_owned(),
            });
        }
        *slot = end;
    }
    Ok(found)
}

async fn make(handle: &Handle) -> io::Result<[Interface; 2]> {
    let pair = LinkVeth::new(INTERFACE, FAR_END).build();
    let added = handle.link().add(pair).execute().await;
    added.map_err(netlink_error)?;
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let near = interface::by_name(handle, INTERFACE).await?;
    let far = interface::by_name(handle, FAR_END).await?;
    Ok([near.ok_or_else(gone)?, far.ok_or_else(gone)?])
}

async fn delete(handle: &Handle, index: u32) -> Result<(), EdgeError> {
    let deleted = handle.link().del(index).execute().await;
    deleted
        .map_err(netlink_error)
        .map_err(|error| EdgeError::kernel(format!("removing the veth pair {INTERFACE}"), error))
}

/// An interface without a link-local address: no router solicitations, no multicast reports.
fn silent(index: u32) -> LinkMessage {
    let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let mut message = LinkUnspec::new_with_index(index).build();
    message
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(
            vec![none],
        )]));
    message
}

async fn change(handle: &Handle, message: LinkMessage) -> io::Result<()> {
    let changed = handle.link().set(message).execute().await;
    changed.map_err(netlink_error)
}
