//! A line for each host, as GNU parallel's `--joblog` has them.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sshoal::output::sanitise;

use super::{HostIndex, Hosts, News, Options, Report, Screen, Way};
use crate::end::End;

const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The job log. A line is written when its host ends, so that a run that is killed leaves what is
/// known. `Seq` is the number of the target, from 1. `Exitval` is -1 if there was no exit status.
pub struct JobLog<'a> {
    hosts: &'a Hosts<'a>,
    writer: Box<dyn Write + 'a>,
    path: String,
    began: SystemTime,
    command: String,
    /// When each host started, and how much output it has sent.
    jobs: Vec<(Option<Duration>, u64)>,
    way: Option<Way>,
}

impl<'a> JobLog<'a> {
    /// Creates the file, or replaces it.
    pub fn create(
        path: &Path,
        hosts: &'a Hosts<'a>,
        options: &Options,
        began: SystemTime,
    ) -> io::Result<Self> {
        let writer = File::create(path).map_err(|error| error_of(&path.display().to_string(), &error))?;
        let mut log = Self {
            hosts,
            writer: Box::new(writer),
            path: path.display().to_string(),
            began,
            // A tab or a line end would look like another field or another line.
            command: sanitise(&options.command).into_owned(),
            jobs: vec![(None, 0); hosts.len()],
            way: options.way,
        };
        log.write(HEADER)?;
        Ok(log)
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(line.as_bytes()).map_err(|error| error_of(&self.path, &error))
    }

    fn end(&mut self, host: HostIndex, end: &End, at: Duration) -> io::Result<()> {
        let Some((started, received)) = self.jobs.get(host).copied() else { return Ok(()) };
        let started = started.unwrap_or(at);
        let time = (self.began + started).duration_since(UNIX_EPOCH).unwrap_or_default();
        let runtime = at.saturating_sub(started).as_secs_f64();
        let (status, signal) = match end {
            End::Exited(status) => (i64::from(*status), 0),
            End::Signaled { name, .. } => (-1, signal_number(name)),
            End::Copied(_) => (0, 0),
            End::NoStatus | End::Failed(_) => (-1, 0),
        };
        let (sent, received) = match end {
            End::Copied(done) if self.way == Some(Way::Put) => (done.bytes, 0),
            End::Copied(done) if self.way == Some(Way::Get) => (0, done.bytes),
            _ => (0, received),
        };
        let (seq, label, time) = (host + 1, self.hosts.label(host), time.as_secs_f64());
        let line = format!(
            "{seq}\t{label}\t{time:.3}\t{runtime:10.3}\t{sent}\t{received}\t{status}\t{signal}\t{}\n",
            self.command
        );
        self.write(&line)
    }
}

/// The number that Linux has for a signal of RFC 4254; -1 for others.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => -1,
    }
}

fn error_of(path: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("--joblog: cannot write {path}: {error}. Give another file."))
}

impl Report for JobLog<'_> {
    fn report(&mut self, news: News<'_>, at: Duration, _: &mut Screen<'_>) -> io::Result<()> {
        match news {
            News::Started { host } => {
                if let Some((started, _)) = self.jobs.get_mut(host) {
                    *started = Some(at);
                }
                Ok(())
            }
            News::Output { host, bytes, .. } => {
                if let Some((_, received)) = self.jobs.get_mut(host) {
                    *received += bytes.len() as u64;
                }
                Ok(())
            }
            News::Ended { host, end, .. } => self.end(host, end, at),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::output::tests::{Stage, at, ended, exited, failed, signaled};

    #[test]
    fn lines_are_those_of_gnu_parallel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let stage = Stage::new(&["web1", "web2", "db1"]);
        let options = Options { command: "echo a\tb\nreboot".to_owned(), ..Options::default() };
        let began = UNIX_EPOCH + Duration::from_millis(1_386_692_446_000);
        let mut log = JobLog::create(&path, &stage.hosts, &options, began).unwrap();
        stage.report(&mut log, News::Started { host: 0 }, at(512));
        stage.report(&mut log, News::Started { host: 1 }, at(600));
        stage.play(&mut log, &[(0, "out:hello\n"), (0, "err:!")]);
        stage.report(&mut log, ended(1, &signaled("TERM")), at(100_600));
        stage.report(&mut log, ended(0, &exited(3)), at(616));
        stage.report(&mut log, ended(2, &failed("refused")), at(700));
        let expected = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n\
            2\tweb2\t1386692446.600\t   100.000\t0\t0\t-1\t15\techo a\\tb\\nreboot\n\
            1\tweb1\t1386692446.512\t     0.104\t0\t7\t3\t0\techo a\\tb\\nreboot\n\
            3\tdb1\t1386692446.700\t     0.000\t0\t0\t-1\t0\techo a\\tb\\nreboot\n";
        assert_eq!(fs::read_to_string(path).unwrap(), expected);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let stage = Stage::new(&["web1"]);
        let path = Path::new("/no/such/folder/log");
        let error = JobLog::create(path, &stage.hosts, &Options::default(), UNIX_EPOCH).err().unwrap();
        let expected = "--joblog: cannot write /no/such/folder/log: No such file or directory (os error 2). Give \
                        another file.";
        assert_eq!(error.to_string(), expected);
    }
}
