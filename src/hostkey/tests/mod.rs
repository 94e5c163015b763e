//! Tests of host key verification; what OpenSSH does is asked of OpenSSH itself wherever it is installed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accept_new;
mod cases;
mod differential;
mod files;
mod keys;
mod openssh;
mod policies;
mod properties;
mod support;
mod verdicts;
