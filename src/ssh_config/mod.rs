//! OpenSSH's client configuration, `ssh_config(5)`, read when a program asks for it.
//!
//! [`SshConfig`] reads and compiles files once. A [`ConfigResolver`] says what they mean for a
//! destination: a plain [`SshSettings`] with the file and line of each value, and a list of what
//! has no effect, with reasons. Nothing in this library reads such files by itself.
//!
//! ```
//! use sshoal::ssh_config::{LocalContext, ProxyRoute, SshConfig, SshDestination};
//!
//! let text = "
//! Host web*
//!     HostName %h.example.org
//!     User deploy
//!     ProxyJump bastion
//!     ControlMaster auto
//! Match user deploy
//!     Port 2222
//! ";
//! let config = SshConfig::parse(text, "config", LocalContext::current()?)?;
//! let destination = SshDestination::new("web1");
//! let settings = config.resolver().resolve(&destination)?;
//! assert_eq!(*settings.host_name, "web1.example.org");
//! let Some(ProxyRoute::Jump(hops)) = settings.proxy.as_deref() else { panic!("no jump") };
//! assert_eq!(hops[0].host, "bastion");
//! let port = settings.port.expect("a line sets it");
//! assert_eq!((*port, port.source.to_string().as_str()), (2222, "config:8"));
//! assert_eq!(settings.ignored[0].keyword.as_ref(), "controlmaster");
//! # Ok::<(), sshoal::ssh_config::SshConfigError>(())
//! ```
//!
//! # What is as in OpenSSH
//! Everything is read as by OpenSSH 9.2 (readconf.c), including its quirks: quotes and comments,
//! the first value of an option wins, lists grow, `Include` inside of blocks, a second pass for
//! `Match final`. `Tag`, `Match tagged` and `Match localnetwork` are those of later versions.
//!
//! # What differs
//! - Names are not canonicalised, so `Match canonical` never matches.
//! - Every file has to belong to root or to the user, and others must not be able to write to it;
//!   OpenSSH requires that of `~/.ssh/config` and of included files.
//! - Files, lines, and the depth of `Include` are limited, and what exceeds a limit is an error.
//! - A `Match exec` is run once per distinct command, with a time limit, and not where the
//!   `Include` line around it does not apply.
//! - Names that the caller gives must not contain shell syntax (OpenSSH since 9.6).
//! - The names of algorithms are not checked, and neither are the arguments of keywords that have
//!   no effect here.
//! - `ProxyJump none` may have a comment. An environment variable that `IdentityAgent` needs may be
//!   missing where the line does not apply.
//! - Ports are numbers, not names of services.

mod addresses;
mod compiled;
mod condition;
mod config;
mod context;
mod destination;
mod error;
mod exec;
mod expand;
mod glob;
mod ignored;
mod lexer;
mod limits;
mod load;
mod merge;
mod networks;
mod paths;
mod settings;
mod source;
mod tokens;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use config::{ConfigResolver, SshConfig};
pub use context::LocalContext;
pub use destination::SshDestination;
pub use error::SshConfigError;
pub(crate) use exec::user_shell;
pub use exec::{MatchExec, ShellExec};
pub use settings::SshSettings;
pub use source::{Ignored, SettingSource, Sourced};
pub use types::{
    AgentSocket, AlgorithmList, ForwardedAgent, JumpHop, ListChange, ProxyRoute, PublicKeys, SessionKind,
    StrictHostKeys, TtyRequest,
};
