//! Notices: a customer is told, by mail, that its mail is restricted, restricted further or less, or free again.
//!
//! [`Kind::between`] says whether a turn of the dial is one to be told of, [`Templates`] make the text (both pure), and
//! [`Post`] hands it to the operator's submission server. What stands in the text of what a mail server is told comes from
//! where the edge and the relay have it, [`Words`](crate::policy::refusal::Words) and [`contract::words`].
//!
//! Which turns there were is read from the events, and the queue is in the store: both are the controller's.

mod class;
mod contact;
mod kind;
mod post;
mod template;
mod text;

pub use self::{
    class::Class,
    contact::Contacts,
    kind::{Kind, Step},
    post::{Post, PostError, SetUpError, Unsent},
    template::{TemplateError, Templates},
    text::{Facts, Text},
};
