//! What the libssh in use can do.

use std::collections::HashMap;
use std::ffi::CString;

use crate::error::{ConfigProblem, Error, Origin};
use crate::link::algorithms::AlgorithmKind;
use crate::link::engine;

/// What is known about the libssh in use. Each question to it takes a session of its own, so the
/// answers are kept while many hosts are converted.
#[derive(Debug, Default)]
pub(super) struct LibraryFacts {
    algorithms: [HashMap<String, bool>; AlgorithmKind::ALL.len()],
    users: HashMap<String, bool>,
}

impl LibraryFacts {
    /// Whether algorithms of this name can be offered.
    pub fn supports(&mut self, kind: AlgorithmKind, name: &str) -> bool {
        known(&mut self.algorithms[kind as usize], name, || engine::supports(kind, name).is_ok())
    }

    /// Whether GSSAPI can be used with this login name.
    pub fn takes_user(&mut self, user: &str) -> bool {
        known(&mut self.users, user, || CString::new(user).is_ok_and(|user| engine::takes_user(&user)))
    }
}

fn known(facts: &mut HashMap<String, bool>, name: &str, ask: impl FnOnce() -> bool) -> bool {
    if let Some(known) = facts.get(name) {
        return *known;
    }
    *facts.entry(name.to_owned()).or_insert(ask())
}

/// The name to log in with, checked against what libssh accepts.
pub(super) fn login_name(user: Option<&str>, has_gssapi: bool, origin: &Origin) -> Result<CString, Error> {
    let Some(user) = user else {
        let (setting, needs) = ("user", "a value, because the owner of this process has no name");
        return Err(ConfigProblem::Missing { setting, needs }.of(Origin::Default));
    };
    let Ok(name) = CString::new(user) else {
        let problem = "contains a NUL byte";
        return Err(ConfigProblem::Unusable { setting: "user", problem }.of(origin.clone()));
    };
    if has_gssapi && !engine::takes_user(&name) {
        let problem = "libssh cannot use this name with GSSAPI: set gssapi_auth(false)".to_owned();
        let value = user.to_owned();
        return Err(ConfigProblem::Invalid { setting: "user", value, problem }.of(origin.clone()));
    }
    Ok(name)
}

pub(super) fn check_library() -> Result<(), Error> {
    if engine::has_gssapi() {
        return Ok(());
    }
    Err(Error::Unsupported {
        feature: "GSSAPI",
        library: engine::version(),
        reason: "it was built without GSSAPI",
    })
}

/// Returns an error if agent forwarding is disabled because too many hosts have made libssh loop.
pub(super) fn check_forwarding() -> Result<(), Error> {
    if engine::can_forward_agent() {
        return Ok(());
    }
    let reason = "too many hosts have made it loop for ever in this process; restart the program";
    Err(Error::Unsupported { feature: "agent forwarding", library: engine::version(), reason })
}
