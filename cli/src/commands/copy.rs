//! `sshoal put`, `sshoal get` and `sshoal sync`.

use std::error::Error;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, SystemTime};

use sshoal::Fleet;
use sshoal::error::Label;
use sshoal::ssh_config::SshConfig;

use super::run::select;
use crate::args::{CopyArgs, GetArgs, PutArgs, Secrets, SyncArgs};
use crate::confirm;
use crate::history::{self, Record};
use crate::logging;
use crate::output::{Hosts, Options, Output, Way};
use crate::plan::{self, Copies, Plan, Texts, preview};
use crate::run::{self, EventLoop, Runner, fleet};
use crate::targets::{Selection, Target, fold_labels};

/// How often it is looked whether a question is answered.
const TICK: Duration = Duration::from_millis(50);

type Done = Result<u8, Box<dyn Error>>;

/// A run that copies files, before it begins.
struct Copying<'a> {
    args: &'a CopyArgs,
    /// `put`, `get` or `sync`.
    verb: &'static str,
    /// How the run is named.
    text: String,
    config: SshConfig,
    targets: Vec<Target>,
}

/// What follows from a look at what would be deleted.
enum Looked {
    /// The user wants it to be deleted.
    Confirmed,
    /// Nothing is known that would be deleted.
    Nothing,
    /// The program ends with this exit code.
    End(u8),
}

/// Copies files to all hosts.
pub fn put(args: &PutArgs) -> Done {
    let (files, dest) = args.split()?;
    let copying = Copying::new(&args.copy, "put", files.iter().chain([dest]))?;
    let copies = plan::put(args, &copying.targets)?;
    copying.once(copies, Way::Put)
}

/// Copies files from all hosts.
pub fn get(args: &GetArgs) -> Done {
    let (files, dest) = args.split()?;
    let copying = Copying::new(&args.copy, "get", files.iter().chain([dest]))?;
    let copies = plan::get(args, &copying.targets)?;
    copying.once(copies, Way::Get)
}

/// Makes a directory of all hosts like a local one.
pub fn sync(args: &SyncArgs) -> Done {
    let copying = Copying::new(&args.copy, "sync", [&args.dir, &args.dest])?;
    let is_dry = args.copy.safety.dry_run;
    let mut copies = plan::sync(args, &copying.targets, is_dry, args.delete)?;
    let hosts = copying.hosts();
    if !is_dry && !copying.is_confirmed(&hosts)? {
        return Ok(run::STOPPED);
    }
    let secrets = args.copy.secrets.ask()?;
    let mut event_loop = EventLoop::new(copying.fleet(&secrets)?, &run::OF_RUN)?;
    if args.delete && !is_dry && confirm::asks_about_deletion(&args.copy.safety) {
        let looked = plan::sync(args, &copying.targets, true, true)?;
        match copying.look(looked, &mut event_loop, &hosts)? {
            Looked::Confirmed => {}
            // What appears from now on was not asked about.
            Looked::Nothing => copies = plan::sync(args, &copying.targets, false, false)?,
            Looked::End(code) => return Ok(code),
        }
    }
    copying.run(copies, if is_dry { Way::DryPut } else { Way::Put }, &secrets, event_loop, &hosts)
}

impl<'a> Copying<'a> {
    /// With the hosts that the flags name.
    fn new<'w>(
        args: &'a CopyArgs,
        verb: &'static str,
        words: impl IntoIterator<Item = &'w std::ffi::OsString>,
    ) -> Result<Self, Box<dyn Error>> {
        logging::start(args.output.verbose);
        let words: Vec<_> = words.into_iter().cloned().collect();
        let text = format!("{verb} {}", String::from_utf8_lossy(&plan::joined(&words)));
        let config = args.connection.ssh_config()?;
        let Selection { targets, .. } = select(&args.targets, args.last, &config)?;
        Ok(Self { args, verb, text, config, targets })
    }

    fn hosts(&self) -> Hosts<'static> {
        Hosts::new(self.targets.iter().map(|target| target.name.clone()), &fold_labels)
    }

    fn fleet(&self, secrets: &Secrets) -> Result<Fleet, sshoal::Error> {
        let Self { targets, args, config, .. } = self;
        let mut fleet = fleet::build(targets, &args.connection, &args.pace, config, secrets)?;
        fleet.set_transfer_rate(args.bwlimit)?;
        Ok(fleet)
    }

    fn is_confirmed(&self, hosts: &Hosts<'_>) -> Result<bool, Box<dyn Error>> {
        let is_confirmed = confirm::run(&self.args.safety, &self.text, hosts)?;
        if !is_confirmed {
            eprintln!("sshoal: nothing was started");
        }
        Ok(is_confirmed)
    }

    /// Makes these copies, or shows which they are.
    fn once(&self, copies: Copies, way: Way) -> Done {
        if self.args.safety.dry_run {
            let texts = Texts::Each(copies.shown);
            preview::print(&self.targets, &texts, &self.args.connection, &self.config)?;
            return Ok(0);
        }
        let hosts = self.hosts();
        if !self.is_confirmed(&hosts)? {
            return Ok(run::STOPPED);
        }
        let secrets = self.args.secrets.ask()?;
        let event_loop = EventLoop::new(self.fleet(&secrets)?, &run::OF_RUN)?;
        self.run(copies, way, &secrets, event_loop, &hosts)
    }

    fn run(
        &self,
        copies: Copies,
        way: Way,
        secrets: &Secrets,
        mut event_loop: EventLoop,
        hosts: &Hosts<'_>,
    ) -> Done {
        let plan = Plan::of_copies(copies, self.args).careful(&self.args.safety);
        let plan = plan.with_sudo(&self.args.secrets, secrets);
        let mut options = self.args.output.options(self.text.clone());
        options.way = Some(way);
        // A dry run is not recorded.
        options.rerun = (way != Way::DryPut).then(|| format!("sshoal {} --last=failed ...", self.verb));
        let began = SystemTime::now();
        let output = Output::new(&options, hosts, self.args.output.screen(), began)?;
        let ids = event_loop.fleet.hosts().to_vec();
        let ended = Runner::start(&mut event_loop, &ids, &plan, output)?.finish()?;
        if way != Way::DryPut {
            let record = Record::new(began, self.text.clone(), &self.targets, &ended.labels);
            history::save(&record.with_differing(ended.differing.as_deref()));
        }
        Ok(ended.code.value(plan.rule))
    }

    /// Looks at the hosts, and asks whether what they have too much is to be deleted.
    fn look(
        &self,
        looked: Copies,
        event_loop: &mut EventLoop,
        hosts: &Hosts<'_>,
    ) -> Result<Looked, Box<dyn Error>> {
        let mut plan = Plan::of_copies(looked, self.args);
        plan.keeps_hosts = true;
        let progress = self.args.output.options(String::new()).progress;
        let options = Options { only_progress: true, progress, way: Some(Way::DryPut), ..Options::default() };
        let output = Output::new(&options, hosts, self.args.output.screen(), SystemTime::now())?;
        let ids = event_loop.fleet.hosts().to_vec();
        let ended = Runner::start(event_loop, &ids, &plan, output)?.finish()?;
        if ended.code.signal().is_some() {
            return Ok(Looked::End(ended.code.value(plan.rule)));
        }
        let deletes = |host: &usize| ended.copied.get(*host).map_or(0, |copied| copied.deleted);
        let concerned: Vec<usize> = (0..hosts.len()).filter(|host| deletes(host) > 0).collect();
        let is_unknown = |host: &usize| ended.labels.get(*host) != Some(&Label::Succeeded);
        let unknown: Vec<usize> = (0..hosts.len()).filter(is_unknown).collect();
        let unknown = (!unknown.is_empty()).then(|| hosts.counted(&unknown));
        let count = concerned.iter().map(deletes).sum();
        if count == 0 {
            if let Some(set) = unknown {
                eprintln!("sshoal: nothing will be deleted, because {set} could not be compared completely");
            }
            return Ok(Looked::Nothing);
        }
        let (text, set) = (self.text.clone(), hosts.counted(&concerned));
        let (sender, receiver) = channel();
        // Meanwhile, connections are kept alive, and ^C works.
        thread::spawn(move || _ = sender.send(confirm::deletion(&text, count, &set, unknown.as_deref())));
        loop {
            match receiver.try_recv() {
                Ok(Ok(true)) => return Ok(Looked::Confirmed),
                Ok(Ok(false)) => break,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {}
            }
            event_loop.wait(Some(TICK))?;
            event_loop.turn()?;
            while event_loop.fleet.next_event().is_some() {}
            if let Some(signal) = event_loop.signals().first() {
                return Ok(Looked::End(run::code_of_signal(*signal)));
            }
        }
        eprintln!("sshoal: nothing was copied or deleted");
        Ok(Looked::End(run::STOPPED))
    }
}
