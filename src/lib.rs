#![doc = include_str!("../README.md")]

mod address;
mod agent;
mod callback;
pub mod client;
mod clock;
mod command;
pub mod config;
mod credential;
mod dns;
pub mod error;
pub mod fleet;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod host;
pub mod hostkey;
mod ids;
mod limits;
mod link;
pub mod output;
mod proxy_command;
mod reactor;
mod session;

mod sftp;
pub mod ssh_config;
mod stage;
mod text;
pub mod transfer;

pub use client::api::ParallelClient;
pub use client::join::JoinOptions;
pub use client::key_scan::KeyScan;
pub use client::options::ReadOptions;
pub use client::output::HostOutput;
pub use command::{Command, Signal};
pub use config::host_config::HostConfig;
pub use config::proxy::Proxy;
pub use error::call::Error;
pub use error::host::{HostError, HostErrorKind};
pub use fleet::api::Fleet;
pub use fleet::events::Event;
pub use fleet::run::Run;
pub use fleet::turn_budget::Budget;
pub use host::HostSpec;
pub use ids::StdStream;
pub use output::outcome::Outcome;
pub use stage::Stage;

#[cfg(any(doc, doctest))]
pub mod coming_from_parallel_ssh {
    #![doc = include_str!("../docs/coming-from-parallel-ssh.md")]
    #[allow(unused_imports)]
    use crate::config::ClientBuilder as Builder;
    // These imports make the links in the guide resolve.
    #[allow(unused_imports)]
    use crate::{client::*, config::*, error::*, fleet::*, hostkey::*, output::*, *};
}

#[cfg(any(doc, doctest))]
pub mod embedding {
    #![doc = include_str!("../docs/embedding.md")]
    // These imports make the links in the guide resolve.
    #[allow(unused_imports)]
    use crate::{client::*, config::*, error::*, fleet::*, hostkey::*, output::*, *};
}

#[cfg(doc)]
pub mod performance {
    #![doc = include_str!("../docs/performance.md")]
    // These imports make the links in the guide resolve.
    #[allow(unused_imports)]
    use crate::{client::*, config::*, error::*, fleet::*, hostkey::*, output::*, *};
}
