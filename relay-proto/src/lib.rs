//! SMTP without a socket or a clock.
#![forbid(unsafe_code)]
