//! The end of a file: verified, and renamed to its target or installed there.

use std::mem;

use super::state::FileState;
use super::{FilePut, paths};
use crate::error::{LocalProblem, RemotePath, TransferProblem};
use crate::limits;
use crate::sftp::{Reply, Request};
use crate::transfer::errand::{ErrandResult, quoted};
use crate::transfer::replies::done;
use crate::transfer::requests::Step;
use crate::transfer::task::TaskCx;

/// What the commands that compute checksums are for.
const CHECKSUM: &str = "sha256sum";

impl FilePut {
    pub(super) fn close(&mut self, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Closing);
        let handle = mem::take(&mut self.handle);
        self.send(Step::Close, &Request::Close { handle: &handle }, cx);
    }

    pub(super) fn closed(&mut self, cx: &mut TaskCx<'_>) {
        if !self.plan.settings.checksum {
            return self.move_to_target(cx);
        }
        self.enter(FileState::Verifying);
        let path = mem::take(&mut self.path);
        self.sum(&path, cx);
        self.path = path;
    }

    fn move_to_target(&mut self, cx: &mut TaskCx<'_>) {
        if self.plan.settings.in_place {
            cx.report.done.files += 1;
            self.enter(FileState::Done);
        } else if self.plan.is_privileged {
            self.install(cx);
        } else {
            let is_atomic = cx.requests.extensions.posix_rename;
            self.rename(if is_atomic { Step::Rename } else { Step::PlainRename }, cx);
        }
    }

    /// Handles the checksum of the local file.
    pub(in crate::transfer::put) fn hashed(
        &mut self,
        result: Result<[u8; 32], LocalProblem>,
        cx: &mut TaskCx<'_>,
    ) {
        match result {
            Ok(sum) => self.sums.0 = Some(sum),
            Err(problem) => return self.fail(problem.into(), cx),
        }
        self.compare_sums(cx);
    }

    /// Handles the end of a command on the host.
    pub(in crate::transfer::put) fn ran(&mut self, result: &ErrandResult, cx: &mut TaskCx<'_>) {
        self.awaited = self.awaited.saturating_sub(1);
        match self.state {
            FileState::Discarding => self.discard_path(cx),
            FileState::Installing if result.is_success() => self.installed(cx),
            FileState::Installing => {
                let text = result.reason();
                self.fail(TransferProblem::Command { what: "install", text }, cx);
            }
            FileState::Summing | FileState::Verifying => {
                self.sums.1 = parse_sum(&result.stdout).filter(|_| result.is_success());
                match (self.sums.1, self.state) {
                    // What cannot be compared is sent.
                    (None, FileState::Summing) => self.open(cx),
                    (None, _) => {
                        let text = result.reason();
                        self.fail(TransferProblem::Command { what: CHECKSUM, text }, cx);
                    }
                    (Some(_), _) => self.compare_sums(cx),
                }
            }
            _ => {}
        }
    }

    /// Compares the checksums, once both are known.
    fn compare_sums(&mut self, cx: &mut TaskCx<'_>) {
        let (Some(here), Some(there)) = self.sums else { return };
        match self.state {
            FileState::Summing if here == there => self.skip(cx),
            FileState::Summing => self.open(cx),
            FileState::Verifying if here == there => {
                cx.report.done.verified += 1;
                self.move_to_target(cx);
            }
            FileState::Verifying => {
                self.fail(TransferProblem::WrongChecksum { path: RemotePath::new(&self.target) }, cx);
            }
            _ => {}
        }
    }

    fn rename(&mut self, step: Step, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Renaming);
        let is_atomic = cx.requests.extensions.posix_rename;
        let to = mem::take(&mut self.target);
        let request = |from| match is_atomic {
            true => Request::PosixRename { from, to: &to },
            false => Request::Rename { from, to: &to },
        };
        let from = mem::take(&mut self.path);
        self.send(step, &request(&from), cx);
        (self.path, self.target) = (from, to);
    }

    pub(super) fn replied_to_rename(
        &mut self,
        step: Step,
        reply: &Reply<'_>,
        cx: &mut TaskCx<'_>,
    ) -> Result<(), TransferProblem> {
        match (done(reply)?, step) {
            (Ok(()), Step::Replace) => {
                cx.report.done.replaced_in_two_steps += 1;
                // From here on, the copy is all that there is.
                self.keeps_copy = true;
                self.rename(Step::Rename, cx);
            }
            (Ok(()), _) => {
                self.may_exist = false;
                self.moved(cx);
            }
            (Err(_), Step::PlainRename) => {
                self.enter(FileState::Replacing);
                let target = mem::take(&mut self.target);
                self.send(Step::Replace, &Request::Remove { path: &target }, cx);
                self.target = target;
            }
            (Err(refusal), _) => {
                let refusal = refusal.hinting("; is it a directory?");
                self.fail(refusal.problem("rename the copy to", &self.target), cx);
            }
        }
        Ok(())
    }

    /// Lets another user put the copy at its target. `install` copies it beside the target, because
    /// it may be on another file system, and `mv` replaces the target in one step.
    fn install(&mut self, cx: &mut TaskCx<'_>) {
        self.enter(FileState::Installing);
        let beside = quoted(&paths::temporary(&self.target, self.number));
        let target = quoted(&self.target);
        let mut text = Vec::new();
        let directory = paths::trim(paths::split(&self.target).0);
        if self.plan.settings.create_parents && !directory.is_empty() {
            text.extend([&b"mkdir -p -- "[..], &quoted(directory), b" && "].concat());
        }
        let mode = format!("install -m {:o} ", self.attrs.mode.unwrap_or(0o600));
        text.extend([b"test ! -d ", &target[..], b" && ", mode.as_bytes()].concat());
        if self.plan.settings.keep_times {
            text.extend(b"-p ");
        }
        if let Some(owner) = &self.plan.owner {
            let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
            for (option, name) in
                [("-o", user), ("-g", group)].into_iter().filter(|(_, name)| !name.is_empty())
            {
                text.extend([option.as_bytes(), b" ", &quoted(name.as_bytes()), b" "].concat());
            }
        }
        text.extend(
            [b"-- ", &quoted(&self.path)[..], b" ", &beside, b" && mv -f -- ", &beside, b" ", &target]
                .concat(),
        );
        text.extend([b" || { code=$?; rm -f -- ", &beside[..], b"; exit $code; }"].concat());
        self.run(text, true, cx);
    }

    /// Removes the copy in the home directory.
    fn installed(&mut self, cx: &mut TaskCx<'_>) {
        self.send_path(Step::Discard, |path| Request::Remove { path }, cx);
        self.moved(cx);
    }

    /// The file is at its target. Removes the temporary files that other puts have left.
    fn moved(&mut self, cx: &mut TaskCx<'_>) {
        cx.report.done.files += 1;
        let now = self.written_at;
        for (path, written) in mem::take(&mut self.others) {
            if now.is_some_and(|now| now.saturating_sub(written) > limits::TEMPORARY_AGE) {
                self.send(Step::Discard, &Request::Remove { path: &path }, cx);
            }
        }
        self.enter(if self.awaited > 0 { FileState::Tidying } else { FileState::Done });
    }

    /// Handles the answer to the removal of a temporary file, which is a courtesy if it is another
    /// put's.
    pub(super) fn tidied(&mut self, reply: &Reply<'_>) {
        if matches!(done(reply), Ok(Ok(()))) {
            self.may_exist = false;
        }
        if self.awaited == 0 {
            self.enter(FileState::Done);
        }
    }
}

/// The checksum in the output of a program, which begins with it.
fn parse_sum(output: &[u8]) -> Option<[u8; 32]> {
    let digits = str::from_utf8(output.get(..64)?).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut sum = [0; 32];
    for (at, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_what_an_output_begins_with() {
        let line = format!("{}  -\n", "0a".repeat(32));
        assert_eq!(parse_sum(line.as_bytes()), Some([10; 32]));
        for strange in ["", "0a", &"0g".repeat(32), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(parse_sum(strange.as_bytes()), None, "{strange}");
        }
    }
}
