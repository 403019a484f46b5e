//! The queue over real sockets, in a world whose spool is a map; and its admin door, through the real program.

mod sites;
mod words;
mod world;
