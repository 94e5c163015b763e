//! Random calls by the fleet's caller.

use std::io;
use std::time::Duration;

use super::told;
use super::world::World;
use crate::command::Command;
use crate::command::Signal;
use crate::config::{HostConfig, Input};
use crate::error::ChannelProblem;
use crate::fleet::Batch;
use crate::host::HostSpec;
use crate::ids::StdStream;
use crate::ids::{CommandId, HostId, RunId};
use crate::output::{Deliver, Keep};
use crate::session::tests::script::lost;
use crate::{Budget, Run};

const STREAMS: [StdStream; 2] = [StdStream::Stdout, StdStream::Stderr];

impl World {
    /// One round: time advances, the caller makes some calls, or none, and takes some turns.
    pub(super) fn round(&mut self) {
        self.advance();
        for _ in 0..self.random.below(4) {
            self.act();
        }
        self.deaf = self.deaf.saturating_sub(1);
        if self.deaf == 0 && self.random.chance(30) {
            self.settle();
            return;
        }
        for _ in 0..self.random.below(4) {
            if !self.is_called() {
                break;
            }
            let budget = match self.random.below(4) {
                0 => Budget::default().time(Duration::ZERO).lines(self.random.below(4) as usize),
                1 => {
                    let (events, bytes) = (self.random.below(40) as usize, self.random.below(4_000) as usize);
                    Budget::default().any_time().events(events).bytes(bytes)
                }
                _ => Budget::default(),
            };
            self.turn(budget);
            if self.deaf == 0 {
                let some = self.random.pick(&[0, 5, usize::MAX]);
                self.take_events(some);
            }
        }
    }

    fn act(&mut self) {
        match self.random.below(44) {
            0..3 => self.start(),
            3..6 => {
                let Some(id) = self.any_command() else { return };
                self.say(|| format!("cancel {id:?}"));
                self.fleet.cancel(id);
            }
            6 => {
                let Some(id) = self.any_host() else { return };
                self.say(|| format!("cancel {id:?}"));
                self.fleet.cancel_host(id);
            }
            7 if self.random.chance(5) => {
                self.say(|| "cancel all".to_owned());
                self.fleet.cancel_all();
            }
            8 => {
                let hosts = self.some_hosts();
                self.say(|| format!("connect {hosts:?}"));
                self.fleet.connect(hosts);
            }
            9 => {
                self.say(|| "disconnect".to_owned());
                self.fleet.disconnect();
            }
            10..14 => self.change_hosts(),
            14 => self.change_limits(),
            15..18 => {
                let Some(id) = self.any_command() else { return };
                self.say(|| format!("release {id:?}"));
                self.told.release(id);
                self.fleet.release(id);
            }
            18..24 => self.read(),
            24..30 => self.give_input(),
            30..33 => self.fail_a_link(),
            33 => self.deaf = self.random.below(6),
            34 => {
                let Some(id) = self.any_run() else { return };
                self.say(|| format!("cancel {id:?}"));
                self.fleet.cancel_run(id);
            }
            35 | 36 => {
                let Some(id) = self.any_run() else { return };
                self.say(|| format!("proceed with {id:?}"));
                self.fleet.proceed(id);
            }
            37 if self.random.chance(30) => {
                self.say(|| "pause".to_owned());
                self.fleet.pause();
            }
            38 => self.fleet.resume(),
            39 if self.random.chance(20) => {
                self.say(|| "reload".to_owned());
                self.fleet.reload().unwrap();
            }
            40 if self.random.chance(50) => {
                let mut hosts = self.some_hosts();
                hosts.retain(|host| self.told.scans.insert(*host));
                self.say(|| format!("scan {hosts:?}"));
                self.fleet.scan_host_keys(hosts);
            }
            _ => {}
        }
    }

    fn start(&mut self) {
        let hosts = if self.random.chance(15) { self.fleet.hosts().to_vec() } else { self.some_hosts() };
        self.start_on(hosts);
    }

    pub(super) fn start_on(&mut self, hosts: Vec<HostId>) {
        let random = &mut self.random;
        let deliver = random.pick(&[Deliver::Bytes, Deliver::Bytes, Deliver::Lines, Deliver::Nothing]);
        // A full stream delivers lines in pieces, and a stream that is never read holds its host
        // back forever.
        let bound = if deliver == Deliver::Bytes { random.pick(&[1, 7, 20]) } else { 1 << 20 };
        let keep = random.pick(&[Keep::All, Keep::BackPressure(bound)]);
        let is_short = matches!(keep, Keep::BackPressure(..1024));
        let batches = random.pick(&[&[][..], &[], &[], &[Batch::Hosts(1), Batch::Percent(30), Batch::Rest]]);
        let (is_gated, failures) =
            (random.chance(30), random.pick(&[None, None, None, None, Some(0), Some(9)]));
        let limit = random.pick(&[0, 0, 0, 3, 2_000, 90_000]);
        let texts: Vec<String> = (self.given..).take(hosts.len()).map(|number| number.to_string()).collect();
        self.given += hosts.len();
        let mut command = Command::new("%s")
            .host_args(texts.iter().cloned())
            .stdout(keep.clone())
            .stderr(keep)
            .time_limit((limit > 0).then(|| Duration::from_millis(limit)))
            .wait_for_channel(random.chance(50));
        // Without a setting, the input is empty.
        let input =
            random.pick(&[Some(Input::Open), Some(Input::Open), None, Some("given in advance".into())]);
        let is_open = input == Some(Input::Open);
        if let Some(input) = input {
            command = command.stdin(input);
        }
        if random.chance(10) {
            command = command.env("LANG", "C").ignore_refused_env(random.chance(50));
        }
        self.say(|| format!("start {texts:?} on {hosts:?}, {deliver:?}, {limit} ms"));
        let mut run =
            Run::new(command).deliver(deliver).hosts(hosts.clone()).batches(batches.iter().copied());
        if is_gated && !batches.is_empty() {
            run = run.gated();
        }
        if let Some(failures) = failures {
            run = run.max_failures(failures);
        }
        let started = self.fleet.start(run).unwrap();
        let run = told::Run { commands: hosts.len(), ..told::Run::default() };
        assert!(self.told.runs.insert(started.run, run).is_none(), "{:?} is used twice", started.run);
        for ((id, host), text) in started.commands.into_iter().zip(hosts).zip(texts) {
            let command = told::Command::new(host, started.run, text, deliver, is_short);
            let command = told::Command { is_open, ..command };
            assert!(self.told.commands.insert(id, command).is_none(), "{id:?} is used twice");
        }
    }

    fn change_hosts(&mut self) {
        match self.random.below(8) {
            0 | 1 => {
                let hosts: Vec<_> = (0..self.random.below(4)).map(|_| self.host()).collect();
                self.say(|| format!("add {} hosts", hosts.len()));
                self.fleet.add_hosts(hosts).unwrap();
            }
            // Replaces the whole list, but keeps some hosts.
            2 => {
                let length = self.fleet.hosts().len() + self.random.below(3) as usize;
                let given = self.fleet.positions.iter().map(|id| {
                    let listed = self.fleet.engine.hosts.get(*id).unwrap().entry.as_deref().unwrap();
                    (listed.spec.clone(), listed.config.as_deref().cloned().unwrap_or_default())
                });
                let mut hosts: Vec<(HostSpec, HostConfig)> = given.collect();
                for _ in 0..self.random.below(6) {
                    let (name, config) = self.host();
                    let position = self.random.below(length as u64 + 1) as usize;
                    hosts.truncate(length);
                    hosts.splice(
                        position.min(hosts.len())..hosts.len().min(position + 1),
                        [(name.parse().unwrap(), config)],
                    );
                }
                self.say(|| format!("set {} hosts", hosts.len()));
                self.fleet.set_hosts(hosts).unwrap();
            }
            _ => {
                let Some(id) = self.any_host() else { return };
                self.say(|| format!("remove {id:?}"));
                assert!(self.fleet.remove_host(id));
            }
        }
        self.meet_hosts();
    }

    pub(super) fn change_limits(&mut self) {
        // Lowering a limit does not affect hosts and commands that have already been admitted.
        self.check_books();
        match self.random.below(4) {
            0 | 1 => {
                self.max_connecting = self.random.pick(&[1, 3, 20, 100]);
                self.say(|| format!("{} places", self.max_connecting));
                self.fleet.set_max_connecting(self.max_connecting).unwrap();
            }
            2 => {
                self.max_running = self.random.pick(&[None, None, Some(1), Some(10), Some(80)]);
                self.say(|| format!("{:?} running", self.max_running));
                self.fleet.set_max_running(self.max_running).unwrap();
            }
            _ => {
                let rate = self.random.pick(&[None, None, Some(5), Some(300), Some(5_000)]);
                self.say(|| format!("{rate:?} connections per second"));
                self.fleet.set_connects_per_second(rate).unwrap();
            }
        }
    }

    /// Reads output that is not delivered by events.
    fn read(&mut self) {
        let Some(id) = self.any_command() else { return };
        let stream = self.random.pick(&STREAMS);
        let known = self.told.commands.get_mut(&id).unwrap();
        if known.deliver != Deliver::Nothing || known.released {
            return;
        }
        if self.random.chance(5) {
            known.discarded = true;
            self.fleet.discard(id, stream);
            return;
        }
        let mut buffer = [0; 64];
        let length = self.random.below(buffer.len() as u64) as usize;
        if self.random.chance(50) {
            let unread = self.fleet.peek(id, stream);
            known.read[stream as usize].extend(&unread[..length.min(unread.len())]);
            self.fleet.consume(id, stream, length);
            return;
        }
        let read = self.fleet.read(id, stream, &mut buffer[..length]);
        known.read[stream as usize].extend(&buffer[..read]);
    }

    fn give_input(&mut self) {
        let Some(id) = self.any_command() else { return };
        match self.random.below(4) {
            0 => self.fleet.close_stdin(id),
            1 => _ = self.fleet.signal(id, Signal::Hup),
            _ => {
                let length = self.random.pick(&[0, 1, 100, 700_000]);
                let written = self.fleet.write_stdin(id, &vec![b'i'; length]);
                let known = self.told.commands.get_mut(&id).unwrap();
                match written {
                    Ok(written) => known.refused |= written < length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => known.refused = true,
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                        let is_explained = matches!(error.downcast(), Ok(ChannelProblem::InputNotOpen));
                        // The fleet may have forgotten the command.
                        assert_eq!(is_explained, !known.is_open && self.fleet.command(id).is_some());
                    }
                }
            }
        }
    }

    fn fail_a_link(&mut self) {
        let nth = self.random.below(self.fleet.engine.hosts.slots.len().max(1) as u64) as usize;
        let error = if self.random.chance(50) { lost() } else { self.random.error() };
        self.say(|| format!("link {nth} fails: {error:?}"));
        if let Some(link) = self.links().nth(nth) {
            link.fail_next(error);
        }
    }

    fn any_host(&mut self) -> Option<HostId> {
        let hosts = self.fleet.hosts();
        (!hosts.is_empty()).then(|| hosts[self.random.below(hosts.len() as u64) as usize])
    }

    fn some_hosts(&mut self) -> Vec<HostId> {
        (0..self.random.below(8)).filter_map(|_| self.any_host()).collect()
    }

    fn any_run(&mut self) -> Option<RunId> {
        let nth = self.random.below(self.told.runs.len().max(1) as u64) as usize;
        self.told.runs.keys().nth(nth).copied()
    }

    /// One of the latest commands, whatever its state.
    fn any_command(&mut self) -> Option<CommandId> {
        let known = self.told.commands.len() as u64;
        let nth = self.random.below(known.clamp(1, 150)) as usize;
        self.told.commands.keys().nth_back(nth).copied()
    }
}
