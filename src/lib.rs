#![doc = include_str!("../README.md")]

mod agent;
mod agent_wire;
mod callback;
mod certificate;
mod client;
mod clock;
mod command;
mod config;
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
mod ids;
mod interactive;
mod limits;
mod lines;
mod link;
mod output;
mod private_key;
mod reactor;
mod secret;
mod session;
mod signal;
mod text;
mod timings;
mod workers;

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/coming-from-parallel-ssh.md")]
pub mod coming_from_parallel_ssh {
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

#[cfg(any(doc, doctest))]
#[doc = include_str!("../docs/embedding.md")]
pub mod embedding {
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

#[cfg(doc)]
#[doc = include_str!("../docs/performance.md")]
pub mod performance {
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

pub use client::{ClientBuilder, HostOutput, JoinOptions, Lines, ParallelClient, RawLines, Reader, Stdin};
pub use command::{Command, HostArg, HostArgs, Pty};
pub use config::{Builder, HostConfig, Proxy};
pub use dns::{DnsConfig, Resolver};
pub use error::{
    AuthMethod, AuthProblem, CertProblem, ChannelProblem, CommandProblem, Error, HandshakeProblem, HostError,
    HostErrorKind, KeyProblem, NotStarted, ResolverProblem, Stage, TemplateProblem, TimeoutKind,
    UnknownHostProblem,
};
pub use family::AddressFamily;
pub use fleet::{
    Batch, Budget, CommandRef, Event, Fleet, FleetBuilder, FleetWaker, Host, HostState, LongestStep, Metrics,
    Run, SshLibrary, Started, Tally, Turn,
};
pub use host::{HostSpec, HostSpecError, HostSpecPart};
pub use hostkey::{HostKeyError, HostKeyPolicy};
pub use ids::{CommandId, HostId, RunId};
pub use interactive::{Answer, Challenge, Prompt};
pub use lines::LineEnds;
pub use output::{Deliver, ExitSignal, Keep, Line, Outcome, Piece, Sink, StdStream};
pub use signal::Signal;
pub use text::{sanitise, sanitise_bounded};
pub use timings::Timings;
