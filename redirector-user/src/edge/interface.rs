//! Interfaces of this network namespace, as the kernel tells them over rtnetlink.

use std::{future::Future, io, panic};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp,
        VlanProtocol,
    },
};
use rtnetlink::{Handle, MulticastGroup, packet_core::NetlinkPayload};
use rustix::io::Errno;

/// What the edge needs to know of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Ethernet address; a tunnel or loopback has none that means anything.
    pub(crate) mac: Option<[u8; 6]>,
    /// Set for a VLAN device.
    pub(crate) vlan: Option<Vlan>,
    /// The XDP program that runs on it.
    pub(crate) xdp: Option<Xdp>,
    /// Whether frames can pass: it is up, and so is its other end.
    pub(crate) running: bool,
    /// Largest packet in octets.
    pub(crate) mtu: u32,
    /// Whether it is one end of a veth pair.
    pub(crate) veth: bool,
}

/// What a VLAN device adds to frames, and where they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vlan {
    pub(crate) parent: u32,
    pub(crate) id: u16,
    pub(crate) tpid: u16,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Xdp {
    pub(crate) program_id: u32,
    /// In the driver (or in the card), as opposed to the generic hook.
    pub(crate) native: bool,
}

/// An rtnetlink connection for the network namespace of the calling thread, driven by a task of the
/// current runtime until the handle is dropped.
pub(crate) fn connect() -> io::Result<Handle> {
    let (connection, handle, _messages) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The interface of that name, if there is one.
pub(crate) async fn by_name(handle: &Handle, name: &str) -> io::Result<Option<Interface>> {
    one(handle
        .link()
        .get()
        .match_name(name)
        .execute()
        .try_next()
        .await)
}

/// The interface of that index, if there is one.
pub(crate) async fn by_index(handle: &Handle, index: u32) -> io::Result<Option<Interface>> {
    one(handle
        .link()
        .get()
        .match_index(index)
        .execute()
        .try_next()
        .await)
}

/// What became of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has come, or something about it is another.
    Is(Interface),
    /// The interface of that name has gone.
    Gone(String),
    /// Messages were lost: anything may have changed.
    Unknown,
}

/// What becomes of the interfaces of this network namespace, from now on.
pub(crate) fn changes() -> io::Result<impl Stream<Item = Change> + Unpin> {
    let (connection, handle, messages) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
    tokio::spawn(connection);
    Ok(messages.filter_map(move |(message, _from)| {
        // The connection ends with its last handle.
        let _open = &handle;
        std::future::ready(match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                Some(Change::Is(read(&link)))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                Some(Change::Gone(read(&link).name))
            }
            NetlinkPayload::Overrun(_) => Some(Change::Unknown),
            _ => None,
        })
    }))
}

/// Runs a future to its end on a thread of its own, for the blocking half of this crate.
///
/// The new thread inherits the caller's network namespace, and unlike the caller it is surely not
/// a worker of a runtime, where blocking would panic.
pub(crate) fn blocking<T: Send>(
    future: impl Future<Output = io::Result<T>> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(future)
            })
            .join()
            .unwrap_or_else(|panicked| panic::resume_unwind(panicked))
    })
}

/// What rtnetlink reported, with the kernel's error number where there is one.
pub(crate) fn netlink_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

fn one(answer: Result<Option<LinkMessage>, rtnetlink::Error>) -> io::Result<Option<Interface>> {
    match answer.map_err(netlink_error) {
        Ok(message) => Ok(message.as_ref().map(read)),
        Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(message: &LinkMessage) -> Interface {
    let mut interface = Interface {
        index: message.header.index,
        name: String::new(),
        mac: None,
        vlan: None,
        xdp: None,
        running: message.header.flags.contains(LinkFlags::Running),
        mtu: 0,
        veth: false,
    };
    let mut parent = None;
    let mut tag = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => interface.name.clone_from(name),
            LinkAttribute::Address(octets) => {
                interface.mac = <[u8; 6]>::try_from(octets.as_slice())
                    .ok()
                    .filter(|mac| *mac != [0; 6]);
            }
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                tag = infos.iter().find_map(vlan_tag);
                interface.veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth));
            }
            LinkAttribute::Mtu(octets) => interface.mtu = *octets,
            LinkAttribute::Xdp(attributes) => interface.xdp = read_xdp(attributes),
            _ => {}
        }
    }
    interface.vlan = parent
        .zip(tag)
        .map(|(parent, (tpid, id))| Vlan { parent, id, tpid });
    interface
}

fn vlan_tag(info: &LinkInfo) -> Option<(u16, u16)> {
    let LinkInfo::Data(InfoData::Vlan(attributes)) = info else {
        return None;
    };
    let mut id = None;
    let mut protocol = VlanProtocol::default();
    for attribute in attributes {
        match attribute {
            InfoVlan::Id(number) => id = Some(*number),
            InfoVlan::Protocol(found) => protocol = *found,
            _ => {}
        }
    }
    id.map(|id| (u16::from(protocol), id))
}

fn read_xdp(attributes: &[LinkXdp]) -> Option<Xdp> {
    let mut any = None;
    let mut native = None;
    for attribute in attributes {
        match attribute {
            LinkXdp::ProgId(id) => any = Some(*id),
            LinkXdp::DrvProgId(id) | LinkXdp::HwProgId(id) => native = Some(*id),
            LinkXdp::SkbProgId(id) if any.is_none() => any = Some(*id),
            _ => {}
        }
    }
    native
        .map(|program_id| Xdp {
            program_id,
            native: true,
        })
        .or_else(|| {
            any.map(|program_id| Xdp {
                program_id,
                native: false,
            })
        })
        .filter(|xdp| xdp.program_id != 0)
}
