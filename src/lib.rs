#![doc = include_str!("../README.md")]

mod agent;
mod callback;
mod client;
mod clock;
mod command;
mod config;
mod credential;
mod dns;
mod error;
mod fleet;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
pub mod hostkey;
mod ids;
mod limits;
mod link;
mod output;
mod reactor;
mod session;
mod stage;
mod text;

#[cfg(any(doc, doctest))]
pub mod coming_from_parallel_ssh {
    #![doc = include_str!("../docs/coming-from-parallel-ssh.md")]
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::config::ClientBuilder as Builder;
    #[allow(unused_imports)]
    use crate::*;
}

#[cfg(any(doc, doctest))]
pub mod embedding {
    #![doc = include_str!("../docs/embedding.md")]
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

#[cfg(doc)]
pub mod performance {
    #![doc = include_str!("../docs/performance.md")]
    // The guide's links name what the crate exports.
    #[allow(unused_imports)]
    use crate::*;
}

pub use client::{HostOutput, JoinOptions, Lines, ParallelClient, RawLines, Reader, Stdin};
pub use command::{Command, HostArg, HostArgs, Pty, Signal};
pub use config::{ClientBuilder, FleetBuilder, HostConfig, Proxy};
pub use credential::{Answer, Challenge, Prompt};
pub use dns::{DnsConfig, Resolver};
pub use error::{
    AuthMethod, AuthProblem, CertProblem, ChannelProblem, CommandProblem, ConfigProblem, Error,
    HandshakeProblem, HostError, HostErrorKind, KeyProblem, NotStarted, Origin, ResolverProblem,
    TemplateProblem, UnknownHostProblem,
};
pub use fleet::{
    Batch, Budget, CommandRef, Event, Fleet, FleetWaker, Host, HostState, LongestStep, Metrics, Run,
    SshLibrary, Started, Tally, Turn,
};
pub use host::{AddressFamily, HostSpec, HostSpecError, HostSpecPart};
pub use hostkey::{HostKeyError, HostKeyPolicy};
pub use ids::{CommandId, HostId, RunId, StdStream};
pub use output::{Deliver, ExitSignal, Keep, Line, LineEnds, Outcome, Piece, Sink};
pub use stage::{Stage, TimeoutKind, Timings};
pub use text::{sanitise, sanitise_bounded};
