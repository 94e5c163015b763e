//! `sshoal completions` and `sshoal manual`, for packages.

use std::error::Error;
use std::io::{self, Write};

use clap::{Command, Id};
use clap_mangen::Man;

use crate::args;
use crate::completion::Shell;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<u8, Box<dyn Error>> {
    io::stdout().write_all(shell.script().as_bytes())?;
    Ok(0)
}

/// Prints the manual page, in troff: runs, and then what is different with each subcommand.
pub fn manual() -> Result<u8, Box<dyn Error>> {
    let mut page = Vec::new();
    let runs = Man::new(whole(args::of_runs()));
    runs.render_title(&mut page)?;
    runs.render_name_section(&mut page)?;
    runs.render_synopsis_section(&mut page)?;
    runs.render_description_section(&mut page)?;
    runs.render_options_section(&mut page)?;
    runs.render_extra_section(&mut page)?;
    let common = args::of_runs();
    let is_common = |id: &Id| common.get_arguments().any(|argument| argument.get_id() == id);
    for command in args::subcommands() {
        let heading = format!("SSHOAL {}", command.get_name().to_uppercase());
        let has_common = command.get_arguments().any(|argument| is_common(argument.get_id()));
        let own = whole(command).mut_args(|argument| {
            let is_hidden = is_common(argument.get_id());
            argument.hide(is_hidden)
        });
        page.extend(section(&heading, own, has_common)?);
    }
    runs.render_version_section(&mut page)?;
    io::stdout().write_all(&page)?;
    Ok(0)
}

/// With what `-h` leaves out.
fn whole(command: Command) -> Command {
    command.mut_args(|argument| argument.hide_short_help(false))
}

/// A subcommand, as a section of the page.
fn section(heading: &str, command: Command, has_common: bool) -> io::Result<Vec<u8>> {
    let man = Man::new(command);
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    // Its headings are below that of the section.
    let parts = String::from_utf8_lossy(&parts).replace(".SH ", ".SS ");
    let common = if has_common { ".PP\nFlags that are not listed here are those above.\n" } else { "" };
    Ok(format!(".SH \"{heading}\"\n{parts}{common}").into_bytes())
}
