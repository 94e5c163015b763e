//! Generated configurations, compared with `ssh -G` of the OpenSSH that is installed.
//!
//! `CONFIG_SEED=n` runs that seed alone; `CONFIG_SEEDS=n` sets how many seeds are run. Failures
//! print the seed and the files.

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::dump::{self, Dump, KEYWORDS, MORE_KEYWORDS, UNUSED_SOCKET};
use super::generator::{Generated, Generator};
use super::write;
use crate::ssh_config::*;

const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The environment that both sides have.
fn variables(home: &Path) -> Vec<(String, String)> {
    [("HOME", home.to_str().unwrap()), ("REALM", "lab"), ("SHELL", "/bin/sh"), ("PATH", "/usr/bin:/bin")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// The output of `ssh -G`, or what it prints as an error.
pub(super) fn ssh(home: &Path, config: &Path, arguments: &[&str]) -> Result<Dump, String> {
    let output = Command::new("ssh")
        .arg("-F")
        .arg(config)
        .arg("-G")
        .args(arguments)
        .env_clear()
        .envs(variables(home))
        .stdin(Stdio::null())
        .output()
        .expect("ssh is installed (tests/packages.txt)");
    if output.status.success() {
        Ok(dump::parse(&String::from_utf8(output.stdout).unwrap()))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What this library says, in the form of `ssh -G`.
pub(super) fn ours(
    home: &Path,
    config: &Path,
    destination: &SshDestination,
    defaults: &Dump,
) -> Result<Dump, SshConfigError> {
    let mut context = LocalContext::current()?;
    context.variables = variables(home).into_iter().collect();
    let user = context.user.clone();
    let config = SshConfig::load_file(config, context)?;
    let mut resolver = config.resolver_with(ShellExec::new("/bin/sh", Duration::from_secs(60)));
    let settings = resolver.resolve(destination)?;
    let (merged, _) = resolver.merge(destination)?;
    Ok(dump::dump(&merged, &settings, &user, defaults))
}

/// Compares the keywords that have an effect; both sides may also refuse.
pub(super) fn compare(
    theirs: &Result<Dump, String>,
    ours: &Result<Dump, SshConfigError>,
) -> Result<(), String> {
    let (theirs, ours) = match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(_), Err(_)) => return Ok(()),
        (Ok(_), Err(error)) => return Err(format!("only we refuse it: {error}")),
        (Err(error), Ok(_)) => return Err(format!("only ssh refuses it: {error}")),
    };
    let mut faults = String::new();
    for keyword in KEYWORDS.iter().chain(&MORE_KEYWORDS) {
        let (theirs, ours) = (theirs.get(*keyword), ours.get(*keyword));
        let is_unused = ours.is_some_and(|lines| lines[0] == UNUSED_SOCKET);
        if theirs != ours && !is_unused {
            let _ = writeln!(faults, "{keyword}: ssh {theirs:?}, we {ours:?}");
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What ssh prints without a file. In Debian's ssh, `BatchMode` changes a default.
pub(super) fn defaults(home: &Path, alias: &str, output: &Result<Dump, String>) -> Result<Dump, String> {
    let batch_mode = output.as_ref().map_or("no", |dump| &dump["batchmode"][0]);
    ssh(home, Path::new("/dev/null"), &["-o", &format!("BatchMode={batch_mode}"), alias])
}

fn check(seed: u64) -> Result<bool, String> {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let Generated { files, destinations } = Generator::new(seed, home).generate();
    for (name, text) in &files {
        write(&home.join(name), text);
    }
    let config = home.join(&files[0].0);
    let mut is_accepted = false;
    for (arguments, destination) in &destinations {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let theirs = ssh(home, &config, &arguments);
        let defaults = defaults(home, destination.alias(), &theirs)?;
        let ours = ours(home, &config, destination, &defaults);
        is_accepted |= theirs.is_ok();
        compare(&theirs, &ours).map_err(|faults| {
            let mut text = format!("seed {seed}, {arguments:?}:\n{faults}");
            for (name, content) in &files {
                let _ =
                    write!(text, "--- {name}\n{}\n", content.escape_debug().to_string().replace("\\n", "\n"));
            }
            text
        })?;
    }
    Ok(is_accepted)
}

#[test]
fn settings_equal_those_of_ssh() {
    let seeds = match number("CONFIG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CONFIG_SEEDS").unwrap_or(SEEDS),
    };
    let count = seeds.end - seeds.start;
    println!("seeds {seeds:?}");
    let mut accepted = 0;
    for seed in seeds {
        match check(seed) {
            Ok(is_accepted) => accepted += u64::from(is_accepted),
            Err(faults) => panic!("{faults}"),
        }
    }
    // A generator of nonsense would prove nothing.
    assert!(accepted * 10 >= count * 8 || count < 10, "ssh accepts only {accepted} of {count}");
}

/// The files that paths expand to are those that ssh opens: `ssh -G` leaves them as written.
#[test]
fn keys_are_the_files_that_ssh_opens() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config");
    let text = "
IdentityFile ~/keys/%h-%p-%r-%n-%u-%i-%k
IdentityFile /keys/%C
IdentityFile %d/%L.%l
IdentityFile ~root/${REALM}/100%%
IdentityFile none
Host a*
    HostName %h.example.invalid
    Port 2022
    User carol
Host *b
    HostKeyAlias Shared
    ProxyJump none
";
    write(&config, text);
    for alias in ["ab", "a", "zb", "abc", "127.1"] {
        let output = Command::new("ssh")
            .args(["-v", "-o", "BatchMode=yes", "-o", "ProxyCommand=false", "-F"])
            .arg(&config)
            .arg(alias)
            .env_clear()
            .envs(variables(home.path()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let opened = log.lines().filter_map(|line| {
            let path = line.trim_end().strip_prefix("debug1: identity file ")?.strip_suffix(" type -1")?;
            (!path.ends_with("-cert")).then(|| path.to_owned())
        });
        let opened: Vec<String> = opened.collect();
        assert_eq!(opened.len(), 4, "{log}");
        let mut context = LocalContext::current().unwrap();
        context.variables = variables(home.path()).into_iter().collect();
        let config = SshConfig::load_file(&config, context).unwrap();
        let destination = SshDestination::new(alias);
        let settings = config.resolver().resolve(&destination).unwrap();
        let ours: Vec<String> =
            settings.identity_files.unwrap().iter().map(|path| path.display().to_string()).collect();
        assert_eq!(ours, opened, "{alias}");
    }
}
