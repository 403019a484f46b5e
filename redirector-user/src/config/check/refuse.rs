//! `[refuse]`: what the edge itself says.

use redirector_common::abi::RefusalText;

use crate::{
    config::{Refuse, Wrong, raw::RawRefuse},
    policy::refusal::Words,
};

pub(super) fn refuse(raw: RawRefuse, operator: &str, help_url: &str) -> Result<Refuse, Wrong> {
    let words = |key: &str, text: Option<String>, standard| match text {
        Some(text) => {
            let problem = |problem| Wrong::new(key, format!("{text:?}"), problem);
            Words::read(&text).map_err(problem)
        }
        None => Ok(Words::standard(standard, operator, help_url)),
    };
    Ok(Refuse {
        text: words("refuse.text", raw.text, RefusalText::Refused)?,
        unavailable: words("refuse.unavailable", raw.unavailable, RefusalText::Deferred)?,
    })
}
