//! Credentials: secrets, private keys, certificates, answers to a server's prompts.

pub(crate) mod certificate;
mod challenge;
mod private_key;
mod public_half;
mod secret;

pub(crate) use certificate::{Certificate, fingerprint};
pub(crate) use challenge::Responder;
pub use challenge::{Answer, Challenge, Prompt};
pub(crate) use private_key::{KeyText, Opener, PlainKey};
pub(crate) use public_half::public_half;
pub(crate) use secret::{Secret, UserPassword};
