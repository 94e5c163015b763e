//! The commands of one host.

use std::time::Instant;

use sshoal::error::Label;
use sshoal::fleet::{CommandId, HostId};
use sshoal::transfer::Transferred;

use super::ends::Stop;
use crate::end::End;
use crate::output::add;

/// What one host runs: a command, or several copies.
#[derive(Debug)]
pub struct Task {
    pub host: HostId,
    commands: Vec<One>,
    pub state: State,
    /// Why this program has ended the commands, and when.
    pub stop: Option<(Stop, Instant)>,
}

/// One command, and what it has done if it copies files.
#[derive(Debug)]
struct One {
    id: CommandId,
    done: Option<Box<Transferred>>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Waiting,
    Running,
    Ended(Label),
}

impl Task {
    pub fn new(host: HostId, commands: &[CommandId]) -> Self {
        let commands = commands.iter().map(|id| One { id: *id, done: None, end: None }).collect();
        Self { host, commands, state: State::Waiting, stop: None }
    }

    /// The commands that have not ended.
    pub fn open(&self) -> impl Iterator<Item = CommandId> + '_ {
        self.commands.iter().filter(|one| one.end.is_none()).map(|one| one.id)
    }

    /// The first command, which is the only one unless files are copied.
    pub fn first(&self) -> CommandId {
        self.commands[0].id
    }

    /// A copy has made progress. Returns that of all copies of the host.
    pub fn progress(&mut self, command: CommandId, done: &Transferred) -> Transferred {
        if let Some(one) = self.commands.iter_mut().find(|one| one.id == command) {
            one.done = Some(Box::new(*done));
        }
        self.copied()
    }

    /// What the copies of the host have done.
    pub fn copied(&self) -> Transferred {
        let mut sum = Transferred::default();
        self.commands.iter().filter_map(|one| one.done.as_ref()).for_each(|done| add(&mut sum, done));
        sum
    }

    /// A command has ended. Returns the end of the host if it was the last one.
    pub fn end(&mut self, command: CommandId, end: End) -> Option<End> {
        let one = self.commands.iter_mut().find(|one| one.id == command)?;
        if let End::Copied(done) = &end {
            one.done = Some(Box::new(*done));
        }
        one.end = Some(end);
        let ends: Option<Vec<&End>> = self.commands.iter().map(|one| one.end.as_ref()).collect();
        let end = together(&ends?);
        self.state = State::Ended(end.label());
        Some(end)
    }
}

/// The end of a host with these ends: that of all copies if they are whole, else the first failure.
fn together(ends: &[&End]) -> End {
    let mut failed = ends.iter().filter(|end| !end.is_success());
    let Some(first) = failed.next() else {
        let mut sum = Transferred::default();
        for end in ends {
            match end {
                End::Copied(done) => add(&mut sum, done),
                other => return (*other).clone(),
            }
        }
        return End::Copied(sum);
    };
    let mut end = (*first).clone();
    let others = failed.filter(|other| *other != first).count();
    if let End::Failed(failure) = &mut end
        && others > 0
    {
        let copies = if others == 1 { "copy" } else { "copies" };
        failure.text = format!("{}; and {others} other {copies} failed", failure.text);
    }
    end
}

#[cfg(test)]
mod tests {
    use sshoal::Stage;

    use super::*;
    use crate::end::Failure;

    fn copied(files: u64) -> End {
        let mut done = Transferred::default();
        done.files = files;
        End::Copied(done)
    }

    fn failed(text: &str) -> End {
        let (stage, label, text) = (Stage::Running, Label::Transfer, text.to_owned());
        End::Failed(Failure { stage, label, text, advice: None })
    }

    #[test]
    fn a_host_has_its_copies_or_the_first_failure() {
        assert_eq!(together(&[&copied(1), &copied(2)]), copied(3));
        assert_eq!(together(&[&End::Exited(0)]), End::Exited(0));
        assert_eq!(together(&[&copied(1), &failed("full"), &failed("full")]), failed("full"));
        let end = together(&[&failed("full"), &copied(1), &failed("gone")]);
        assert_eq!(end, failed("full; and 1 other copy failed"));
    }
}
