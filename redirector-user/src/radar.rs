//! The radar: who sends how, from what the kernel program has counted.
//!
//! [`window`] keeps finished windows and adds them up, [`sketch`] estimates distinct destinations,
//! [`score`] makes one explained number of it, [`view`] is what the API says. All of it is pure: the
//! controller brings the windows and the time. Nothing here acts on anybody.

pub mod score;
pub mod sketch;
pub mod view;
pub mod window;
