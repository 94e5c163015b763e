//! `sudo`, and passwords, which no flag takes: other users of this machine can read command lines.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::cleanup;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Users and passwords")]
pub struct SecretArgs {
    /// Ask for a password to log in with. It is proven on one host first
    #[arg(long, hide_short_help = true)]
    pub password: bool,
    /// The first line of this file is the password to log in with
    #[arg(long, value_name = "FILE", conflicts_with = "password", hide_short_help = true)]
    pub password_file: Option<PathBuf>,
    /// Ask for the passphrase of the private keys
    #[arg(long, hide_short_help = true)]
    pub passphrase: bool,
    /// The first line of this file is the passphrase of the private keys
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase", hide_short_help = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Run the command through sudo, as root or USER
    #[arg(long, value_name = "USER", num_args = 0..=1, require_equals = true,
        default_missing_value = "root", help_heading = "Running", value_hint = ValueHint::Username)]
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
        let secret = |is_asked: bool, file: &Option<PathBuf>, flag: &str, what: &str| match file {
            Some(path) => first_line(path, flag).map(Some),
            None if is_asked => asked(flag, what).map(Some),
            None => Ok(None),
        };
        Ok(Secrets {
            password: secret(self.password, &self.password_file, "--password-file", "password for logins")?,
            passphrase: secret(
                self.passphrase,
                &self.passphrase_file,
                "--passphrase-file",
                "passphrase of the private keys",
            )?,
            sudo_password: secret(
                self.sudo_password,
                &self.sudo_password_file,
                "--sudo-password-file",
                "password for sudo",
            )?,
        })
    }

    pub fn uses_sudo(&self) -> bool {
        self.sudo.is_some() || self.sudo_password || self.sudo_password_file.is_some()
    }
}

/// The longest line that Linux takes from a terminal.
const LINE_BYTES_MAX: usize = 4096;

/// Asks without showing what is typed. A signal, such as that of ^C, leaves the terminal as it was.
fn asked(flag: &str, what: &str) -> io::Result<String> {
    let failed = |error: io::Error| {
        let text = format!("cannot ask for the {what}: {error}; {flag} FILE reads it from a file");
        io::Error::new(error.kind(), text)
    };
    let no_terminal = |error: io::Error| io::Error::new(error.kind(), format!("no terminal ({error})"));
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal);
    let mut terminal = terminal.map_err(failed)?;
    let found = tcgetattr(&terminal).map_err(|error| failed(error.into()))?;
    let (on_signal, kept) = (terminal.try_clone().map_err(failed)?, found.clone());
    let _cleanup = cleanup::on_signal(move || {
        set(&on_signal, &kept);
        // What was typed has no line end.
        eprintln!();
    });
    // Before the question is asked: who types fast is not shown either.
    set(&terminal, &silent(&found));
    let line = terminal.write_all(format!("{what}: ").as_bytes()).and_then(|()| line(&mut terminal));
    set(&terminal, &found);
    let line = String::from_utf8(line.map_err(failed)?).map_err(|_| {
        io::Error::other(format!("the {what} is not UTF-8: check the character set of the terminal"))
    })?;
    match line.is_empty() {
        true => Err(io::Error::other(format!("no {what} was typed"))),
        false => Ok(line),
    }
}

/// Modes in which the kernel edits lines, and does not show them.
fn silent(found: &Termios) -> Termios {
    let mut modes = found.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    modes.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
    // ^Z would leave the terminal like this.
    modes.special_codes[SpecialCodeIndex::VSUSP] = 0;
    modes
}

/// Reads a line, without its end.
fn line(terminal: &mut File) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    while line.last() != Some(&b'\n') {
        let mut bytes = [0; LINE_BYTES_MAX];
        match terminal.read(&mut bytes) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "^D was typed")),
            Ok(read) => line.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    line.pop();
    Ok(line)
}

fn set(terminal: &File, modes: &Termios) {
    if let Err(error) = tcsetattr(terminal, OptionalActions::Drain, modes) {
        log::warn!("cannot set the modes of the terminal: {error}");
    }
}

fn first_line(path: &Path, flag: &str) -> io::Result<String> {
    let of_file =
        |error: io::Error| io::Error::new(error.kind(), format!("{flag} {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(of_file)?;
    let line = text.lines().next().filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| of_file(io::Error::other("its first line is empty")))
}
