//! The API over real sockets: who may ask what, what is done once, what is refused, and its description.

mod callers;
mod conditions;
mod forms;
mod fuzz;
