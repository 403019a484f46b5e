//! Webhooks: events told to other programs over HTTP, signed.
//!
//! [`Kinds`] says which events an endpoint wants, [`Secrets`] sign a body, [`Progress`] is how far an endpoint has been
//! told and when it is asked again (all pure); [`Endpoint::post`] is the one that speaks. The loop that turns them, and
//! keeps progress in the store, is the controller's.

mod kinds;
mod post;
mod progress;
mod sign;

pub use self::{
    kinds::{Kinds, KindsError},
    post::{Answer, Endpoint, PostError, WebhookError},
    progress::Progress,
    sign::{SecretError, Secrets},
};
