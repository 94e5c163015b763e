//! A terminal with the program on it, and what a person sees there.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::Program;

const LIMIT: Duration = Duration::from_secs(20);

/// A pseudo-terminal, made by `script` (Debian: bsdutils), and its screen.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    parser: Arc<Mutex<vt100::Parser>>,
    /// A file with the path of its device.
    device: NamedTempFile,
}

impl Terminal {
    /// Runs the program on a terminal of this size. The last line tells its exit code.
    pub fn start(program: Program, columns: u16, rows: u16) -> Self {
        Self::of(program.command(), columns, rows)
    }

    /// Like [`start`](Self::start), for any program.
    pub fn of(program: Command, columns: u16, rows: u16) -> Self {
        let words = [program.get_program()].into_iter().chain(program.get_args());
        let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        let device = NamedTempFile::new().expect("a file");
        let line = format!(
            "tty >{}; stty cols {columns} rows {rows}; {}; echo \"[exit $?]\"",
            device.path().display(),
            words.join(" ")
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(folder) = program.get_current_dir() {
            script.current_dir(folder);
        }
        script.env("TERM", "xterm").env("SHELL", "/bin/bash");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = script.spawn().expect("script (Debian: bsdutils)");
        let keys = child.stdin.take().expect("piped");
        let mut screen = child.stdout.take().expect("piped");
        let size = [rows, columns].map(|size| NonZeroU16::new(size).expect("a size"));
        let parser = Arc::new(Mutex::new(vt100::Parser::new(size[0], size[1], 0)));
        let shown = parser.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..read]);
            }
        });
        Self { child, keys, parser, device }
    }

    /// Gives the terminal so many columns. As on xterm, lines that are longer are cut.
    pub fn resize(&self, columns: u16) {
        let mut parser = self.parser();
        let (rows, _) = parser.screen().size();
        parser.screen_mut().set_size(rows, NonZeroU16::new(columns).expect("a size"));
        drop(parser);
        let device = std::fs::read_to_string(self.device.path()).expect("the device");
        let device = std::fs::File::open(device.trim_end()).expect("the device");
        let status = Command::new("stty").args(["cols", &columns.to_string()]).stdin(device).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    /// Types these keys: `\x03` is ^C.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// What is on the screen now.
    pub fn text(&self) -> String {
        self.parser().screen().contents()
    }

    /// The colour of the first character of this text.
    #[track_caller]
    pub fn colour(&self, text: &str) -> vt100::Color {
        let parser = self.parser();
        let screen = parser.screen();
        let found = screen.rows(0, screen.size().1.get()).zip(0..).find_map(|(line, row)| {
            let column = u16::try_from(line.find(text)?).ok()?;
            Some(screen.cell(row, column)?.fgcolor())
        });
        found.unwrap_or_else(|| panic!("no {text:?} in {:?}", screen.contents()))
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn await_text(&self, text: &str) {
        self.await_screen(&format!("{text:?} on the screen"), |screen| screen.contains(text));
    }

    /// Waits until the screen ends with this, such as a prompt.
    #[track_caller]
    pub fn await_end(&self, text: &str) {
        self.await_screen(&format!("{text:?} at the end"), |screen| screen.trim_end().ends_with(text));
    }

    /// Waits until the screen fits.
    #[track_caller]
    pub fn await_screen(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !is_there(&self.text()) {
            assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}:\n{}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of the program, and returns its exit code.
    #[track_caller]
    pub fn exit_code(&self) -> i32 {
        self.await_text("[exit ");
        let text = self.text();
        let (_, rest) = text.rsplit_once("[exit ").expect("just seen");
        rest.split(']').next().and_then(|code| code.parse().ok()).expect("a number")
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The program gets SIGHUP with the end of the terminal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
