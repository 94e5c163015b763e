#![doc = include_str!("../README.md")]

mod agent;
mod agent_wire;
mod certificate;
mod client;
mod command;
mod dns;
mod encoding;
mod error;
mod family;
mod fleet;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
pub mod hostkey;
mod interactive;
mod limits;
mod lines;
mod link;
mod output;
mod reactor;
mod secret;
mod session;
mod signal;
mod text;
mod workers;

#[cfg(doc)]
#[doc = include_str!("../docs/coming-from-parallel-ssh.md")]
pub mod coming_from_parallel_ssh {
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

pub use client::{
    ClientBuilder, HostConfig, HostOutput, JoinOptions, Lines, ParallelClient, Proxy, RawLines, Reader,
    SshLibrary, Stdin,
};
pub use command::{Command, HostArg, HostArgs, Pty};
pub use dns::{DnsConfig, Resolver};
pub use error::{
    AuthMethod, AuthProblem, CertProblem, ChannelProblem, CommandProblem, Error, HandshakeProblem, HostError,
    HostErrorKind, KeyProblem, ResolverProblem, Stage, TemplateProblem, TimeoutKind, UnknownHostProblem,
};
pub use family::AddressFamily;
pub use fleet::Stats;
pub use host::{HostSpec, HostSpecError, HostSpecPart};
pub use hostkey::{HostKeyError, HostKeyPolicy};
pub use interactive::{Answer, Challenge, Prompt};
pub use output::{ExitSignal, Outcome};
pub use signal::Signal;
pub use text::{sanitise, sanitise_bounded};
