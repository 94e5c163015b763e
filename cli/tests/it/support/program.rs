//! Running the program.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::alarm::watchdog;

const LIMIT: Duration = Duration::from_secs(60);

/// Where the program is.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_sshoal");

/// A command line of the program.
pub struct Program(Command);

/// What a command line has printed, and its exit code.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Program {
    /// With this state folder, and nothing else of the user's.
    pub fn new(state: &Path) -> Self {
        Self::of(Path::new(PROGRAM), state)
    }

    /// The program by another name: `path` is a link to it.
    pub fn of(path: &Path, state: &Path) -> Self {
        let mut command = Command::new(path);
        command.env_remove("SSH_AUTH_SOCK").env("XDG_STATE_HOME", state).stdin(Stdio::null());
        Self(command)
    }

    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    pub fn command(self) -> Command {
        self.0
    }

    /// Runs it to its end.
    pub fn run(self) -> Done {
        self.run_with(b"")
    }

    /// Runs it to its end, with this on standard input, through a pipe.
    pub fn run_with(mut self, input: &[u8]) -> Done {
        if !input.is_empty() {
            self.0.stdin(Stdio::piped());
        }
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the program runs");
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            // The program may end without having read it all.
            std::thread::spawn(move || _ = stdin.write_all(&input));
        }
        Done::of(child)
    }

    /// Starts it.
    pub fn start(mut self) -> Child {
        self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.0.spawn().expect("the program runs")
    }
}

impl Done {
    /// Waits for the end of the program.
    pub fn of(child: Child) -> Self {
        let _dog = watchdog(LIMIT, "sshoal");
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The lines of standard output, sorted: hosts answer in any order.
    pub fn sorted(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.out.lines().collect();
        lines.sort_unstable();
        lines
    }
}
