//! How `sudo` is invoked and how it is given the password.

use std::sync::Arc;
use std::{fmt, io};

use zeroize::{Zeroize, Zeroizing};

use super::Command;
use crate::error::{ConfigProblem, Error};
use crate::limits;

/// How the prompts of `sudo` are handled, if the caller does not answer them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prompts {
    answer: Option<Answer>,
    /// Whether `sudo` must not prompt.
    non_interactive: bool,
}

/// The line that answers a prompt: a password and a line end. It is shared, is never shown, and is
/// overwritten when its last owner drops it.
#[derive(Clone)]
struct Answer(Arc<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

impl Answer {
    fn new(mut password: String) -> Self {
        // The buffer has room for the line end, because growing it would leave a copy of the
        // password behind.
        let mut line = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        line.extend_from_slice(password.as_bytes());
        line.push(b'\n');
        password.zeroize();
        Self(Arc::new(line))
    }

    /// Why `sudo` would not read the answer as exactly one line; `None` if it would. The command
    /// would read the part of the answer that `sudo` leaves unread.
    fn problem(&self) -> Option<&'static str> {
        let (_, password) = self.0.split_last()?;
        if password.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Some("contains a line end or a NUL byte");
        }
        (password.len() > limits::SUDO_PASSWORD_BYTES).then_some("is too long for sudo")
    }
}

impl Prompts {
    /// The setting that needs `sudo`, if there is one.
    pub(super) fn setting(&self) -> Option<&'static str> {
        match self {
            Self { answer: Some(_), .. } => Some("sudo_password"),
            Self { non_interactive: true, .. } => Some("sudo_non_interactive"),
            _ => None,
        }
    }

    /// The words that follow `sudo` on the command line and, if the password is set, how to answer
    /// the prompt.
    pub(super) fn options(&self) -> Result<(String, Option<SudoLogin>), Error> {
        let Some(answer) = &self.answer else {
            let option = if self.non_interactive { "-n" } else { "-S" };
            return Ok((option.to_owned(), None));
        };
        if self.non_interactive {
            let (setting, other) = ("sudo_password", "sudo_non_interactive");
            return Err(ConfigProblem::Conflict { setting, other }.of_command());
        }
        if let Some(problem) = answer.problem() {
            return Err(ConfigProblem::Unusable { setting: "sudo_password", problem }.of_command());
        }
        let login = SudoLogin::new(answer.clone())
            .map_err(|error| Error::System { what: "get random bytes", error })?;
        let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| login.text(mark));
        let options = format!("-S -p {prompt} sh -c '{ANNOUNCE_AND_RUN}' {start}");
        Ok((options, Some(login)))
    }
}

/// The script that `sudo` runs. It reports on standard error that `sudo` has let the user in, and
/// then executes its arguments, which are the shell and the command. Because the command is an
/// argument and not a part of the script, it is quoted only once, as without the script.
const ANNOUNCE_AND_RUN: &str = r#"printf %s "$0" >&2; exec "$@""#;

/// The text that sudo-rs puts in front of a prompt. The whole prompt of sudo-rs is
/// `[sudo: {prompt}] Password: `.
const FRAME: &str = "[sudo: ";

/// What to look for in the output of `sudo` in one run, and what to answer.
#[derive(Clone)]
pub(crate) struct SudoLogin {
    /// A [`FRAME`], followed by the text that all marks of the run begin with. That text contains a
    /// random number, so that it cannot be guessed.
    framed_stem: String,
    answer: Answer,
}

impl fmt::Debug for SudoLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SudoLogin(..)")
    }
}

/// A text that occurs nowhere else in the output, and shows how far a run of `sudo` has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SudoMark {
    /// `sudo` waits for a password.
    Prompt,
    /// The command begins.
    Start,
}

impl SudoMark {
    fn word(self) -> &'static str {
        match self {
            Self::Prompt => "password",
            Self::Start => "started",
        }
    }
}

/// Where the first mark in some output is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The mark extends from `start` to `end`. `framed` means that the mark is a prompt with
    /// sudo-rs's text around it, so the rest of the line belongs to the mark as well.
    Mark { mark: SudoMark, start: usize, end: usize, framed: bool },
    /// There is no complete mark. A mark may begin at this position, which is the end of the output
    /// if no part of a mark has arrived.
    Perhaps(usize),
}

impl SudoLogin {
    fn new(answer: Answer) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Self::with_nonce(&format!("{:032x}", u128::from_ne_bytes(random)), answer))
    }

    /// A login with known marks, for test scripts that need the marks before the command exists.
    #[cfg(test)]
    pub(crate) fn known() -> Self {
        Self::with_nonce("known", Answer::new("open sesame".to_owned()))
    }

    fn with_nonce(nonce: &str, answer: Answer) -> Self {
        Self { framed_stem: format!("{FRAME}sshoal-{nonce}-"), answer }
    }

    fn stem(&self) -> &str {
        &self.framed_stem[FRAME.len()..]
    }

    /// A mark as `sudo` writes it. It contains nothing that is special to a shell or to `sudo`.
    pub(crate) fn text(&self, mark: SudoMark) -> String {
        format!("{}{}", self.stem(), mark.word())
    }

    /// The password, without the line end.
    pub(crate) fn password(&self) -> &[u8] {
        self.answer.0.split_last().map_or(&[], |(_, password)| password)
    }

    /// The line that answers a prompt.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.answer.0
    }

    pub(crate) fn find(&self, output: &[u8]) -> Found {
        let stem = self.stem().as_bytes();
        for at in memchr::memmem::find_iter(output, stem) {
            let framed = output[..at].ends_with(FRAME.as_bytes());
            let start = if framed { at - FRAME.len() } else { at };
            let behind = at + stem.len();
            let tail = &output[behind..];
            for mark in [SudoMark::Prompt, SudoMark::Start] {
                let word = mark.word().as_bytes();
                if tail.starts_with(word) {
                    let framed = framed && mark == SudoMark::Prompt;
                    let start = if framed { start } else { at };
                    return Found::Mark { mark, start, end: behind + word.len(), framed };
                }
                if word.starts_with(tail) {
                    return Found::Perhaps(start);
                }
            }
        }
        let begun = [self.framed_stem.as_bytes(), stem].map(|text| {
            let len = (1..text.len()).rev().find(|len| output.ends_with(&text[..*len]));
            len.unwrap_or(0)
        });
        Found::Perhaps(output.len() - begun[0].max(begun[1]))
    }
}

impl Command {
    /// The password for `sudo`. With a password, the command runs through `sudo`, whether or not
    /// [`sudo`](Self::sudo) is on. Default: none, so the caller answers `sudo` on the command's
    /// standard input.
    ///
    /// The password is sent only when `sudo` asks for it. It is never sent to a host whose `sudo`
    /// needs none, never to the command, and never twice. To make sure of that, `sudo` is given a
    /// prompt (`-p`) that is generated for each run and cannot be guessed. `sudo` also runs the
    /// shell through a script that first reports that the command begins:
    ///
    /// ```text
    /// sudo -S -p {prompt} sh -c 'printf %s "$0" >&2; exec "$@"' {start} $SHELL -c 'the text'
    /// ```
    ///
    /// `-u {name}` and the [`shell`](Self::shell) have the same places as [without a
    /// password](Self::sudo). The prompt and the report are removed from the output. So is the text
    /// that sudo-rs puts around the prompt, and everything that any `sudo` shows of a password on a
    /// terminal. Standard input, including its end, is held back until the command begins, so that
    /// `sudo` cannot take it for the password.
    ///
    /// If `sudo` refuses the password, it asks again. The command is then given up, and its outcome
    /// is
    /// [`ChannelProblem::SudoPasswordRefused`](crate::error::ChannelProblem::SudoPasswordRefused).
    /// Until a host has accepted the password, it is sent to
    /// [one host at a time](crate::config::ClientBuilder::guard_passwords).
    /// The output then contains what `sudo` has printed. If the user may not use `sudo` at all,
    /// `sudo` itself reports that on standard error and by its exit status. If `sudo` neither asks
    /// for the password nor lets the command begin within the time limit of a login, for example
    /// because it asks for something else, the outcome is a
    /// [`TimeoutKind::Sudo`](crate::error::TimeoutKind::Sudo).
    ///
    /// `sudo` must be allowed to run `sh`. A `sudo` that asks for several things one after the
    /// other, such as a password and a code, cannot be answered in this way.
    ///
    /// ```no_run
    /// use sshoal::{Command, JoinOptions, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let password = String::new();
    /// let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// let command = Command::new("systemctl restart nginx").sudo_password(password);
    /// let outputs = client.run_command(command)?;
    /// client.join(&outputs, JoinOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// These errors are returned when the command is started, in which case nothing runs.
    /// [`Error::Config`] if the password contains a line end or a NUL byte, or has more than 254
    /// bytes, which is the most that every `sudo` reads. [`Error::Config`] if
    /// [`sudo_non_interactive`](Self::sudo_non_interactive) is on as well.
    pub fn sudo_password(mut self, password: impl Into<String>) -> Self {
        self.wrapping.prompts.answer = Some(Answer::new(password.into()));
        self
    }

    /// Whether `sudo` exits at once with status 1 if it needs a password, instead of asking for it.
    /// With `true`, the command runs through `sudo`, whether or not [`sudo`](Self::sudo) is on.
    /// Default: `false`.
    ///
    /// The command line has `-n` in the place of `-S`: `sudo -n $SHELL -c 'the text'`.
    ///
    /// ```
    /// use sshoal::{Command, Error, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let builder = |hosts: [&str; 1]| {
    /// #     ParallelClient::builder(hosts).known_hosts(["/dev/null"]).identity_auth(false)
    /// # };
    /// let reload = Command::new("systemctl reload nginx").sudo_non_interactive(true);
    /// let mistake = reload.clone().sudo_password("secret");
    /// let mut client = builder(["web1"]).build()?;
    /// assert!(matches!(client.run_command(mistake), Err(Error::Config { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the command is started, [`Error::Config`] is returned if a
    /// [`sudo_password`](Self::sudo_password) is set as well.
    pub fn sudo_non_interactive(mut self, on: bool) -> Self {
        self.wrapping.prompts.non_interactive = on;
        self
    }
}
