//! Dialogues: what one side says, what the session answers, and what it asks of its caller.
//!
//! Each is written as a transcript and played three times: line by line as written, octet by octet, and
//! with everything that was written before the next event of another kind in one piece.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod client;
mod client_held;
mod client_notifications;
mod client_pipelined;
mod client_player;
mod client_tls;
mod cuts;
mod defences;
mod feed;
mod identity;
mod lenient;
mod memory;
mod pair;
mod player;
mod pregreet;
mod server;
mod server_auth;
mod server_bounds;
mod server_chunks;
mod server_offers;
mod server_player;
mod smuggling;
mod timeouts;
mod wire;
