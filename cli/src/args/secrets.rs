//! `sudo`, and passwords, which no flag takes: other users of this machine can read command lines.

use std::io;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Users and passwords")]
pub struct SecretArgs {
    /// Ask for a password to log in with
    #[arg(long, hide_short_help = true)]
    pub password: bool,
    /// Ask for the passphrase of the private keys
    #[arg(long, hide_short_help = true)]
    pub passphrase: bool,
    /// Run the command through sudo, as root or USER
    #[arg(long, value_name = "USER", num_args = 0..=1, require_equals = true,
        default_missing_value = "root", help_heading = "Running")]
    pub sudo: Option<String>,
    /// Ask for the password of sudo. It is proven on one host first
    #[arg(long, hide_short_help = true)]
    pub sudo_password: bool,
    /// The first line of this file is the password of sudo
    #[arg(long, value_name = "FILE", conflicts_with = "sudo_password", hide_short_help = true)]
    pub sudo_password_file: Option<PathBuf>,
}

/// What the user has typed, or a file has.
#[derive(Default)]
pub struct Secrets {
    pub password: Option<String>,
    pub passphrase: Option<String>,
    pub sudo_password: Option<String>,
}

impl SecretArgs {
    /// Asks on the terminal of this process, each once.
    pub fn ask(&self) -> io::Result<Secrets> {
        let ask = |wanted: bool, prompt: &str| {
            let typed = wanted.then(|| rpassword::prompt_password(format!("{prompt}: "))).transpose();
            typed.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot ask for the {prompt}: {error}"))
            })
        };
        Ok(Secrets {
            password: ask(self.password, "password for logins")?,
            passphrase: ask(self.passphrase, "passphrase of the private keys")?,
            sudo_password: match &self.sudo_password_file {
                Some(path) => Some(first_line(path)?),
                None => ask(self.sudo_password, "password for sudo")?,
            },
        })
    }

    pub fn uses_sudo(&self) -> bool {
        self.sudo.is_some() || self.sudo_password || self.sudo_password_file.is_some()
    }
}

fn first_line(path: &std::path::Path) -> io::Result<String> {
    let of_file = |error: io::Error| {
        io::Error::new(error.kind(), format!("--sudo-password-file {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(of_file)?;
    let line = text.lines().next().filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| of_file(io::Error::other("its first line is empty")))
}
