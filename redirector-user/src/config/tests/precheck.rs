//! `[precheck]`.
