//! The driver in a world without disks, DNS and sockets, on tokio's paused clock.

mod deliveries;
mod faults;
mod handover;
mod restart;
mod scene;
mod world;
