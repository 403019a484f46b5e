//! Access to the octets of one frame, without saying where they live.

use crate::{abi::L2Path, checksum::Difference, parse::ether::Link, rewrite};

/// One frame under judgement.
///
/// Offsets count from the first octet of the Ethernet header. All windows are of fixed size, because
/// the verifier follows those best; a window that does not fit is `None`, never a panic. Whoever
/// rewrites opens every window that may not fit before the first write, so that a frame is changed
/// whole or not at all.
///
/// What has a body here is what a frame that is nothing but octets does. An `skb` has more to it: a tag
/// and checksums beside the octets, and octets out of a window's reach.
pub trait Frame: Sized {
    /// Reads `N` octets at `at`.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Writes `N` octets at `at`; `false` = nothing was written.
    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool;

    /// Octets of the whole frame.
    fn octets(&self) -> usize;

    /// Makes the frame longer (or shorter, if negative) by `by` octets at its head. The new octets
    /// are undefined. `false` = nothing changed: there was no headroom.
    fn grow_head(&mut self, by: i32) -> bool;

    /// Cuts the tail, or makes it longer, so that the frame has `octets`; new ones are zero.
    /// `false` = nothing changed: there was no room.
    fn resize(&mut self, octets: usize) -> bool;

    /// The frame is about to be changed: whoever captures keeps it as it came. Everything that writes
    /// says so before its first write; what is said again later is about the same frame.
    #[inline(always)]
    fn about_to_change(&mut self) {}

    /// The frame was changed and passes all the same, which nobody captures.
    #[inline(always)]
    fn about_to_pass(&mut self) {}

    /// Lets windows reach the first `octets` octets, or all, if there are fewer.
    #[inline(always)]
    fn reach(&self, _octets: usize) {}

    /// The outer tag where it is not among the octets, TPID then TCI; zeros = it is, or there is none.
    #[inline(always)]
    fn tag_beside(&self) -> [u8; 4] {
        [0; 4]
    }

    /// Octets of the Ethernet header of a path, as far as it is among the frame's octets.
    #[inline(always)]
    fn link_octets(&self, path: &L2Path) -> u16 {
        rewrite::path_octets(path)
    }

    /// Puts the path's Ethernet header in the place of the one that `link` is of. `false` = it could not
    /// be done; the frame is then fit for nothing but a drop.
    #[inline(always)]
    fn replace_link(&mut self, link: &Link, path: &L2Path, ethertype_be: [u8; 2]) -> bool {
        rewrite::replace_link(self, link, path, ethertype_be)
    }

    /// Octets of payload of each piece that a merged frame is taken apart into when it leaves; 0 = it is in one piece.
    #[inline(always)]
    fn piece_octets(&self) -> usize {
        0
    }

    /// Puts the path's Ethernet header in the place of the one that `link` is of, and behind it room for an IP header of
    /// `octets` octets around the packet, of that EtherType; what stands in it is undefined. `false` as before.
    #[inline(always)]
    fn make_room(
        &mut self,
        link: &Link,
        path: &L2Path,
        ethertype_be: [u8; 2],
        octets: u16,
    ) -> bool {
        let by = i32::from(rewrite::path_octets(path)) + i32::from(octets) - i32::from(link.octets);
        self.grow_head(by) && rewrite::write_link(self, path, ethertype_be)
    }

    /// Takes the IP header of `octets` octets behind the Ethernet header away. The packet that is left is of that
    /// EtherType, behind the same tags, of which the outer one may stand beside the octets now. `false` as before.
    #[inline(always)]
    fn take_room(&mut self, link: &Link, ethertype_be: [u8; 2], octets: u16) -> bool {
        rewrite::cut_out(self, link, ethertype_be, octets)
    }

    /// Makes the frame one of `octets` by that path, of the same EtherType, to be written anew behind its
    /// Ethernet header: nothing that an executor had planned for the old octets (merged segments, a
    /// checksum still to be computed) is left. `l4` is where the TCP header was. `false` as before.
    #[inline(always)]
    fn begin_anew(&mut self, link: &Link, _l4: u16, path: &L2Path, octets: usize) -> bool {
        rewrite::lengthen(self, octets) && rewrite::write_link(self, path, link.ethertype_be)
    }

    /// Changes the TCP checksum at `at`: by what changed in the pseudo-header, and by what changed under
    /// the checksum itself. A partial checksum covers the former alone, until the kernel or a network card
    /// completes it.
    #[inline(always)]
    fn change_checksum(&mut self, at: usize, pseudo: Difference, segment: Difference) -> bool {
        self.change_header_checksum(at, pseudo.and(segment))
    }

    /// Changes the checksum of an IPv4 header, which is always whole.
    #[inline(always)]
    fn change_header_checksum(&mut self, at: usize, difference: Difference) -> bool {
        match self.read::<2>(at) {
            Some(old) => self.write(at, &difference.apply(old)),
            None => false,
        }
    }

    /// Says that octets of the packet have changed for which no checksum in it makes up, besides those
    /// that [`Frame::change_checksum`] is told as the pseudo-header's: a network card may have summed the
    /// whole packet.
    #[inline(always)]
    fn packet_changed(&mut self, _difference: Difference) {}
}

/// A frame in memory, with headroom as a driver leaves it.
#[derive(Clone, Debug)]
pub struct Buffer {
    memory: [u8; HEADROOM + CAPACITY],
    start: usize,
    end: usize,
}

impl Buffer {
    /// A copy of a frame; `None` if it is longer than [`CAPACITY`].
    #[must_use]
    pub fn new(frame: &[u8]) -> Option<Self> {
        let mut memory = [0; HEADROOM + CAPACITY];
        let end = HEADROOM + frame.len();
        memory.get_mut(HEADROOM..end)?.copy_from_slice(frame);
        Some(Self {
            memory,
            start: HEADROOM,
            end,
        })
    }

    /// The same without room for another tag, as some network cards leave it.
    #[must_use]
    pub fn without_headroom(frame: &[u8]) -> Option<Self> {
        let mut memory = [0; HEADROOM + CAPACITY];
        memory.get_mut(..frame.len())?.copy_from_slice(frame);
        Some(Self {
            memory,
            start: 0,
            end: frame.len(),
        })
    }

    /// The same without room behind it, as virtual interfaces leave it.
    #[must_use]
    pub fn without_tailroom(frame: &[u8]) -> Option<Self> {
        let mut memory = [0; HEADROOM + CAPACITY];
        let start = memory.len().checked_sub(frame.len())?;
        memory.get_mut(start..)?.copy_from_slice(frame);
        Some(Self {
            memory,
            start,
            end: HEADROOM + CAPACITY,
        })
    }

    /// The frame as it is now.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }
}

impl Frame for Buffer {
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.as_slice().get(at..)?.first_chunk().copied()
    }

    fn write<const N: usize>(&mut self, at: usize, octets: &[u8; N]) -> bool {
        let window = self
            .memory
            .get_mut(self.start..self.end)
            .and_then(|frame| frame.get_mut(at..))
            .and_then(|rest| rest.first_chunk_mut::<N>());
        match window {
            Some(window) => {
                *window = *octets;
                true
            }
            None => false,
        }
    }

    fn octets(&self) -> usize {
        self.end - self.start
    }

    fn grow_head(&mut self, by: i32) -> bool {
        let distance = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let start = if by < 0 {
            self.start.checked_add(distance)
        } else {
            self.start.checked_sub(distance)
        };
        match start {
            Some(start) if start <= self.end => {
                self.start = start;
                true
            }
            _ => false,
        }
    }

    fn resize(&mut self, octets: usize) -> bool {
        match self.start.checked_add(octets) {
            Some(end) if end <= self.memory.len() => {
                if let Some(new) = self.memory.get_mut(self.end..end) {
                    new.fill(0);
                }
                self.end = end;
                true
            }
            _ => false,
        }
    }
}

/// Longest frame that a [`Buffer`] holds.
pub const CAPACITY: usize = 2048;
/// Octets before it, `XDP_PACKET_HEADROOM`.
const HEADROOM: usize = 256;
