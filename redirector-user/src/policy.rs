//! What the operator decides about customers, and what follows from it for the edge. Pure: no clock, no
//! store, no kernel; time, pools and what the kernel holds are arguments.
//!
//! [`dial`] reads a wish into a [`dial::Proposal`], [`guards`] judges it, a stored one is a [`dial::Flag`],
//! [`ledger`] keeps all of them at hand, [`past`] says which were in force once, [`tenant`] whose a prefix is, [`rules`] makes
//! them of figures, [`desired`] says what the kernel's maps must hold, and [`refusal`] what the edge itself says.

pub mod announced;
pub mod bypass;
pub mod condition;
pub mod desired;
pub mod dial;
pub mod exemption;
pub mod extent;
pub mod gaps;
pub mod guards;
pub mod import;
pub mod ledger;
pub mod limit;
pub mod moment;
pub mod past;
pub mod prefixes;
pub mod refusal;
pub mod rules;
pub mod tenant;
pub mod text;
pub mod token;
pub mod user;
