//! What is transferred: checked before anything starts, and shared by the hosts.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::get::{Get, GetPlan, GetTask, ScpGet};
use super::local::{Claims, Source, SourceOptions};
use super::ops::{FilePlan, FileRequest, FileTask};
use super::put::{Put, PutPlan, PutTask, ScpPut};
use super::task::Task;
use crate::error::{ConfigProblem, TemplateProblem};

/// A transfer as its caller has described it.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Put(Put),
    Get(Get),
    File(FileRequest),
}

/// A transfer of one or more hosts whose paths are the same.
#[derive(Debug)]
pub(crate) enum Plan {
    Put(Arc<PutPlan>),
    Get(Arc<GetPlan>),
    File(Arc<FilePlan>),
}

/// Why a transfer cannot be planned.
pub(crate) enum PlanProblem {
    Template(TemplateProblem),
    Config(ConfigProblem),
}

/// What the plans of one run share.
#[derive(Default)]
pub(crate) struct Shared {
    sources: HashMap<(PathBuf, SourceOptions), Arc<Source>>,
    pub(super) claims: Arc<Claims>,
}

/// Replaces the placeholders of a path by the values of a host.
pub(crate) type Fill<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, TemplateProblem> + 'a;

impl Work {
    /// Checks the transfer. `is_privileged` says whether files are installed by another user than
    /// the one that logs in.
    pub(crate) fn plan(
        &self,
        shared: &mut Shared,
        fill: &mut Fill<'_>,
        is_privileged: bool,
    ) -> Result<Plan, PlanProblem> {
        match self {
            Self::Put(put) => Ok(Plan::Put(Arc::new(put.plan(shared, fill, is_privileged)?))),
            Self::Get(get) => Ok(Plan::Get(Arc::new(get.plan(shared, fill, is_privileged)?))),
            Self::File(request) => Ok(Plan::File(Arc::new(request.plan(fill, is_privileged)?))),
        }
    }
}

impl Plan {
    /// The command on the host that does without SFTP. `None` if there is none.
    pub(crate) fn plain_command(&self) -> Option<CString> {
        let text = match self {
            Self::Put(plan) => plan.scp_command(),
            Self::Get(plan) => plan.scp_command(),
            Self::File(_) => None,
        };
        CString::new(text?).ok()
    }

    /// The task of one host that speaks with that command.
    pub(super) fn plain_task(&self, host: &str) -> Box<dyn Task> {
        match self {
            Self::Put(plan) => Box::new(ScpPut::new(plan.clone())),
            Self::Get(plan) => Box::new(ScpGet::new(plan.clone(), host)),
            // There is no such command.
            Self::File(_) => self.task(host),
        }
    }

    /// The task of one host. `host` is its name for local paths.
    pub(super) fn task(&self, host: &str) -> Box<dyn Task> {
        match self {
            Self::Put(plan) => Box::new(PutTask::new(plan.clone())),
            Self::Get(plan) => Box::new(GetTask::new(plan.clone(), host)),
            Self::File(plan) => Box::new(FileTask::new(plan)),
        }
    }
}

impl Shared {
    /// What is sent from a local path. Hosts with the same path share it.
    pub(super) fn source(&mut self, path: &Path, options: SourceOptions) -> Arc<Source> {
        let new = || Arc::new(Source::path(path.to_owned(), options));
        self.sources.entry((path.to_owned(), options)).or_insert_with(new).clone()
    }
}

/// Fills the placeholders of a path, and checks the result.
pub(super) fn path(setting: &'static str, path: &[u8], fill: &mut Fill<'_>) -> Result<Vec<u8>, PlanProblem> {
    let path = fill(path).map_err(PlanProblem::Template)?;
    if path.is_empty() || path.contains(&0) {
        return Err(PlanProblem::Config(ConfigProblem::Invalid {
            setting,
            value: String::from_utf8_lossy(&path).into_owned(),
            problem: "a path must not be empty, or contain NUL bytes".to_owned(),
        }));
    }
    Ok(path)
}

/// A path of this machine from its bytes.
pub(super) fn local_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
