//! Captures: files of frames as `tcpdump` and Wireshark write and read them.
//!
//! [`read`] takes pcap and pcapng, of either octet order, frame by frame: a file of any size needs memory for
//! one frame. [`write`] makes pcapng, because only that has room for what became of a frame.

pub mod read;
pub mod write;
