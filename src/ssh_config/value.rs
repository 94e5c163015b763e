//! How arguments become values (readconf.c, misc.c). Errors are texts without the place.

use std::path::PathBuf;
use std::time::Duration;
use std::vec::IntoIter;

use super::types::{AgentSocket, AlgorithmList, JumpHop, ListChange, ProxyRoute, Words};
use crate::text::sanitise;

/// The largest number that a setting can have (`INT_MAX`).
const NUMBER_MAX: u64 = i32::MAX as u64;

/// The most files of a kind (`SSH_MAX_HOSTS_FILES`).
const HOSTS_FILES_MAX: usize = 32;

type Parsed<T> = Result<T, String>;

/// The arguments of a line.
pub(super) struct Args<'a> {
    /// As written, without white space at the end. `None` is a text that is not UTF-8.
    pub text: Option<&'a str>,
    pub words: IntoIter<String>,
}

impl Args<'_> {
    fn next(&mut self) -> Parsed<String> {
        self.words.next().filter(|word| !word.is_empty()).ok_or_else(|| "needs a value".to_owned())
    }

    /// The rest of the line, with quotes and comments as written (`parse_command`).
    fn line(&mut self) -> Parsed<String> {
        self.words = Vec::new().into_iter();
        let text = self.text.ok_or("has a value that is not UTF-8")?;
        Ok(text.trim_start_matches([' ', '\t', '\r', '\n', '=']).to_owned())
    }
}

pub(super) fn text(args: &mut Args<'_>) -> Parsed<String> {
    args.next()
}

pub(super) fn path(args: &mut Args<'_>) -> Parsed<PathBuf> {
    args.next().map(PathBuf::from)
}

pub(super) fn command(args: &mut Args<'_>) -> Parsed<String> {
    args.line()
}

/// One of a few words, in any case (`parse_multistate`).
pub(super) fn word<T: Words>(args: &mut Args<'_>) -> Parsed<T> {
    let given = args.next()?;
    let found = T::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&given));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        format!("has the value {:?}; OpenSSH knows {}", sanitise(&given), words.join(", "))
    })
}

/// Only `yes` and `no` (`multistate_compression`).
pub(super) fn compression(args: &mut Args<'_>) -> Parsed<bool> {
    let given = args.next()?;
    match given.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("has the value {:?}; OpenSSH knows yes, no", sanitise(&given))),
    }
}

pub(super) fn number(args: &mut Args<'_>) -> Parsed<u32> {
    let given = args.next()?;
    let number = given.parse::<u32>().ok().filter(|number| u64::from(*number) <= NUMBER_MAX);
    number.ok_or_else(|| format!("has the value {:?}, not a number below 2^31", sanitise(&given)))
}

/// A port. OpenSSH also takes names from `/etc/services`.
pub(super) fn port(args: &mut Args<'_>) -> Parsed<u16> {
    let given = args.next()?;
    parse_port(&given).ok_or_else(|| {
        format!(
            "has the value {:?}, not a number from 1 to 65535 (names are not looked up)",
            sanitise(&given)
        )
    })
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// A time like `90`, `1h30m` (`convtime`). `none` sets nothing: in OpenSSH, a later line that
/// names a time wins.
pub(super) fn time(args: &mut Args<'_>) -> Parsed<Option<Duration>> {
    let given = args.next()?;
    if given == "none" {
        return Ok(None);
    }
    let fault = || format!("has the value {:?}, not a time like 90, 5m, or 1h30m", sanitise(&given));
    let mut total = 0_u64;
    let mut rest = given.as_str();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| fault())?;
        let unit = match after.bytes().next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            Some(_) => return Err(fault()),
        };
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(fault)?;
        if total > NUMBER_MAX {
            return Err(fault());
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(Some(Duration::from_secs(total)))
}

/// A time that has to be set.
pub(super) fn set_time(args: &mut Args<'_>) -> Parsed<Duration> {
    time(args)?.ok_or_else(|| "needs a time".to_owned())
}

/// Bytes like `512M` (`RekeyLimit`); 0 is the cipher's default.
pub(super) fn size(args: &mut Args<'_>) -> Parsed<u64> {
    let given = args.next()?;
    if given == "default" {
        return Ok(0);
    }
    let fault = || format!("has the value {:?}, not a size like 1000000, 512M, or 1G", sanitise(&given));
    let (digits, shift) = match given.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&given[..given.len() - 1], 10),
        Some(b'M') => (&given[..given.len() - 1], 20),
        Some(b'G') => (&given[..given.len() - 1], 30),
        _ => (given.as_str(), 0),
    };
    let number: u64 = digits.parse().map_err(|_| fault())?;
    let size = number.checked_mul(1 << shift).filter(|size| *size <= i64::MAX as u64).ok_or_else(fault)?;
    if (1..16).contains(&size) { Err("is below 16 bytes".to_owned()) } else { Ok(size) }
}

/// Several words. `none` must be alone.
fn words(args: &mut Args<'_>, max: usize) -> Parsed<Vec<String>> {
    let words: Vec<String> = args.words.by_ref().collect();
    if words.iter().any(String::is_empty) {
        return Err("has an empty value".to_owned());
    }
    if words.len() > 1 && words.iter().any(|word| word.eq_ignore_ascii_case("none")) {
        return Err("has none beside other values".to_owned());
    }
    if words.len() > max {
        return Err(format!("has more than {max} values"));
    }
    Ok(words)
}

/// known_hosts files. `none` stays a word here, because it counts as a value for the first line to
/// win.
pub(super) fn files(args: &mut Args<'_>) -> Parsed<Vec<PathBuf>> {
    Ok(words(args, HOSTS_FILES_MAX)?.into_iter().map(PathBuf::from).collect())
}

pub(super) fn methods(args: &mut Args<'_>) -> Parsed<Vec<String>> {
    Ok(args.next()?.split(',').map(str::to_owned).collect())
}

pub(super) fn algorithms(args: &mut Args<'_>) -> Parsed<AlgorithmList> {
    let given = args.next()?;
    let list = AlgorithmList::from(given.as_str());
    if list.change != ListChange::Remove && list.names.iter().any(String::is_empty) {
        return Err(format!("has the value {:?}, a list with an empty name", sanitise(&given)));
    }
    Ok(list)
}

/// `NAME=VALUE` several times; of two with the same name in a line, the first wins.
pub(super) fn variables(args: &mut Args<'_>) -> Parsed<Vec<(String, String)>> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for word in args.words.by_ref() {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("has the value {:?}, not NAME=VALUE", sanitise(&word)));
        };
        if !variables.iter().any(|(known, _)| known == name) {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}

/// Names of variables, which may be patterns, or begin with `-` to remove earlier ones.
pub(super) fn variable_names(args: &mut Args<'_>) -> Parsed<Vec<String>> {
    let names: Vec<String> = args.words.by_ref().collect();
    match names.iter().find(|name| name.is_empty() || name.contains('=')) {
        Some(name) => Err(format!("has {:?}, not the name of a variable", sanitise(name))),
        None => Ok(names),
    }
}

/// The socket of an agent, with tokens (`parse_agent_path`).
pub(super) fn agent(args: &mut Args<'_>) -> Parsed<AgentSocket> {
    agent_socket(args.next()?)
}

pub(super) fn agent_socket(given: String) -> Parsed<AgentSocket> {
    if given == "none" {
        return Ok(AgentSocket::Disabled);
    }
    if given == "SSH_AUTH_SOCK" {
        return Ok(AgentSocket::Variable(given));
    }
    match given.strip_prefix('$') {
        Some(name) if !name.starts_with('{') => {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(format!("has {:?}, not the name of a variable", sanitise(&given)));
            }
            Ok(AgentSocket::Variable(name.to_owned()))
        }
        _ => Ok(AgentSocket::Path(given.into())),
    }
}

pub(super) fn proxy_command(args: &mut Args<'_>) -> Parsed<ProxyRoute> {
    let command = args.line()?;
    Ok(if command.eq_ignore_ascii_case("none") { ProxyRoute::Direct } else { ProxyRoute::Command(command) })
}

/// `parse_jump`. A comment ends the list, also inside of a word.
pub(super) fn proxy_jump(args: &mut Args<'_>) -> Parsed<ProxyRoute> {
    let line = args.line()?;
    let list = line.split('#').next().unwrap_or_default().trim_end();
    if list.eq_ignore_ascii_case("none") {
        return Ok(ProxyRoute::Direct);
    }
    let hop = |text: &str| {
        jump_hop(text).ok_or_else(|| {
            format!("has {:?}, not [user@]host[:port] or ssh://[user@]host[:port]", sanitise(text))
        })
    };
    Ok(ProxyRoute::Jump(list.split(',').map(hop).collect::<Result<_, _>>()?))
}

/// `parse_ssh_uri` and `parse_user_host_port`.
fn jump_hop(text: &str) -> Option<JumpHop> {
    let uri = text.strip_prefix("ssh://");
    let (user, rest) = match uri {
        Some(uri) => match uri.split_once('@') {
            Some((user, rest)) => (Some(url_decoded(user.split(';').next()?)?), rest),
            None => (None, uri),
        },
        None => match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        },
    };
    if user.as_deref() == Some("") {
        return None;
    }
    let rest = if uri.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            match after {
                "" => (host, ""),
                _ => (host, after.strip_prefix(':')?),
            }
        }
        None => rest.split_once(':').unwrap_or((rest, "")),
    };
    if host.is_empty() || host.contains('/') {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(parse_port(port)?) };
    Some(JumpHop { user, host: host.to_owned(), port })
}

fn url_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}
