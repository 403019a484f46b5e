//! The controller from outside: `outgated` in a network namespace of its own, driven by `outgate` and by plain
//! HTTP over its socket. Needs root; fails without.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod api;
mod apply;
mod audit;
mod authority;
mod beneath;
mod bypasses;
mod cluster;
mod command;
mod crash;
mod doctor;
mod events;
mod exemptions;
mod exit_codes;
mod flags;
mod greeter;
mod hostile;
mod import;
mod imports;
mod lab;
mod life;
mod listings;
mod metrics;
mod notices;
mod past;
mod postfix;
mod postgres;
mod precheck;
mod privacy;
mod probe;
mod protected;
mod ranges;
mod relays;
mod remote;
mod rules;
mod screen;
mod shells;
mod steer;
mod store_life;
mod tenants;
mod terms;
mod together;
mod top;
mod users;
mod watchdog;
mod webhooks;
