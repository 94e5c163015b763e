//! The merged values with tokens, `~` and `${VAR}` expanded.

use std::path::PathBuf;

use super::config::SshConfig;
use super::error::SshConfigError;
use super::merge::Merged;
use super::paths::tilde;
use super::settings::SshSettings;
use super::source::Sourced;
use super::tokens::{self, Tokens};
use super::types::{AgentSocket, ForwardedAgent, JumpHop, ProxyRoute};

type Expanded<T> = Result<T, SshConfigError>;

/// Expands everything that OpenSSH expands when it uses an option (ssh.c, sshconnect.c).
pub(super) fn expanded(merged: Merged, host: Sourced<String>, config: &SshConfig) -> Expanded<SshSettings> {
    let context = &config.context;
    let alias = merged.settings.alias.clone();
    let key_alias = merged.settings.host_key_alias.as_ref().map(|name| name.to_ascii_lowercase());
    let (user, jump) = (merged.user(config).to_owned(), merged.jump().to_owned());
    let tokens = Tokens {
        context,
        host: &host,
        alias: &alias,
        key_alias: key_alias.as_deref().unwrap_or(&alias),
        port: merged.port(),
        user: &user,
        jump: &jump,
    };
    let expander = Expander { tokens };
    let Merged { mut settings, identity_files, certificate_files, send_env, .. } = merged;
    settings.forward_agent = expander.forward_agent(merged.forward_agent, merged.forward_socket)?;
    let no_jump = merged.no_jump.map(|no_jump| Sourced { value: ProxyRoute::Direct, source: no_jump.source });
    settings.proxy = settings
        .proxy
        .or(no_jump)
        .map(|route| with_source(route, |route| expander.route(route)))
        .transpose()?;
    settings.identity_agent = settings
        .identity_agent
        .map(|socket| with_source(socket, |socket| expander.socket(socket)))
        .transpose()?;
    settings.remote_command = settings
        .remote_command
        .filter(|command| !command.eq_ignore_ascii_case("none"))
        .map(|command| with_source(command, |text| expander.tokens.expand(&text, tokens::COMMON, false)))
        .transpose()?;
    settings.revoked_host_keys = settings
        .revoked_host_keys
        .filter(|path| !path.as_os_str().eq_ignore_ascii_case("none"))
        .map(|path| with_source(path, |path| expander.home(path)))
        .transpose()?;
    settings.user_known_hosts = expander.known_hosts(settings.user_known_hosts, Expander::path)?;
    settings.global_known_hosts = expander.known_hosts(settings.global_known_hosts, Expander::home)?;
    if let (Some(setting), Some(lower)) = (&mut settings.host_key_alias, &key_alias) {
        setting.value.clone_from(lower);
    }
    let has_keys = !identity_files.is_empty();
    let identities = expander.keys(identity_files)?;
    settings.identity_files = has_keys.then_some(identities);
    settings.certificate_files = expander.keys(certificate_files)?;
    for name in send_env {
        // The second pass reads every line again.
        if !settings.send_env.iter().any(|known| known.value == name.value) {
            settings.send_env.push(name);
        }
    }
    settings.host_name = host;
    Ok(settings)
}

/// Maps a value; errors get its source.
fn with_source<T, U>(setting: Sourced<T>, map: impl FnOnce(T) -> Result<U, String>) -> Expanded<Sourced<U>> {
    let source = setting.source.clone();
    setting.try_map(map).map_err(|problem| SshConfigError::line(&source, problem))
}

struct Expander<'a> {
    tokens: Tokens<'a>,
}

impl Expander<'_> {
    /// `~`, tokens and variables.
    fn path(&self, path: PathBuf) -> Result<PathBuf, String> {
        let path = self.home(path)?;
        self.tokens.expand(&text(&path), tokens::COMMON, true).map(PathBuf::from)
    }

    /// `~` only.
    fn home(&self, path: PathBuf) -> Result<PathBuf, String> {
        tilde(&text(&path), self.tokens.context).map(PathBuf::from)
    }

    fn socket(&self, socket: AgentSocket) -> Result<AgentSocket, String> {
        Ok(match socket {
            AgentSocket::Path(path) => AgentSocket::Path(self.path(path)?),
            other => other,
        })
    }

    /// The first word decides, whether it is `yes`, `no`, or a socket; the first socket is used.
    fn forward_agent(
        &self,
        flag: Option<Sourced<bool>>,
        socket: Option<Sourced<AgentSocket>>,
    ) -> Expanded<Option<Sourced<ForwardedAgent>>> {
        Ok(match (flag, socket) {
            (Some(Sourced { value: true, .. }), Some(socket)) => {
                Some(with_source(socket, |socket| self.socket(socket).map(ForwardedAgent::Socket))?)
            }
            (Some(Sourced { value, source }), _) => {
                let value = if value { ForwardedAgent::Yes } else { ForwardedAgent::No };
                Some(Sourced { value, source })
            }
            (None, _) => None,
        })
    }

    fn route(&self, route: ProxyRoute) -> Result<ProxyRoute, String> {
        let expand = |text: &str| self.tokens.expand(text, tokens::PROXY, false);
        let hop = |hop: JumpHop| -> Result<JumpHop, String> {
            let user = hop.user.as_deref().map(expand).transpose()?;
            Ok(JumpHop { user, host: expand(&hop.host)?, port: hop.port })
        };
        Ok(match route {
            ProxyRoute::Direct => ProxyRoute::Direct,
            ProxyRoute::Command(command) => ProxyRoute::Command(expand(&command)?),
            ProxyRoute::Jump(hops) => ProxyRoute::Jump(hops.into_iter().map(hop).collect::<Result<_, _>>()?),
        })
    }

    fn known_hosts(
        &self,
        files: Option<Sourced<Vec<PathBuf>>>,
        expand: impl Fn(&Self, PathBuf) -> Result<PathBuf, String>,
    ) -> Expanded<Option<Sourced<Vec<PathBuf>>>> {
        let all = |files: Vec<PathBuf>| {
            let files = files.into_iter().filter(|path| !is_none(&text(path)));
            files.map(|path| expand(self, path)).collect::<Result<_, _>>()
        };
        files.map(|files| with_source(files, all)).transpose()
    }

    fn keys(&self, files: Vec<Sourced<String>>) -> Expanded<Vec<Sourced<PathBuf>>> {
        let files = files.into_iter().filter(|file| !is_none(file));
        files.map(|file| with_source(file, |path| self.path(path.into()))).collect()
    }
}

fn is_none(text: &str) -> bool {
    text.eq_ignore_ascii_case("none")
}

/// Paths are made from UTF-8 texts.
fn text(path: &std::path::Path) -> std::borrow::Cow<'_, str> {
    path.to_string_lossy()
}
