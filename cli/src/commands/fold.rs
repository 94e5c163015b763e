//! `sshoal fold`: folds what other programs print.

use std::error::Error;
use std::io;

use sshoal::output::sanitise;

use crate::args::FoldArgs;
use crate::output::fold;
use crate::targets;

/// Reads standard input to its end.
pub fn run(args: &FoldArgs) -> Result<u8, Box<dyn Error>> {
    let mut screen = args.folding.screen();
    let input = &mut io::stdin().lock();
    let unlabelled =
        fold(input, &args.separator, &args.folding.options(), &targets::fold_labels, &mut screen)?;
    if unlabelled.count > 0 {
        let first = sanitise(&unlabelled.first);
        eprintln!("sshoal: {} lines have no host in front and were left out, as {first:?}", unlabelled.count);
        return Ok(1);
    }
    Ok(0)
}
