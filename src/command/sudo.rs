//! How `sudo` is called, and how its password is given.

use std::sync::Arc;
use std::{fmt, io};

use zeroize::{Zeroize, Zeroizing};

use super::Command;
use crate::error::{ConfigProblem, Error};
use crate::limits;

/// What becomes of the prompts of `sudo`, if not the caller answers them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prompts {
    answer: Option<Answer>,
    /// There are to be none.
    non_interactive: bool,
}

/// The line that answers a prompt: a password and a line end. Shared, never shown, overwritten when
/// the last owner drops it.
#[derive(Clone)]
struct Answer(Arc<Zeroizing<Vec<u8>>>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

impl Answer {
    fn new(mut password: String) -> Self {
        // With room for the line end: growing would leave a copy behind.
        let mut line = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        line.extend_from_slice(password.as_bytes());
        line.push(b'\n');
        password.zeroize();
        Self(Arc::new(line))
    }

    /// What keeps `sudo` from reading it as the one line that it is: the rest would reach the
    /// command.
    fn problem(&self) -> Option<&'static str> {
        let (_, password) = self.0.split_last()?;
        if password.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Some("contains a line end or a NUL byte");
        }
        (password.len() > limits::SUDO_PASSWORD_BYTES).then_some("is too long for sudo")
    }
}

impl Prompts {
    pub(super) fn want_sudo(&self) -> bool {
        self.answer.is_some() || self.non_interactive
    }

    /// The words behind `sudo`, and what they lead to.
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

/// Run by `sudo`: tells on standard error that it is let in, then becomes the shell that runs the
/// command, whose words are its arguments. The command is quoted once, as without it.
const ANNOUNCE_AND_RUN: &str = r#"printf %s "$0" >&2; exec "$@""#;

/// What precedes a prompt in that of sudo-rs: `[sudo: {prompt}] Password: `.
const FRAME: &str = "[sudo: ";

/// What to look for in the output of one run's `sudo`, and what to answer.
pub(crate) struct SudoLogin {
    /// What its marks begin with, and nobody can guess, behind a [`FRAME`].
    framed_stem: String,
    answer: Answer,
}

impl fmt::Debug for SudoLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SudoLogin(..)")
    }
}

/// What `sudo` says in a form that nothing else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SudoMark {
    /// It waits for a password.
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
    /// From `start` to `end`. Of a prompt that is `framed`, the rest of the line belongs to it.
    Mark { mark: SudoMark, start: usize, end: usize, framed: bool },
    /// Nowhere; one may begin here, or behind the end.
    Perhaps(usize),
}

impl SudoLogin {
    fn new(answer: Answer) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Self::with_nonce(&format!("{:032x}", u128::from_ne_bytes(random)), answer))
    }

    /// For scripts that are written before the command is given.
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

    /// A mark as `sudo` writes it. Nothing in it means anything to a shell, or to `sudo`.
    pub(crate) fn text(&self, mark: SudoMark) -> String {
        format!("{}{}", self.stem(), mark.word())
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
    /// The password to give to `sudo` where it asks for one, and the command to be run through
    /// `sudo`, whether or not [`sudo`](Self::sudo) is on. Default: none, and the caller answers
    /// `sudo` on the command's standard input.
    ///
    /// It is sent when `sudo` asks for it and at no other time: never to a host whose `sudo` needs
    /// none, never to the command, never twice. For that `sudo` is given a prompt that is made anew
    /// for each run and that nobody can guess (`-p`), and runs the shell through one that first
    /// tells that the command begins:
    ///
    /// ```text
    /// sudo -S -p {prompt} sh -c 'printf %s "$0" >&2; exec "$@"' {start} $SHELL -c 'the text'
    /// ```
    ///
    /// with `-u {name}` and the [`shell`](Self::shell) in the places that they have
    /// [otherwise](Self::sudo). Neither prompt nor start is left in the output, nor what the `sudo`
    /// of sudo-rs puts around the prompt, nor what any shows of a password on a terminal. What is
    /// written to standard input waits until the command begins, and so does its end: `sudo` cannot
    /// take it for the password.
    ///
    /// Where `sudo` refuses the password, it asks again. Then the command is given up: its outcome
    /// is
    /// [`ChannelProblem::SudoPasswordRefused`](crate::error::ChannelProblem::SudoPasswordRefused),
    /// behind what `sudo` has printed. A user who may not use `sudo` at all is told so by `sudo`
    /// itself, on standard error and by its exit status. A host where neither happens for as long
    /// as a login may take, as `sudo` asks for something else, has a
    /// [`TimeoutKind::Sudo`](crate::error::TimeoutKind::Sudo).
    ///
    /// `sudo` must be allowed to run `sh`. Where it asks for several things one after the other,
    /// such as a password and a code, it cannot be answered this way.
    ///
    /// ```no_run
    /// use sshoal::{Command, JoinOptions, ParallelClient};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let password = String::new();
    /// let mut client = ParallelClient::builder(["web1", "web2"]).build()?;
    /// let outputs = client.run_command(Command::new("systemctl restart nginx").sudo_password(password))?;
    /// client.join(&outputs, JoinOptions::default())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returned when the command is started; nothing runs then. [`Error::Config`] if the password
    /// contains a line end or a NUL byte, or has more than 254 bytes, what every `sudo` reads; and
    /// together with [`sudo_non_interactive`](Self::sudo_non_interactive).
    pub fn sudo_password(mut self, password: impl Into<String>) -> Self {
        self.wrapping.prompts.answer = Some(Answer::new(password.into()));
        self
    }

    /// Whether `sudo` ends at once with status 1, instead of asking, where it wants a password.
    /// With `true` the command runs through `sudo`, whether or not [`sudo`](Self::sudo) is on.
    /// Default: `false`.
    ///
    /// What is sent has `-n` in the place of `-S`: `sudo -n $SHELL -c 'the text'`.
    ///
    /// ```
    /// use sshoal::{Command, Error, ParallelClient};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let builder = |hosts: [&str; 1]| ParallelClient::builder(hosts).known_hosts(["/dev/null"]).identity_auth(false);
    /// let reload = Command::new("systemctl reload nginx").sudo_non_interactive(true);
    /// let mistake = reload.clone().sudo_password("secret");
    /// let mut client = builder(["web1"]).build()?;
    /// assert!(matches!(client.run_command(mistake), Err(Error::Config { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returned when the command is started: [`Error::Config`] together with
    /// [`sudo_password`](Self::sudo_password).
    pub fn sudo_non_interactive(mut self, on: bool) -> Self {
        self.wrapping.prompts.non_interactive = on;
        self
    }
}
