//! Why an authentication failed.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::host::peer;
use crate::hostkey::Fingerprint;
use crate::text::sanitise;

/// An authentication method, by its SSH name (RFC 4252, RFC 4256, RFC 4462).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMethod {
    /// `none`: the host needs no credential.
    None,
    /// `publickey`.
    PublicKey,
    /// `password`.
    Password,
    /// `keyboard-interactive`.
    KeyboardInteractive,
    /// `hostbased`.
    HostBased,
    /// `gssapi-with-mic`.
    Gssapi,
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::HostBased => "hostbased",
            Self::Gssapi => "gssapi-with-mic",
        })
    }
}

/// Why an authentication failed, apart from the server's refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthProblem {
    /// The server ended the connection after a refusal, as sshd does at its `MaxAuthTries`, so
    /// later credentials were not tried.
    #[error("the server then disconnected (reason {reason}): {}", peer(message))]
    #[non_exhaustive]
    Disconnected {
        /// The reason code (RFC 4253 section 11.1).
        reason: u32,
        /// The server's text, unchanged.
        message: String,
    },
    /// A credential could not be used on this side, for instance an expired Kerberos ticket. The
    /// server did not refuse it.
    #[error("{method} failed locally: {}", peer(reason))]
    #[non_exhaustive]
    Unable {
        /// The method.
        method: AuthMethod,
        /// The error of the library behind the method.
        reason: String,
    },
    /// A private key or a certificate was not offered, because it cannot be used: it is encrypted
    /// and there is no passphrase, its file cannot be read, or the like.
    #[error("skipped {}, which {}", sanitise(&path.display().to_string()), peer(reason))]
    #[non_exhaustive]
    KeySkipped {
        /// The file, or `<bytes>` for a key given as text.
        path: PathBuf,
        /// Why it cannot be used, such as `is encrypted and no passphrase was given`.
        reason: String,
    },
    /// The ssh-agent holds no key, or could not be asked for its keys.
    #[error("{}", peer(.0))]
    AgentSkipped(String),
    /// The server refused a certificate that has expired, by the local clock.
    #[error("the certificate {} expired on {}", path.display(), utc(*until))]
    #[non_exhaustive]
    CertificateExpired {
        /// The certificate's file, or `<bytes>` for a certificate given as text.
        path: PathBuf,
        /// When the certificate expired.
        until: SystemTime,
    },
    /// The server refused a certificate that is not valid yet, by the local clock.
    #[error("the certificate {} is not valid before {}", path.display(), utc(*from))]
    #[non_exhaustive]
    CertificateNotYetValid {
        /// The certificate's file, or `<bytes>` for a certificate given as text.
        path: PathBuf,
        /// When the certificate becomes valid.
        from: SystemTime,
    },
    /// The server refused a certificate that does not name the user. A server with
    /// `AuthorizedPrincipalsFile` may expect a name other than the user's.
    #[error("the certificate {} is for {}", path.display(), named(principals))]
    #[non_exhaustive]
    CertificateOfOthers {
        /// The certificate's file, or `<bytes>` for a certificate given as text.
        path: PathBuf,
        /// The names in the certificate.
        principals: Vec<String>,
    },
    /// The password was not sent, because other hosts have refused it and no host has accepted it
    /// ([`guard_passwords`](crate::config::ClientBuilder::guard_passwords)).
    #[error("the password was not sent: {}", withheld(refused_by))]
    #[non_exhaustive]
    PasswordWithheld {
        /// The hosts that have refused the password.
        refused_by: Arc<[Arc<str>]>,
    },
    /// No password was sent and no prompt was answered, because the host's key has changed, and the
    /// policy accepts that
    /// ([`danger_accept_changed`](crate::hostkey::HostKeyPolicy::danger_accept_changed)).
    #[error(
        "passwords and keyboard-interactive are off, because the host's key has changed: check it, and \
         put the right key on record"
    )]
    HostKeyChanged,
    /// keyboard-interactive: the server's prompts were not answered, because the
    /// [responder](crate::config::ClientBuilder::responder) declined, or because there is no
    /// responder and the server asked for something other than
    /// [the password](crate::config::ClientBuilder::password_prompt).
    #[error("no answer to {}{}", asked(prompt, *prompts), needed(*needs))]
    #[non_exhaustive]
    Unanswered {
        /// The first prompt, cut to 512 bytes.
        prompt: String,
        /// How many prompts the round has.
        prompts: usize,
        /// The settings that can answer the prompts; `None` if the responder declined.
        needs: Option<&'static str>,
    },
    /// The server wants a new password. The old one was not sent as the new one.
    ///
    /// Either the server has answered the `password` method with a request for a new password (RFC
    /// 4252 section 8), or a prompt of keyboard-interactive asks for one, as PAM does. OpenSSH's
    /// sshd accepts an expired password by the `password` method, and ends the command instead,
    /// with status 1 and a message on standard error.
    #[error("the password has expired, and the server wants a new one{}", wanted(prompt.as_deref()))]
    #[non_exhaustive]
    PasswordExpired {
        /// The prompt, [sanitised](crate::output::sanitise) and cut to 512 bytes. `None` for the
        /// `password` method, whose prompt libssh does not reveal.
        prompt: Option<String>,
    },
    /// The server accepts none of the configured methods, but keyboard-interactive, which is not
    /// configured.
    #[error("keyboard-interactive needs {0}")]
    InteractiveOff(&'static str),
    /// keyboard-interactive: the [responder](crate::config::ClientBuilder::responder) gave more or
    /// fewer answers than there were prompts. No answer was sent.
    #[error("the responder gave {answers} answers to {}", asked(prompt, *prompts))]
    #[non_exhaustive]
    WrongAnswers {
        /// The first prompt, cut to 512 bytes.
        prompt: String,
        /// How many prompts the round has.
        prompts: usize,
        /// How many answers the responder gave.
        answers: usize,
    },
    /// keyboard-interactive: the [responder](crate::config::ClientBuilder::responder) panicked.
    /// Nothing was sent.
    #[error("the responder panicked")]
    ResponderPanicked,
    /// keyboard-interactive: an answer contains a NUL byte. No answer was sent.
    #[error("the answer to prompt {} contains a NUL byte", index + 1)]
    #[non_exhaustive]
    NulInAnswer {
        /// Index of the prompt in the round, from 0.
        index: usize,
    },
    /// keyboard-interactive: the server asked for more rounds than are allowed.
    #[error("the server asked again after {0} rounds of questions")]
    TooManyRounds(u32),
}

/// Why a password was not sent.
pub(super) fn withheld(refused_by: &[Arc<str>]) -> String {
    let hosts: Vec<_> = refused_by.iter().map(|host| peer(host)).collect();
    format!(
        "{} have refused it and no host has accepted it, so that it does not lock the account; check it, \
         or turn guard_passwords off",
        hosts.join(" and ")
    )
}

fn named(principals: &[String]) -> String {
    if principals.is_empty() {
        return "nobody".to_owned();
    }
    let names: Vec<String> = principals.iter().map(|name| format!("\"{}\"", peer(name))).collect();
    format!("{} only", names.join(", "))
}

/// Formats a time as a Gregorian date. Like Unix time, this ignores leap seconds.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", days + 1)
}

fn wanted(prompt: Option<&str>) -> String {
    prompt.map_or_else(String::new, |prompt| format!(": \"{prompt}\""))
}

fn needed(settings: Option<&str>) -> String {
    settings.map_or_else(String::new, |settings| format!(" (set {settings} to answer it)"))
}

fn asked(prompt: &str, prompts: usize) -> String {
    let first = peer(prompt);
    match prompts {
        1 => format!("\"{first}\""),
        _ => format!("{prompts} prompts, the first of which is \"{first}\""),
    }
}

/// Lists the methods, and these keys behind `publickey`.
fn listed(methods: &[AuthMethod], keys: &[Fingerprint]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let names = methods.iter().map(|method| match method {
        AuthMethod::PublicKey if !keys.is_empty() => format!("{method} ({})", keys.join(", ")),
        method => method.to_string(),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// What is known about a login without success.
pub(super) fn refusal(
    tried: &[AuthMethod],
    keys: &[Fingerprint],
    offered: &[AuthMethod],
    problems: &[AuthProblem],
) -> String {
    let is_cut = problems.iter().any(|problem| matches!(problem, AuthProblem::Disconnected { .. }));
    let has_credential = problems.iter().any(|problem| !matches!(problem, AuthProblem::InteractiveOff(_)));
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    // The server was asked for nothing, so it has said nothing.
    if tried.is_empty() && offered.is_empty() && !problems.is_empty() {
        return problems.join("; ");
    }
    let tried = match tried {
        [] if has_credential => "nothing".to_owned(),
        [] => "nothing (no credential is configured or found)".to_owned(),
        tried => listed(tried, keys),
    };
    let offered = if offered.is_empty() { "nothing more".to_owned() } else { listed(offered, &[]) };
    let parts = [format!("tried {tried}"), format!("the server offers {offered}")];
    let too_many = (keys.len() > 1 && is_cut).then(|| "identities_only would offer fewer keys".to_owned());
    parts.into_iter().chain(problems).chain(too_many).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // The dates that `date -u -d @SECONDS` prints.
        let dates = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_577_934_245, "2020-01-02 03:04:05 UTC"),
            (1_798_761_599, "2026-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ];
        for (seconds, expected) in dates {
            assert_eq!(utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn names_in_a_certificate_are_shown_clean() {
        let of = |principals: &[&str]| {
            let principals = principals.iter().map(|name| (*name).to_owned()).collect();
            AuthProblem::CertificateOfOthers { path: "id-cert.pub".into(), principals }.to_string()
        };
        assert_eq!(of(&[]), "the certificate id-cert.pub is for nobody");
        assert_eq!(of(&["a", "b\x1b"]), "the certificate id-cert.pub is for \"a\", \"b\\x1b\" only");
    }
}
