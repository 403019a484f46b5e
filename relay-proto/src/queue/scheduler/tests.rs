//! The scheduler on a virtual clock, against sites that answer, dawdle, strain and die.

mod bounds;
mod control;
mod memory;
mod random;
mod sim;
mod sites;
