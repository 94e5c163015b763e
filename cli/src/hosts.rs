//! `sshoal hosts`: what sets stand for, as `nodeset` and `cluset` of ClusterShell show it.

use std::error::Error;
use std::io::{self, BufWriter, ErrorKind, Write};

use clap::Parser;
use sshoal::output::sanitise;
use sshoal::ssh_config::{LocalContext, SshConfig};

use crate::targets::{Folded, Places, Sources, TargetArgs, positions, regroup};

/// Show what sets of hosts stand for, without connecting to any
///
/// Sets that are arguments are added to those of -w. Without any, standard input is read.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal hosts",
    override_usage = "sshoal hosts [-c | -e | -f | -r | -l | -L] [OPTIONS] [SET]..."
)]
pub struct HostsArgs {
    #[command(flatten)]
    form: Form,
    /// Between names that -e prints; \n is a line end
    #[arg(short = 'S', long, value_name = "TEXT", default_value = " ")]
    separator: String,
    /// Only the hosts at these positions, from 0, as 0-9 or 0-99/10
    #[arg(short = 'I', long, value_name = "RANGES")]
    slice: Option<String>,
    /// N sets of about the same size, a line each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    split: Option<u32>,
    #[command(flatten)]
    targets: TargetArgs,
    /// Sets, as for -w
    #[arg(value_name = "SET")]
    more: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Form {
    /// Print the number of hosts
    #[arg(short, long)]
    count: bool,
    /// Print each name
    #[arg(short, long)]
    expand: bool,
    /// Print one set (the default)
    #[arg(short, long)]
    fold: bool,
    /// Print one set, with groups where all of their hosts are in it
    #[arg(short, long)]
    regroup: bool,
    /// Print the groups of the source
    #[arg(short, long, conflicts_with = "more")]
    list: bool,
    /// Print the groups of all sources
    #[arg(short = 'L', long, conflicts_with = "more")]
    list_all: bool,
}

/// Prints the hosts. Returns the exit code.
pub fn run(args: &HostsArgs) -> Result<u8, Box<dyn Error>> {
    let mut targets = args.targets.clone();
    targets.sets.extend(args.more.iter().cloned());
    let lists = args.form.list || args.form.list_all;
    if !targets.selects() && !lists {
        targets.sets.push("-".to_owned());
    }
    let config = SshConfig::load(LocalContext::current()?)?;
    let sources = Sources::load(&targets, Places::current(), Some(&config))?;
    if lists {
        return list(&sources, targets.source.as_deref(), args.form.list_all);
    }
    let selection = sources.select(&targets)?;
    for notice in &selection.notices {
        eprintln!("sshoal: {notice}");
    }
    let mut names = Folded::new(selection.targets.iter().map(|target| &target.name)).names();
    if let Some(ranges) = &args.slice {
        let positions = positions(ranges, names.len()).map_err(|error| error.within("-I"))?;
        names = positions.into_iter().map(|at| std::mem::take(&mut names[at])).collect();
    }
    let text = |part: &[String]| -> Result<String, Box<dyn Error>> {
        Ok(match &args.form {
            Form { count: true, .. } => part.len().to_string(),
            Form { expand: true, .. } => part.join(&unescaped(&args.separator)),
            Form { regroup: true, .. } => regroup(part, &sources, targets.source.as_deref())?,
            _ => Folded::new(part).to_string(),
        })
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut print = |part: &[String]| -> Result<(), Box<dyn Error>> { Ok(writeln!(out, "{}", text(part)?)?) };
    let printed = match args.split {
        Some(parts) if !names.is_empty() => split(&names, parts as usize).try_for_each(&mut print),
        _ => print(&names),
    };
    match printed.and_then(|()| Ok(out.flush()?)) {
        Err(error) if is_closed_pipe(&*error) => Ok(0),
        done => done.map(|()| 0),
    }
}

/// Prints groups as sets write them, a line each.
fn list(sources: &Sources, source: Option<&str>, all: bool) -> Result<u8, Box<dyn Error>> {
    let groups = &sources.groups;
    let default = groups.default_source();
    let chosen: Vec<String> = match (all, source) {
        (true, _) => groups.source_names().map(str::to_owned).collect(),
        (false, Some(source)) => vec![source.to_owned()],
        (false, None) => vec![default.clone()?],
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failed = None;
    for source in chosen {
        let is_default = default.as_ref() == Ok(&source);
        match groups.names(&source) {
            Ok(names) => {
                for name in names.iter().map(|name| sanitise(name)) {
                    match is_default && !all {
                        true => writeln!(out, "@{name}")?,
                        false => writeln!(out, "@{}:{name}", sanitise(&source))?,
                    }
                }
            }
            // Others may.
            Err(error) => failed = Some(error),
        }
    }
    match out.flush() {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(error.into()),
        Ok(()) => failed.map_or(Ok(0), |error| Err(error.into())),
    }
}

/// At most `parts` parts, of which the first ones may have one name more.
fn split(names: &[String], parts: usize) -> impl Iterator<Item = &[String]> {
    let parts = parts.min(names.len());
    let (size, longer) = (names.len() / parts, names.len() % parts);
    let start = move |part: usize| part * size + part.min(longer);
    (0..parts).map(move |part| &names[start(part)..start(part + 1)])
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0")
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        HostsArgs::command().debug_assert();
    }

    #[test]
    fn parts_are_about_equal() {
        let names: Vec<String> = (0..10).map(|number| number.to_string()).collect();
        let sizes = |parts| split(&names, parts).map(<[String]>::len).collect::<Vec<_>>();
        assert_eq!((sizes(3), sizes(1), sizes(99)), (vec![4, 3, 3], vec![10], vec![1; 10]));
        assert_eq!(split(&names, 3).flatten().count(), 10);
    }
}
