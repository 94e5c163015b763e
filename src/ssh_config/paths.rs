//! `~` at the start of paths.

use std::path::PathBuf;

use nix::unistd::User;

use super::context::LocalContext;

/// Replaces `~` and `~user` (misc.c, `tilde_expand`).
pub(super) fn tilde(text: &str, context: &LocalContext) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('~') else { return Ok(text.to_owned()) };
    let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
    let home = if user.is_empty() { Some(context.home.clone()) } else { home_of(user) };
    let home = home.ok_or_else(|| format!("the user of {text:?} is unknown"))?;
    let home = home.into_os_string().into_string().map_err(|_| "the home is not UTF-8".to_owned())?;
    let slash = if home.ends_with('/') { "" } else { "/" };
    Ok(format!("{home}{slash}{}", path.trim_start_matches('/')))
}

fn home_of(user: &str) -> Option<PathBuf> {
    User::from_name(user).ok().flatten().map(|user| user.dir)
}

/// The home that `Include` uses: that of the environment, as glob(3) has it.
pub(super) fn include_home(context: &LocalContext) -> PathBuf {
    match context.variables.get("HOME") {
        Some(home) if !home.is_empty() => home.into(),
        _ => context.home.clone(),
    }
}

/// The path of an `Include` that begins with `~`.
pub(super) fn include_tilde(word: &str, context: &LocalContext) -> Option<PathBuf> {
    let rest = word.strip_prefix('~')?;
    let (user, path) = rest.split_once('/').unwrap_or((rest, ""));
    let home = if user.is_empty() { include_home(context) } else { home_of(user)? };
    Some(home.join(path.trim_start_matches('/')))
}
