//! What hosts' settings say about the commands that run on them.

use super::builder::{ClientBuilder, FleetBuilder};
use super::host_config::HostConfig;
use super::layers::Layers;
use super::settings::settings;
use crate::command::{ChannelRequest, LoginProgram, Program, Pty, Variable};
use crate::error::ConfigProblem;

settings! { HostConfig, FleetBuilder.client, ClientBuilder.fleet; {
    /// Environment variables of all commands on the host (OpenSSH: `SetEnv`). They are requested
    /// from the server before those of a [`Command`](crate::Command::env), which win. Default:
    /// none.
    ///
    /// As in OpenSSH, a variable that the server refuses is left out (sshd: `AcceptEnv`); the log
    /// names it. Each variable costs each command a round trip.
    env(variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) => |config| {
        let variables = variables.into_iter();
        config.env = Some(variables.map(|(name, value)| Variable::new(name.into(), value.into())).collect());
    };

    /// The terminal of commands that neither ask for one nor refuse one
    /// ([`Command::use_pty`](crate::Command::use_pty)); `None` means no terminal (OpenSSH:
    /// `RequestTTY force`). Default: `None`.
    ///
    /// This is for hosts whose commands need a terminal, such as some network devices. `use_pty`
    /// says what a terminal changes, and what happens if a host refuses it. The terminal costs each
    /// command a round trip.
    ///
    /// ```
    /// use sshoal::config::Pty;
    /// use sshoal::{HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let switch = HostConfig::default().pty(Pty::default().term("vt100"));
    /// let client = ParallelClient::builder(["web1", "switch1"])
    ///     .host_config([HostConfig::default(), switch])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pty(terminal: impl Into<Option<Pty>>) => |config| config.pty = Some(terminal.into());

    /// The command that runs in place of the login shell, as if it were the shell of the remote
    /// user (OpenSSH: `RemoteCommand`). Default, and the meaning of `none`: the login shell.
    ///
    /// It replaces [`Command::login_shell`](crate::Command::login_shell) and
    /// [`open_shell`](crate::ParallelClient::open_shell), and nothing else: a command with a text
    /// runs as it is, where `ssh` refuses to have two.
    ///
    /// ```
    /// use sshoal::{HostConfig, ParallelClient};
    ///
    /// # fn main() -> Result<(), sshoal::Error> {
    /// let router = HostConfig::default().remote_command("cli --no-pager");
    /// let client = ParallelClient::builder(["web1", "router1"])
    ///     .host_config([HostConfig::default(), router])
    /// #   .no_known_hosts().identity_auth(false)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    remote_command(text: impl Into<String>) =>
        |config| config.login_program = Some((Program::Command, text.into()));

    /// The [subsystem](crate::Command::subsystem) that runs in place of the login shell, by its
    /// name (OpenSSH: `SessionType subsystem` with a `RemoteCommand`). This replaces a
    /// [`remote_command`](Self::remote_command), and the other way round.
    remote_subsystem(name: impl Into<String>) =>
        |config| config.login_program = Some((Program::Subsystem, name.into()));
}}

/// The settings for commands that apply to a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct CommandChoice<'a> {
    pub env: Option<&'a [Variable]>,
    pub pty: Option<&'a Pty>,
    pub login_program: Option<&'a (Program, String)>,
}

impl<'a> CommandChoice<'a> {
    pub fn of(layers: &Layers<'a>) -> Self {
        Self {
            env: layers.value(|config| config.env.as_deref()),
            pty: layers.value(|config| config.pty.as_ref()).and_then(Option::as_ref),
            login_program: layers.value(|config| config.login_program.as_ref()),
        }
    }

    /// The requests that precede those of each command, in OpenSSH's order.
    pub fn setup(&self, forwards_agent: bool) -> Result<Vec<ChannelRequest>, ConfigProblem> {
        let forward = forwards_agent.then_some(Ok(ChannelRequest::ForwardAgent));
        let pty = self.pty.map(Pty::to_request);
        let env = self.env.into_iter().flatten().map(Variable::to_request);
        forward.into_iter().chain(pty).chain(env).collect()
    }

    /// What runs in place of the login shell.
    pub fn login_program(&self) -> Result<Option<LoginProgram>, ConfigProblem> {
        let program = self.login_program.map(|(program, text)| LoginProgram::new(*program, text));
        Ok(program.transpose()?.flatten())
    }
}
