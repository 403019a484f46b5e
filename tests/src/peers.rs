//! Mail software that nobody here wrote: it decides whether ours speaks SMTP.

pub mod postfix;
pub mod rspamd;
pub mod swaks;
