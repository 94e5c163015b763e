//! From the outcomes of the library to what reports show.

use std::io::ErrorKind;
use std::time::Duration;

use sshoal::error::{ChannelProblem, Label, LocalProblem, RemotePath, TransferProblem};
use sshoal::output::sanitise;
use sshoal::{HostError, HostErrorKind, Outcome, Stage};

use crate::args::shown;
use crate::end::{End, Failure};

/// Why this program has ended a command, or not started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The user, by ^C or a signal.
    Signal(i32),
    /// The user, by ^C and ^Z: only what had not started.
    Starting,
    /// The gate between two batches did not open.
    Gate,
    /// Nobody reads the output any more.
    OutputClosed,
    /// The limit of the whole run.
    Deadline(Duration),
    /// The command has printed nothing for too long.
    Silence(Duration),
    /// The command did not read its input.
    InputHeld(Duration),
    /// The beginning of the input was gone when the command could have started.
    InputGone,
}

impl Stop {
    fn text(self) -> String {
        match self {
            Self::Signal(signal_hook::consts::SIGINT) => "stopped by ^C".to_owned(),
            Self::Signal(signal) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                format!("stopped by {name}")
            }
            Self::Starting => "stopped by ^Z".to_owned(),
            Self::Gate => "stopped between two batches".to_owned(),
            Self::OutputClosed => "stopped, because nobody reads the output".to_owned(),
            Self::Deadline(limit) => format!("stopped at the limit of the run ({})", shown(limit)),
            Self::Silence(limit) => format!("no output for {}", shown(limit)),
            Self::InputHeld(limit) => format!("read nothing of its input for {}", shown(limit)),
            Self::InputGone => "its input is no longer in memory".to_owned(),
        }
    }

    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Deadline(_) => Some("--deadline sets this limit."),
            Self::Silence(_) => Some("--idle sets this limit."),
            Self::InputHeld(_) => Some("A command that reads no input can have -n."),
            Self::InputGone => {
                Some("Let all hosts start at once (no -f), or give the input as a file: `< FILE`.")
            }
            Self::Gate => Some("--gate decides about each batch."),
            Self::Signal(_) | Self::Starting | Self::OutputClosed => None,
        }
    }

    fn label(self) -> Option<Label> {
        match self {
            Self::Silence(_) => Some(Label::ReadTimeout),
            Self::Deadline(_) => Some(Label::CommandTimeout),
            _ => None,
        }
    }
}

/// The text of a problem of this machine without what differs between hosts: `own` is the name of
/// the host in its paths. So 1,000 hosts whose copies have no room here are one line.
pub fn of_all_hosts(text: &str, own: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let is_part = |c: char| c.is_alphanumeric() || c == '-';
    while let Some(at) = rest.find(own).filter(|_| !own.is_empty()) {
        let (before, after) = (&rest[..at], &rest[at + own.len()..]);
        let last = before.chars().next_back().or(out.chars().next_back());
        out.push_str(before);
        let is_whole = !last.is_some_and(is_part) && !after.starts_with(is_part);
        out.push_str(if is_whole { "{host}" } else { own });
        rest = after;
    }
    out.push_str(rest);
    without_part_names(&out)
}

/// A text in which temporary files have the names of what they become.
fn without_part_names(text: &str) -> String {
    let words = text.split_inclusive('/').map(|word| {
        let (hidden, end) = word.split_once(".sshoal-").filter(|(name, _)| name.starts_with('.'))?;
        let end = end.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-');
        Some(format!("{}{end}", &hidden[1..]))
    });
    words.zip(text.split_inclusive('/')).map(|(new, old)| new.unwrap_or_else(|| old.to_owned())).collect()
}

/// Whether this is a problem of a file of this machine.
pub fn is_local(outcome: &Outcome) -> bool {
    let Outcome::Failed(error) = outcome else { return false };
    match error.kind() {
        HostErrorKind::Transfer(TransferProblem::Local(_)) => true,
        HostErrorKind::Transfer(TransferProblem::Incomplete { first, .. }) => {
            matches!(**first, TransferProblem::Local(_))
        }
        _ => false,
    }
}

/// How a command ended. `stop` is why this program has cancelled it, if it has. `in_time`: it ended
/// before its channel was closed.
pub fn end_of(outcome: &Outcome, stop: Option<Stop>, in_time: bool) -> End {
    match outcome {
        Outcome::Exited(status) => End::Exited(*status),
        Outcome::Signaled(signal) => {
            End::Signaled { name: sanitise(&signal.name).into_owned(), core_dumped: signal.core_dumped }
        }
        Outcome::NoStatus => End::NoStatus,
        Outcome::Transferred(done) => End::Copied(**done),
        Outcome::Failed(error) => End::Failed(failure(error, stop, in_time)),
        other => End::Failed(Failure {
            stage: Stage::Running,
            label: other.label(),
            text: sanitise(&other.to_string()).into_owned(),
            advice: None,
        }),
    }
}

/// A command that may still run when this program leaves.
pub fn left_behind(stage: Stage) -> End {
    End::Failed(Failure {
        stage,
        label: Label::Cancelled,
        text: "may still run: this program did not wait for its end".to_owned(),
        advice: None,
    })
}

/// What texts of the library advise that only programs can do.
const OF_LIBRARY: &str = ", or turn guard_passwords off";

fn failure(error: &HostError, stop: Option<Stop>, in_time: bool) -> Failure {
    let label = error.label();
    let stop = stop.filter(|_| matches!(label, Label::Cancelled | Label::NotStarted));
    match stop {
        Some(stop) => Failure {
            stage: error.stage(),
            label: stop.label().filter(|_| label == Label::Cancelled).unwrap_or(label),
            text: match label {
                Label::NotStarted => format!("not started: {}", stop.text()),
                _ if in_time || error.stage() < Stage::Running => stop.text(),
                _ => format!("{}; the command did not end, and may still run", stop.text()),
            } + &left_over(error),
            advice: stop.advice().map(str::to_owned),
        },
        None => Failure {
            stage: error.stage(),
            label,
            text: format!("{}{}", sanitise(&cause(error)), left_over(error)),
            advice: match error.kind() {
                HostErrorKind::Transfer(problem) => of_transfer(problem),
                HostErrorKind::Channel(ChannelProblem::SubsystemRefused { name, .. }) if name == "sftp" => {
                    Some(
                        "Without SFTP there, only single files can be copied: by `sshoal put -T`, or by `sshoal get` \
                         without -r and --continue.",
                    )
                }
                _ => advice(label),
            }
            .map(str::to_owned),
        },
    }
}

/// That a copy failed is known, so its problem says enough.
fn cause(error: &HostError) -> String {
    let text = match error.kind() {
        HostErrorKind::Transfer(problem) => problem.to_string(),
        _ => error.cause(),
    };
    text.replace(OF_LIBRARY, "")
}

fn left_over(error: &HostError) -> String {
    match error.left_over() {
        [] => String::new(),
        [path] => format!("; the temporary file {path} may be left on the host"),
        [path, rest @ ..] => {
            format!("; the temporary file {path} and {} more may be left on the host", rest.len())
        }
    }
}

/// What the user can do about a copy that has failed.
fn of_transfer(problem: &TransferProblem) -> Option<&'static str> {
    Some(match problem {
        TransferProblem::Refused { action, path, status, .. } => return of_refusal(action, path, status),
        TransferProblem::IsDirectory { .. } | TransferProblem::Local(LocalProblem::Directory { .. }) => {
            "-r copies directories."
        }
        TransferProblem::WrongChecksum { .. } => {
            "Copy it again; if that does not help, check the host's disk."
        }
        TransferProblem::Local(
            LocalProblem::Loop { .. } | LocalProblem::Io { action: "follow the link", .. },
        ) => "--links=copy or --links=skip does not follow links.",
        TransferProblem::Local(LocalProblem::Io { error, .. })
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            "Make room on this machine. The files that are there are whole."
        }
        TransferProblem::Command { what: "install", text, .. } if text.contains("password is required") => {
            "--sudo-password asks for the password that sudo wants."
        }
        TransferProblem::Command { what: "scp", text, .. } if text.starts_with("exit status 127") => {
            "There is neither SFTP nor scp. Install one of them on the host."
        }
        TransferProblem::Command { what: "scp", text, .. } if text.ends_with("Permission denied") => {
            "Log in as a user (-l) who may read or write it."
        }
        TransferProblem::Local(LocalProblem::Exists { .. }) => "Without --no-clobber, files are replaced.",
        TransferProblem::Incomplete { first, .. } => return of_transfer(first),
        _ => return None,
    })
}

/// What the user can do about what a server does not do.
fn of_refusal(action: &str, path: &RemotePath, status: &str) -> Option<&'static str> {
    let reads = ["look at", "open", "read", "list", "read the directory", "read the link"].contains(&action);
    match status {
        "permission denied" if reads => Some("Log in as a user (-l) who may read it."),
        "permission denied" => {
            Some("Copy to a place that the user (-l) may write to, or install a file with --sudo.")
        }
        "no such file" if reads && path.as_bytes().iter().any(|byte| b"*?[".contains(byte)) => {
            Some("Wildcards are not expanded on hosts: name the files, or get their directory with -r.")
        }
        "no such file" if action == "create" => {
            Some("Something above it is a file, or is missing and --no-parents is given.")
        }
        _ => None,
    }
}

/// What the user can do about failures of this kind.
fn advice(label: Label) -> Option<&'static str> {
    Some(match label {
        Label::UnknownHost => "Check the name: `getent hosts NAME` should find it.",
        Label::Resolver => "Check the name servers in /etc/resolv.conf.",
        Label::Connect => "Is sshd running there, and is this its port (-p)?",
        Label::ConnectTimeout | Label::AttemptsTimeout => {
            "Is the host up, and does a firewall let ssh through? -t sets the limit."
        }
        Label::NotSsh => "What answers there is not an SSH server: check the port (-p).",
        Label::NoCommonAlgorithm => "Add the server's algorithm, for example -o KexAlgorithms=+NAME.",
        Label::HostKeyUnknown => {
            "Record the keys with `sshoal keyscan -w SET`, over a network that you trust, or run again with \
             --accept-new."
        }
        Label::HostKeyChanged => {
            "Someone may be intercepting the connection. If the hosts were reinstalled, remove their old keys: \
             `ssh-keygen -R NAME`."
        }
        Label::HostKeyRevoked => "The key was revoked: the host may be an impostor.",
        Label::Auth => {
            "Check the user (-l), and the key (-i, or ssh-add) or the password; `ssh -v HOST` shows what the server \
             accepts."
        }
        Label::AuthTimeout => "The server, or the ssh-agent, took too long to log in; -t sets the limit.",
        Label::HandshakeTimeout | Label::ExecTimeout => "The server took too long; -t sets the limit.",
        Label::CommandTimeout => "-u sets this limit.",
        Label::Proxy | Label::ProxyCommand => "Check the way to the host: `ssh -v HOST` takes the same one.",
        Label::PeerDead | Label::ConnectionLost => "The command may still run there.",
        Label::Limit => "Raise the limit on open files (ulimit -n), or lower -f.",
        Label::Bug => "Please report this.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_about_local_files_are_equal_for_all_hosts() {
        for (text, own, expected) in [
            ("cannot write to here/web1/large: full", "web1", "cannot write to here/{host}/large: full"),
            ("cannot write to here/a.web1: full", "web1", "cannot write to here/a.{host}: full"),
            (
                "cannot write to here/web11/web1-x/web1/a: full",
                "web1",
                "cannot write to here/web11/web1-x/{host}/a: full",
            ),
            ("cannot create h/::1/.a.b.sshoal-0f9e-1: denied", "::1", "cannot create h/{host}/a.b: denied"),
            ("cannot create .a.sshoal-0f: denied", "", "cannot create .a.sshoal-0f: denied"),
            ("cannot open /etc/shadow: denied", "", "cannot open /etc/shadow: denied"),
        ] {
            assert_eq!(of_all_hosts(text, own), expected);
        }
    }

    #[test]
    fn the_texts_of_stops_name_their_limits() {
        let limit = Duration::from_secs(90);
        assert_eq!(Stop::Silence(limit).text(), "no output for 90 s");
        assert_eq!(Stop::Deadline(Duration::from_secs(60)).text(), "stopped at the limit of the run (1 min)");
        assert_eq!(Stop::Signal(2).text(), "stopped by ^C");
        assert_eq!(Stop::Signal(15).text(), "stopped by SIGTERM");
    }
}
