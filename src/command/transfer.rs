//! Commands that are transfers of files.

use std::ffi::CString;
use std::sync::Arc;

use super::args::HostArgs;
use super::request::{Program, Request, RunOptions, TransferRequest};
use super::wrap::Prefix;
use super::{Command, template};
use crate::error::Error;
use crate::output::Keep;
use crate::transfer::{FileRequest, Fill, Get, PlanProblem, Put, Shared, Work};

/// The name of the subsystem.
const SFTP: &std::ffi::CStr = c"sftp";

/// A transfer runs like any other command, and has no output. With
/// [`host_args`](Command::host_args), the placeholders in its paths are filled in. With
/// [`sudo`](Command::sudo) or [`run_as`](Command::run_as), a file is first sent to the home
/// directory of the login user, and then installed at its target by that user.
///
/// Of the other settings, those that change a command's text are errors.
impl From<Put> for Command {
    fn from(put: Put) -> Self {
        command(Work::Put(put))
    }
}

/// A get runs like any other command, as a [put](Put) does.
impl From<Get> for Command {
    fn from(get: Get) -> Self {
        command(Work::Get(get))
    }
}

/// A request runs like any other command, and its outcome is
/// [`Outcome::File`](crate::Outcome::File). With [`host_args`](Command::host_args), the
/// placeholders in its paths are filled in.
impl From<FileRequest> for Command {
    fn from(request: FileRequest) -> Self {
        command(Work::File(request))
    }
}

fn command(work: Work) -> Command {
    let none = Some(Keep::Nothing);
    let command = Command::of(Program::Subsystem, SFTP.to_bytes().to_vec());
    Command { transfer: Some(work), stdout: none.clone(), stderr: none, ..command }
}

/// Makes the requests of a transfer for this many hosts. Hosts with the same paths share a request.
pub(super) fn requests(
    work: &Work,
    (options, prefix): (&Arc<RunOptions>, &Prefix),
    host_args: &[HostArgs],
    hosts: usize,
) -> Result<Vec<Arc<Request>>, Error> {
    let mut shared = Shared::default();
    let mut request = |fill: &mut Fill<'_>| {
        let plan = work.plan(&mut shared, fill, prefix.bytes.is_some())?;
        let (prefix, sudo) = (prefix.bytes.clone(), prefix.login.clone());
        let (text, options) = (CString::from(SFTP), options.clone());
        let transfer = Some(TransferRequest { plan, prefix, sudo });
        Ok(Arc::new(Request { program: Program::Subsystem, text, options, transfer }))
    };
    let failed = |position, problem| match problem {
        PlanProblem::Template(problem) => Error::Template { position, name: None, problem },
        PlanProblem::Config(problem) => problem.of_command(),
    };
    if host_args.is_empty() {
        let request = request(&mut |path| Ok(path.to_vec())).map_err(|problem| failed(0, problem))?;
        return Ok(vec![request; hosts]);
    }
    if host_args.len() != hosts {
        return Err(Error::HostArgs { hosts, args: host_args.len() });
    }
    let mut requests = Vec::with_capacity(hosts);
    for (position, args) in host_args.iter().enumerate() {
        // Values in order fill each path that has placeholders from its start.
        let mut fill = |path: &[u8]| match memchr::memchr(b'%', path) {
            Some(_) => template::format(path, args),
            None => Ok(path.to_vec()),
        };
        requests.push(request(&mut fill).map_err(|problem| failed(position, problem))?);
    }
    Ok(requests)
}
