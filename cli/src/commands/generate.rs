//! `sshoal completions` and `sshoal manual`, for packages.

use std::error::Error;
use std::io::{self, Write};

use clap_complete::Shell;

use crate::args;

/// Prints the completions for a shell.
pub fn completions(shell: Shell) -> Result<u8, Box<dyn Error>> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::whole(), "sshoal", &mut script);
    io::stdout().write_all(&script)?;
    Ok(0)
}

/// Prints the manual page, in troff.
pub fn manual() -> Result<u8, Box<dyn Error>> {
    clap_mangen::Man::new(args::whole()).render(&mut io::stdout().lock())?;
    Ok(0)
}
