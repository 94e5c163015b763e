//! Errors: [`Error`] says why a call failed, [`HostError`] why one host failed.
//!
//! The `Display` form of an error is one line that includes the text of its cause. For this reason
//! [`source`](std::error::Error::source) is `None`: a program that prints the chain of causes would
//! otherwise print each cause twice. To act on a cause, match on the error: all causes are in
//! public fields.

mod auth;
pub(crate) mod call;
mod cancel;
mod cause;
mod channel;
mod command;
mod config;
pub(crate) mod host;
mod key;
mod label;
mod local;
mod name;
mod proxy_command;
#[cfg(test)]
mod tests;
mod transfer;

pub use auth::{AuthMethod, AuthProblem};
pub(crate) use call::Error;
pub use cancel::CancelCause;
pub(crate) use cause::group_by_cause;
pub use channel::ChannelProblem;
pub use command::{CommandProblem, TemplateProblem};
pub use config::{ConfigProblem, Origin};
pub use host::HandshakeProblem;
pub(crate) use host::{HostError, HostErrorKind, HostErrorParts};
pub use key::{CertProblem, KeyProblem};
pub use label::Label;
pub use local::LocalProblem;
pub use name::{ResolverProblem, UnknownHostProblem};
pub use proxy_command::ProxyCommandProblem;
pub use transfer::{RemotePath, TransferProblem};

pub use crate::host::{HostSpecError, HostSpecPart, HostSpecProblem};
pub use crate::stage::TimeoutKind;
