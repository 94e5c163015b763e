//! The user that this process runs as.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::error::ConfigProblem;

/// The user of this process.
#[derive(Debug)]
pub(crate) struct Owner {
    pub name: Option<String>,
    pub home: Option<PathBuf>,
    /// The socket of the ssh-agent, from `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
}

impl Owner {
    /// Looks up the user by effective user id, because the environment could be another user's.
    pub fn of_this_process() -> Self {
        let user = User::from_uid(geteuid()).ok().flatten();
        let home = user.as_ref().map(|user| user.dir.clone());
        Self {
            name: user.map(|user| user.name),
            home: home.or_else(|| env::var_os("HOME").map(PathBuf::from)),
            agent: env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }

    pub fn expand(&self, path: &Path) -> Result<PathBuf, ConfigProblem> {
        match (path.strip_prefix("~"), &self.home) {
            (Err(_), _) => Ok(path.to_owned()),
            (Ok(rest), Some(home)) => Ok(home.join(rest)),
            (Ok(_), None) => Err(ConfigProblem::NoHome(path.to_owned())),
        }
    }
}
