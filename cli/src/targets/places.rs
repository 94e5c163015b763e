//! Where files that say something about hosts are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Files and folders of the system and the user.
#[derive(Debug, Default, Clone)]
pub struct Places {
    home: PathBuf,
    /// ClusterShell's groups.conf; later ones have precedence.
    pub groups_conf: Vec<PathBuf>,
    /// pdsh's folders of groups.
    pub dsh: Vec<PathBuf>,
    /// The file of hosts that `WCOLL` names, as for pdsh.
    pub wcoll: Option<PathBuf>,
}

impl Places {
    /// As the environment says.
    pub fn current() -> Self {
        Self::from(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// As `variable` says about the environment.
    pub fn from(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let home = variable("HOME").map(PathBuf::from).unwrap_or_default();
        let config = variable("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        let folders = [
            PathBuf::from("/etc/clustershell"),
            home.join(".local/etc/clustershell"),
            config.join("clustershell"),
        ];
        let own = variable("CLUSTERSHELL_CFGDIR").map(PathBuf::from);
        let groups_conf = folders.into_iter().chain(own).map(|folder| folder.join("groups.conf")).collect();
        let dsh = match variable("DSHGROUP_PATH") {
            Some(paths) => env::split_paths(&paths).collect(),
            None => vec![home.join(".dsh/group"), PathBuf::from("/etc/dsh/group")],
        };
        Self { home, groups_conf, dsh, wcoll: variable("WCOLL").map(PathBuf::from) }
    }

    /// A path that may begin with `~/`, which shells do not expand after a `^`.
    pub fn expanded(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => Path::new(path).to_owned(),
        }
    }
}
