//! The letters of ssh: how hosts are reached and logged in to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use sshoal::ssh_config::{LocalContext, SshConfig, SshConfigError, SshDestination};

use crate::targets::Target;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection (as for ssh)")]
pub struct ConnectionArgs {
    /// Log in as this user
    ///
    /// A `user@` in a set takes precedence.
    #[arg(short = 'l', long, value_name = "USER", value_hint = ValueHint::Username)]
    pub user: Option<String>,
    /// Port of the servers
    ///
    /// A `:port` in a set takes precedence.
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Private key to try first; repeatable
    #[arg(short, long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// Jump hosts, each as `[user@]host[:port]`
    #[arg(short = 'J', long, value_name = "HOST,...")]
    pub jump: Option<String>,
    /// Instead of ~/.ssh/config; `none` for no file
    #[arg(short = 'F', long = "ssh-config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<OsString>,
    /// Option of ssh_config; repeatable
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// Record the keys of hosts that have none on record
    #[arg(long)]
    pub accept_new: bool,
    /// Forward the ssh-agent
    #[arg(short = 'A', long, hide_short_help = true)]
    pub forward_agent: bool,
    /// Use IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", hide_short_help = true)]
    pub ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', long, hide_short_help = true)]
    pub ipv6: bool,
}

impl ConnectionArgs {
    /// Reads the configuration files that ssh would read with the same letters.
    pub fn ssh_config(&self) -> Result<SshConfig, SshConfigError> {
        self.warn_of_missing_keys();
        let context = LocalContext::current()?;
        let config = match &self.config {
            None => SshConfig::load(context),
            Some(name) if name == "none" => SshConfig::parse("", "none", context),
            Some(path) => SshConfig::load_file(path, context),
        }?;
        Ok(config.danger_allow_no_checking(self.options.iter().any(|option| disables_checking(option))))
    }

    /// Says which keys are not there, as ssh does. It goes on without them.
    fn warn_of_missing_keys(&self) {
        // ssh_config replaces `~` and tokens.
        let is_plain = |path: &&PathBuf| !path.to_string_lossy().contains(['~', '%', '$']);
        for path in self.identity.iter().filter(is_plain) {
            if let Err(error) = path.metadata() {
                log::warn!("-i {}: {error}", path.display());
            }
        }
    }

    /// The command line of ssh for this target.
    pub fn destination(&self, target: &Target) -> SshDestination {
        let mut destination = SshDestination::new(&target.host);
        if let Some(user) = target.user.as_ref().or(self.user.as_ref()) {
            destination = destination.user(user);
        }
        if let Some(port) = target.port.or(self.port) {
            destination = destination.port(port);
        }
        self.ssh_options().into_iter().fold(destination, SshDestination::option)
    }

    /// The letters as options. The first value of an option wins, so `-o` comes first, as it does
    /// where it is written first.
    fn ssh_options(&self) -> Vec<String> {
        let mut options = self.options.clone();
        options.extend(self.identity.iter().map(|path| format!("IdentityFile={}", quoted(path))));
        options.extend(self.jump.iter().map(|hops| format!("ProxyJump={hops}")));
        let switches = [
            (self.accept_new, "StrictHostKeyChecking=accept-new"),
            (self.forward_agent, "ForwardAgent=yes"),
            (self.ipv4, "AddressFamily=inet"),
            (self.ipv6, "AddressFamily=inet6"),
        ];
        options.extend(switches.into_iter().filter(|(is_on, _)| *is_on).map(|(_, option)| option.to_owned()));
        options
    }
}

/// A path as a word of ssh_config.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether this is `StrictHostKeyChecking=no` or `off`, which only the command line can say.
fn disables_checking(option: &str) -> bool {
    let is_separator = |char: char| char == '=' || char.is_whitespace();
    let Some((key, value)) = option.trim_start().split_once(is_separator) else { return false };
    let value = value.trim_matches(|char| is_separator(char) || char == '"');
    key.eq_ignore_ascii_case("StrictHostKeyChecking")
        && ["no", "off"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_line_turns_checking_off() {
        for option in
            ["StrictHostKeyChecking=no", "stricthostkeychecking off", " StrictHostKeyChecking = \"no\""]
        {
            assert!(disables_checking(option), "{option}");
        }
        for option in ["StrictHostKeyChecking=ask", "StrictHostKeyChecking", "User=no", "CheckHostIP=no"] {
            assert!(!disables_checking(option), "{option}");
        }
    }

    #[test]
    fn letters_mean_what_they_mean_to_ssh() {
        let args = ConnectionArgs {
            identity: vec!["/tmp/my key".into()],
            jump: Some("bastion".into()),
            options: vec!["ConnectTimeout=3".into()],
            forward_agent: true,
            ipv6: true,
            ..ConnectionArgs::default()
        };
        let context = LocalContext::fixed("me", 1000, "/home/me", "here");
        let config = SshConfig::parse("Host *\n User file\n Port 2222", "config", context).unwrap();
        let target =
            Target { name: "root@web1".into(), host: "web1".into(), user: Some("root".into()), port: None };
        let settings = config.resolver().resolve(&args.destination(&target)).unwrap();
        assert_eq!(settings.user.as_deref().map(String::as_str), Some("root"));
        assert_eq!(settings.port.as_deref(), Some(&2222));
        assert_eq!(settings.connect_timeout.as_deref().map(|limit| format!("{limit:?}")), Some("3s".into()));
        let files = settings.identity_files.as_ref().unwrap();
        assert!(format!("{files:?}").contains("/tmp/my key"), "{files:?}");
        assert!(format!("{:?}", settings.proxy).contains("bastion"));
        assert!(settings.forward_agent.is_some() && settings.address_family.is_some());
    }
}
