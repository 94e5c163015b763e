//! What a configuration depends on besides its files.

use std::collections::HashMap;
use std::env;
use std::net::IpAddr;
use std::path::PathBuf;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::unistd::{User, geteuid, gethostname};

use super::error::SshConfigError;

/// The local side: what tokens, `~`, `${VAR}`, `Match localuser` and `Match localnetwork` refer to.
///
/// [`current`](Self::current) describes this process. All fields can be changed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalContext {
    /// The local user: `%u`, `Match localuser`, and the remote user if none is set.
    pub user: String,
    /// The user id: `%i`. Files must belong to this user or to root.
    pub uid: u32,
    /// The home directory: `%d`, `~`, and the place of `.ssh/config`.
    pub home: PathBuf,
    /// The name of this machine: `%l`, and `%L` up to its first dot.
    pub machine: String,
    /// The environment: `${VAR}`. `HOME` is where `Include ~/…` looks, as in OpenSSH.
    pub variables: HashMap<String, String>,
    /// The addresses of this machine's interfaces that are up: `Match localnetwork`.
    pub addresses: Vec<IpAddr>,
}

impl LocalContext {
    /// Describes this process and its effective user.
    ///
    /// # Errors
    /// [`SshConfigError::NoUser`]: the user database does not know the user.
    pub fn current() -> Result<Self, SshConfigError> {
        let uid = geteuid();
        let user = match User::from_uid(uid) {
            Ok(Some(user)) => user,
            Ok(None) => return Err(SshConfigError::NoUser(format!("no entry for id {uid}"))),
            Err(error) => return Err(SshConfigError::NoUser(error.to_string())),
        };
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Self {
            user: user.name,
            uid: uid.as_raw(),
            home: user.dir,
            machine: gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default(),
            variables: variables.collect(),
            addresses: local_addresses(),
        })
    }

    /// Describes a user and a machine, without variables and addresses.
    pub fn fixed(
        user: impl Into<String>,
        uid: u32,
        home: impl Into<PathBuf>,
        machine: impl Into<String>,
    ) -> Self {
        Self {
            user: user.into(),
            uid,
            home: home.into(),
            machine: machine.into(),
            variables: HashMap::new(),
            addresses: Vec::new(),
        }
    }
}

fn local_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    let addresses = up.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    addresses.collect()
}
