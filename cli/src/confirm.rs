//! A question before a run on many hosts.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use sshoal::output::sanitise;

use crate::args::{Confirm, SafetyArgs};
use crate::output::Hosts;

/// With more hosts than this, a user on a terminal is asked.
const MANY: usize = 20;

/// Whether to run this on these hosts. Asks for their number, because a `y` is typed too easily.
///
/// # Errors
/// The user has to be asked, and there is no terminal.
pub fn run(args: &SafetyArgs, command: &str, hosts: &Hosts<'_>) -> io::Result<bool> {
    let asks = match args.confirm {
        _ if args.yes => false,
        Confirm::Never => false,
        Confirm::Always => true,
        Confirm::Auto => hosts.len() > MANY && io::stdin().is_terminal() && io::stderr().is_terminal(),
    };
    if !asks {
        return Ok(true);
    }
    let all: Vec<usize> = (0..hosts.len()).collect();
    let (set, command) = (hosts.set(&all), sanitise(command));
    let text = format!("{command}\non {set}\nType the number of hosts ({}) to go on: ", hosts.len());
    ask(&text, hosts.len() as u64)
}

/// Whether it is asked before something is deleted.
pub fn asks_about_deletion(args: &SafetyArgs) -> bool {
    !args.yes && args.confirm != Confirm::Never
}

/// Whether to delete so much on these hosts. Asks for the number. `unknown` are hosts of which the
/// number is not known.
///
/// # Errors
/// There is no terminal.
pub fn deletion(command: &str, count: u64, set: &str, unknown: Option<&str>) -> io::Result<bool> {
    ask(&about_deletion(command, count, set, unknown), count)
}

fn about_deletion(command: &str, count: u64, set: &str, unknown: Option<&str>) -> String {
    let what = if count == 1 { "file or directory" } else { "files and directories" };
    let others = unknown.map_or_else(String::new, |set| {
        format!(",\nand what it finds on {set}, which could not be compared completely")
    });
    let command = sanitise(command);
    format!("{command}\ndeletes {count} {what} on {set}{others}\nType their number ({count}) to go on: ")
}

/// Whether this number is typed.
fn ask(text: &str, number: u64) -> io::Result<bool> {
    let no_terminal = |error: io::Error| {
        io::Error::new(error.kind(), format!("there is no terminal to ask on ({error}); -y does not ask"))
    };
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    terminal.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim().parse() == Ok(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_an_unknown_number_of_deletions_are_named() {
        assert_eq!(
            about_deletion("sync a b", 8, "web[1-2] (2)", None),
            "sync a b\ndeletes 8 files and directories on web[1-2] (2)\nType their number (8) to go on: "
        );
        assert_eq!(
            about_deletion("sync a b\x1b", 1, "web1", Some("web[2-3] (2)")),
            "sync a b\\x1b\ndeletes 1 file or directory on web1,\nand what it finds on web[2-3] (2), which \
             could not be compared completely\nType their number (1) to go on: "
        );
    }
}
