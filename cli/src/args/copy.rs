//! `sshoal put`, `sshoal get` and `sshoal sync`: what is copied, and how.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use sshoal::transfer;

use super::duration::{Limit, duration, limit};
use super::rate::rate;
use super::{ConnectionArgs, OutputArgs, PaceArgs, SafetyArgs, SecretArgs};
use crate::history::Which;
use crate::targets::TargetArgs;

/// Everything about a copy but the files.
#[derive(Debug, Args)]
pub struct CopyArgs {
    #[command(flatten)]
    pub targets: TargetArgs,
    /// Those of the last run: all, failed, ok, timeout, ...
    ///
    /// Or unreachable, or not-started. With -w and the like: those that are in both.
    #[arg(long, value_enum, value_name = "END", num_args = 0..=1, require_equals = true,
        default_missing_value = "all", hide_possible_values = true, help_heading = "Targets")]
    pub last: Option<Which>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub pace: PaceArgs,
    /// Bytes per second, of all hosts together, such as 10M
    ///
    /// Contents of files count; there is no limit by default. The unit is required: k, M and G are
    /// thousands, Ki, Mi and Gi are powers of 1024, B is a byte (rsync counts in KiB, and `scp -l`
    /// in kbit, each for one host). Hosts take turns, so that they advance evenly. -u and --deadline
    /// go on while a copy waits for its turn, --idle does not.
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Running")]
    pub bwlimit: Option<u64>,
    /// Limit of each copy [default: none]
    #[arg(short = 'u', long, value_name = "TIME", value_parser = limit, hide_short_help = true, help_heading = "Running")]
    pub command_timeout: Option<Limit>,
    /// End copies that make no progress for this long
    #[arg(long, value_name = "TIME", value_parser = limit, hide_short_help = true, help_heading = "Running")]
    pub idle: Option<Limit>,
    /// Limit of the whole run
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true, help_heading = "Running")]
    pub deadline: Option<Duration>,
    /// Values for each host, for %{COLUMN} in the paths: CSV with a header, or JSON Lines
    ///
    /// The column `host` says which host a line is for. `%%` stands for `%`.
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = "Running")]
    pub arg_file: Option<PathBuf>,
    /// Fill in %{name}, %{host} and %{n} (from 0) in the paths
    #[arg(long, hide_short_help = true, help_heading = "Running")]
    pub template: bool,
    #[command(flatten)]
    pub safety: SafetyArgs,
    #[command(flatten)]
    pub secrets: SecretArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Links {
    /// What they lead to is copied.
    #[default]
    Follow,
    /// They become links with the same targets.
    Copy,
    /// They are left out.
    Skip,
}

impl From<Links> for transfer::Links {
    fn from(links: Links) -> Self {
        match links {
            Links::Follow => Self::Follow,
            Links::Copy => Self::Copy,
            Links::Skip => Self::Skip,
        }
    }
}

/// Copy files to many hosts, over SFTP
///
/// As with cp and scp, DEST is a directory if it is one on the host, if it ends with a slash, or if
/// there are several files; without a slash at its start, it is relative to the home directory.
/// Missing directories are created. Each file is written under a temporary name and renamed, so the
/// target is the old file or the new one, never a part; a symbolic link is replaced, and not what it
/// leads to. Copies have the modes of the files.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal put",
    bin_name = "sshoal put",
    override_usage = "sshoal put -w SET [OPTIONS] FILE... DEST",
    mut_arg("sudo", |arg| arg.help("Install the files as root or USER, through sudo")),
    mut_arg("dry_run", |arg| arg.long_help(DRY_RUN)),
    mut_arg("accept_new", |arg| arg.hide_short_help(true)),
    mut_arg("gate", |arg| arg.hide_short_help(true)),
    mut_arg("ordered", |arg| arg.hide_short_help(true))
)]
pub struct PutArgs {
    /// The files, and where they go on the hosts
    #[arg(value_name = "FILE", required = true)]
    pub paths: Vec<OsString>,
    #[command(flatten)]
    pub how: PutHow,
    /// Directories with everything in them
    ///
    /// As with cp, DIR becomes DEST, or DEST/DIR if DEST is there or ends with a slash. DIR/. and .
    /// are what is in the directory.
    #[arg(short, long, help_heading = "Copying", conflicts_with_all = ["sudo", "sudo_password", "sudo_password_file"])]
    pub recursive: bool,
    /// Keep the times of the files
    #[arg(long, help_heading = "Copying")]
    pub preserve: bool,
    /// The mode of the copies, such as 640
    #[arg(long, value_name = "MODE", value_parser = mode, help_heading = "Copying")]
    pub mode: Option<u32>,
    /// Leave files alone that have the same size and time. Sets --preserve
    #[arg(long, help_heading = "Copying")]
    pub skip_same: bool,
    /// DEST is the copy itself, also if there is a directory of that name
    ///
    /// Only this works with servers that have no SFTP: a file is then sent to `scp` there.
    #[arg(short = 'T', long, help_heading = "Copying", hide_short_help = true)]
    pub no_target_directory: bool,
    /// Write the files in place, without temporary names: for devices, or to keep owners
    ///
    /// A copy that fails leaves a part of a file.
    #[arg(long, help_heading = "Copying", hide_short_help = true)]
    pub in_place: bool,
    /// Continue copies that were interrupted. Sets --checksum
    ///
    /// For a directory, write DEST/ if it goes into DEST, or -T if it becomes DEST: the first copy
    /// may have created DEST.
    #[arg(long = "continue", help_heading = "Copying", conflicts_with = "in_place")]
    pub resume: bool,
    /// The owner of the copies, as USER or USER:GROUP; needs --sudo
    #[arg(long, value_name = "USER[:GROUP]", help_heading = "Copying", hide_short_help = true)]
    pub owner: Option<String>,
    #[command(flatten)]
    pub copy: CopyArgs,
}

/// Make a directory of many hosts like a local one, over SFTP
///
/// DEST gets what is in DIR, with modes and times. Files that have the same size and time stay.
/// Of a file that differs, all is sent: it is no rsync.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal sync",
    bin_name = "sshoal sync",
    override_usage = "sshoal sync -w SET [OPTIONS] DIR DEST",
    mut_arg("dry_run", |arg| arg.long_help(DRY_SYNC)),
    mut_arg("accept_new", |arg| arg.hide_short_help(true)),
    mut_arg("gate", |arg| arg.hide_short_help(true)),
    mut_arg("ordered", |arg| arg.hide_short_help(true)),
    mut_arg("sudo", |arg| arg.hide(true)),
    mut_arg("sudo_password", |arg| arg.hide(true)),
    mut_arg("sudo_password_file", |arg| arg.hide(true))
)]
pub struct SyncArgs {
    /// The directory of this machine
    #[arg(value_name = "DIR")]
    pub dir: OsString,
    /// The directory on the hosts
    #[arg(value_name = "DEST")]
    pub dest: OsString,
    /// Delete what DIR does not have
    ///
    /// Hosts are looked at first, and the number of what would be deleted is shown and asked for;
    /// -y does not ask. Links are deleted and never followed. Nothing is deleted on a host where some
    /// file could not be copied, so also if something in DIR cannot be read or is no file.
    #[arg(long, help_heading = "Copying")]
    pub delete: bool,
    #[command(flatten)]
    pub how: PutHow,
    #[command(flatten)]
    pub copy: CopyArgs,
}

/// Copy files from many hosts, over SFTP
///
/// With several hosts, the copies are DEST/HOST/NAME. With one, DEST is the copy, unless it is a
/// directory. Missing directories are created. A host is trusted for nothing: names and links that
/// lead out of DEST are refused, and no host can replace the copy of another one. Where a server has
/// no SFTP, single files are fetched by `scp` there.
#[derive(Debug, Parser)]
#[command(
    name = "sshoal get",
    bin_name = "sshoal get",
    override_usage = "sshoal get -w SET [OPTIONS] FILE... DEST",
    mut_arg("dry_run", |arg| arg.long_help(DRY_RUN)),
    mut_arg("accept_new", |arg| arg.hide_short_help(true)),
    mut_arg("gate", |arg| arg.hide_short_help(true)),
    mut_arg("ordered", |arg| arg.hide_short_help(true)),
    mut_arg("sudo", |arg| arg.hide(true)),
    mut_arg("sudo_password", |arg| arg.hide(true)),
    mut_arg("sudo_password_file", |arg| arg.hide(true))
)]
pub struct GetArgs {
    /// The files on the hosts, and where they go on this machine
    #[arg(value_name = "FILE", required = true)]
    pub paths: Vec<OsString>,
    /// The names of the copies in DEST, such as '{name}.{host}'
    ///
    /// {host} is the host as the set names it, {name} the name of the file, {path} its whole path.
    /// Slashes make directories; {{ and }} stand for braces. [default: {host}/{name}, for one host
    /// {name}]
    #[arg(long, value_name = "TEMPLATE", help_heading = "Copying")]
    pub name: Option<String>,
    /// Directories with everything in them
    ///
    /// DIR/. and . are what is in the directory, which goes into DEST, or DEST/HOST.
    #[arg(short, long, help_heading = "Copying")]
    pub recursive: bool,
    /// Keep the modes and the times of the files
    #[arg(long, help_heading = "Copying")]
    pub preserve: bool,
    /// What to do with symbolic links: follow, copy or skip
    ///
    /// With `follow`, what they lead to is copied; with `copy`, they become links with the same
    /// targets; with `skip`, they are left out.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value_t,
        hide_possible_values = true,
        help_heading = "Copying"
    )]
    pub links: Links,
    /// Leave files alone that have the same size and time
    #[arg(long, help_heading = "Copying")]
    pub skip_same: bool,
    /// Continue copies that were interrupted
    #[arg(long = "continue", help_heading = "Copying")]
    pub resume: bool,
    /// Do not replace files that are there
    #[arg(long, help_heading = "Copying")]
    pub no_clobber: bool,
    /// Files may grow meanwhile, as logs do
    #[arg(long, help_heading = "Copying", hide_short_help = true)]
    pub growing: bool,
    /// Have copies on the disk before they count
    #[arg(long, help_heading = "Copying", hide_short_help = true)]
    pub fsync: bool,
    /// Fetch at most so many files of each host [default: 100000]
    #[arg(long, value_name = "N", help_heading = "Copying", hide_short_help = true)]
    pub max_files: Option<u64>,
    /// Fetch at most so many bytes of each host [default: no limit]
    #[arg(long, value_name = "BYTES", help_heading = "Copying", hide_short_help = true)]
    pub max_bytes: Option<u64>,
    /// Fetch at most so many levels of directories [default: 64]
    #[arg(long, value_name = "N", help_heading = "Copying", hide_short_help = true)]
    pub max_depth: Option<usize>,
    #[command(flatten)]
    pub copy: CopyArgs,
}

const DRY_SYNC: &str = "Show how many files would be copied, and deleted

Hosts are looked at, and nothing is changed there.";

const DRY_RUN: &str = "Show what would be done

For each host the login, the way, whether its key is on record, and the paths. Uses no network.";

/// What `put` and `sync` have in common.
#[derive(Debug, Args)]
#[command(next_help_heading = "Copying")]
pub struct PutHow {
    /// What to do with symbolic links: follow, copy or skip
    ///
    /// With `follow`, what they lead to is copied; with `copy`, they become links with the same
    /// targets; with `skip`, they are left out.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, hide_possible_values = true)]
    pub links: Links,
    /// Compare copies by SHA-256, which the hosts compute, before they are renamed
    #[arg(long, hide_short_help = true)]
    pub checksum: bool,
    /// Have copies on the hosts' disks before they are renamed
    #[arg(long, hide_short_help = true)]
    pub fsync: bool,
    /// Do not create missing directories above DEST
    #[arg(long, hide_short_help = true)]
    pub no_parents: bool,
}

impl PutArgs {
    /// The local paths, and the one on the hosts.
    pub fn split(&self) -> Result<Split<'_>, &'static str> {
        split(&self.paths).ok_or("name the files, and where they go on the hosts: FILE... DEST")
    }
}

impl GetArgs {
    /// The paths on the hosts, and the local one.
    pub fn split(&self) -> Result<Split<'_>, &'static str> {
        split(&self.paths).ok_or("name the files, and where they go on this machine: FILE... DEST")
    }
}

/// Sources, and where they go.
pub type Split<'a> = (&'a [OsString], &'a OsString);

/// All paths but the last one, and that. clap could demand two, but only side by side.
fn split(paths: &[OsString]) -> Option<Split<'_>> {
    let (dest, sources) = paths.split_last()?;
    (!sources.is_empty()).then_some((sources, dest))
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| "write an octal number, such as 640".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        for command in [PutArgs::command(), GetArgs::command(), SyncArgs::command()] {
            command.debug_assert();
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("640"), mode("0755"), mode("7777")), (Ok(0o640), Ok(0o755), Ok(0o7777)));
        for text in ["", "8", "10000", "u+x", "-1"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_path_is_the_destination() {
        let args = PutArgs::try_parse_from(["put", "-w", "web1", "a", "b", "-r", "c"]).unwrap();
        let (files, dest) = args.split().unwrap();
        assert_eq!((files, dest.to_str()), (&["a".into(), "b".into()][..], Some("c")));
        assert!(args.recursive);
        assert!(PutArgs::try_parse_from(["put", "-w", "web1", "a"]).unwrap().split().is_err());
        assert!(PutArgs::try_parse_from(["put", "-w", "web1"]).is_err());
        assert!(PutArgs::try_parse_from(["put", "-w", "web1", "-r", "--sudo", "a", "b"]).is_err());
    }
}
