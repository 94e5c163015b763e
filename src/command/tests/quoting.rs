//! Runs random commands through a real shell, which must receive every byte unchanged.

use std::fs;
use std::process::Command as Process;

use super::*;
use crate::command::SudoMark;

const COMMANDS: usize = 10_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many commands one shell process reads. Their text is in memory twice.
const BATCH: usize = 2_500;

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }

    /// Any bytes but NUL. Half of the time, most of them are bytes that are special to a shell.
    fn text(&mut self) -> Vec<u8> {
        const SPECIAL: &[u8] = b"''''\"\\\\$`!#~*?[]{}()<>|&;% \t\n\r=-abc01";
        let special_of_four = if self.next(2) == 0 { 3 } else { 0 };
        let len = self.next(64);
        let mut text = Vec::new();
        for _ in 0..len {
            text.push(if self.next(4) < special_of_four {
                SPECIAL[self.next(SPECIAL.len())]
            } else {
                u8::try_from(1 + self.next(255)).unwrap()
            });
        }
        // A shell is most likely to lose bytes at the end of the text.
        text.extend([b"'".as_slice(), b"\n\n", b"\\", b""][self.next(4)]);
        // A blank command is rejected.
        if text.iter().all(u8::is_ascii_whitespace) {
            text.push(b'x');
        }
        text
    }
}

/// A `sudo` that asks for nothing, and drops what is written to standard error.
const SUDO: &[u8] = b"sudo() { shift 3; \"$@\" 2>/dev/null; }";

/// What `/bin/sh` prints when it reads these lines as a script.
fn run(lines: &[Vec<u8>]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, [SUDO, &lines.join(&b'\n')].join(&b'\n')).unwrap();
    // The folder is empty, in case a pattern is expanded after all. There is no locale, as on a
    // host that has none.
    let output =
        Process::new("/bin/sh").arg(&script).current_dir(dir.path()).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

/// Runs `wrapped(text)` for many texts. Each must print its text, followed by a NUL.
fn assert_unaltered(count: usize, wrapped: impl Fn(&[u8]) -> Command) {
    assert_all_unaltered(count, 1, |texts| wrapped(&texts[0]));
}

/// Runs `wrapped(texts)` for many texts, `each` of them at a time. Each command must print its
/// texts, each followed by a NUL.
fn assert_all_unaltered(count: usize, each: usize, wrapped: impl Fn(&[Vec<u8>]) -> Command) {
    let mut random = Random(SEED);
    let texts: Vec<Vec<u8>> = (0..count).map(|_| random.text()).collect();
    for texts in texts.chunks(BATCH) {
        let lines: Vec<Vec<u8>> = texts.chunks(each).map(|texts| sent(&wrapped(texts))).collect();
        let printed = run(&lines);
        let mut found = printed.split(|&byte| byte == 0);
        for (texts, line) in texts.chunks(each).zip(&lines) {
            for text in texts {
                let shown = || (line.escape_ascii().to_string(), text.escape_ascii().to_string());
                assert_eq!(found.next(), Some(text.as_slice()), "{:?}", shown());
            }
        }
        assert_eq!(found.collect::<Vec<_>>(), [b""], "nothing else is printed");
    }
}

#[test]
fn the_shell_gets_ten_thousand_random_commands_unaltered() {
    // The "shell" is a program that prints the text that it should run, so the text may be
    // anything.
    assert_unaltered(COMMANDS, |text| Command::new(text).shell("printf '%s\\0'"));
}

/// Each command takes a process, and has ten of the arguments.
#[test]
fn ten_thousand_random_arguments_survive_two_shells() {
    assert_all_unaltered(COMMANDS, 10, |texts| {
        let mut command = b"printf '%s\\0'".to_vec();
        for text in texts {
            command.push(b' ');
            crate::text::quote(text, &mut command);
        }
        Command::new(command).shell("sh -c")
    });
}

#[test]
fn the_shell_sets_ten_thousand_random_variables_unaltered() {
    let command = |value: &[u8]| Command::new("printf '%s\\0' \"$V\"").shell_env("V", value);
    assert_unaltered(COMMANDS, command);
    assert_unaltered(COMMANDS / 10, |value| command(value).shell("sh -c"));
}

/// Each of these commands takes two more processes than a command without `sudo`, so only some of
/// the random commands are run this way.
#[test]
fn two_thousand_random_commands_survive_a_sudo_with_a_password() {
    assert_unaltered(COMMANDS / 5, |text| {
        Command::new(text).shell("printf '%s\\0'").sudo_password("open sesame")
    });
}

/// All random commands are quoted with `sudo` as they are without it. Only the words in front of
/// the text differ, and these do not depend on the text.
#[test]
fn twenty_thousand_random_commands_are_quoted_alike_with_and_without_sudo() {
    let mut random = Random(SEED);
    for _ in 0..2 * COMMANDS {
        let text = random.text();
        let alone = sent(&Command::new(text.as_slice()).shell("sh -c"));
        let command = Command::new(text).shell("sh -c").run_as("web").sudo_password("open sesame");
        let requests = command.to_requests(1, Default::default()).unwrap();
        let login = requests[0].options.sudo.as_ref().unwrap();
        let [prompt, start] = [SudoMark::Prompt, SudoMark::Start].map(|mark| login.text(mark));
        let words = format!("sudo -u web -S -p {prompt} sh -c 'printf %s \"$0\" >&2; exec \"$@\"' {start} ");
        assert_eq!(requests[0].text.to_bytes(), [words.as_bytes(), &alone].concat());
    }
}
