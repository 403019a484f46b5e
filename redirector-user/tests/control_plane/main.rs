//! The controller from outside: `outgated` in a network namespace of its own, driven by `outgate` and by plain
//! HTTP over its socket. Needs root; fails without.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod api;
mod command;
mod doctor;
mod events;
mod exit_codes;
mod flags;
mod greeter;
mod import;
mod lab;
mod life;
mod metrics;
mod notices;
mod postfix;
mod probe;
mod relays;
mod remote;
mod rules;
mod screen;
mod shells;
mod steer;
mod together;
mod top;
mod users;
mod watchdog;
mod webhooks;
