//! Drives one session as a fleet would, in rounds of simulated time, and checks the invariants
//! after every step.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::agent::{Asked, FakeAgent};
use super::call::Call;
use super::command::FakeChild;
use super::disk::FakeDisk;
use super::fake_link::FakeLink;
use super::script::{Script, private_key, verifier};
use crate::command::{ChannelRequest, Command, LoginProgram, Program, Request, RunOptions, Signal};
use crate::error::{AuthProblem, CancelCause, HostError, HostErrorKind};
use crate::host::AddressFamily;
use crate::hostkey::Verifier;
use crate::ids::{CommandId, HostId, RunId};
use crate::limits;
use crate::link::algorithms::Offered;
use crate::link::{ChannelId, Conduit, RekeyLimit};
use crate::output::{Deliver, Outcome};
use crate::proxy_command::{CommandReport, ProxyCommand};
use crate::session::state::{Phase, State};
use crate::session::{
    AuthPlan, CommandNews, Connection, Cx, Effect, Exec, Execs, Input, InputBudget, Jitter, Keepalive, Offer,
    Permission, Profile, RetryPolicy, ScannedHost, Session, Target, Timeouts, TrialEnd, TrialOf, TunnelId,
    TunnelProgress, TunnelRequest, View,
};
use crate::transfer::Put;

pub(super) const CONNECT: Duration = Duration::from_secs(11);
pub(super) const HANDSHAKE: Duration = Duration::from_secs(12);
pub(super) const AUTH: Duration = Duration::from_secs(13);
pub(super) const EXEC: Duration = Duration::from_secs(14);
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The bench's calendar time: 2026-01-01 00:00:00 UTC.
pub(super) const CALENDAR: Duration = Duration::from_secs(1_767_225_600);

/// More rounds than any scenario takes.
const ROUNDS: usize = 10_000;

/// How to create a session.
pub(super) struct Config {
    pub host: &'static str,
    pub addresses: Vec<SocketAddr>,
    pub plan: AuthPlan,
    pub skipped: Vec<AuthProblem>,
    pub attempts: u32,
    pub backoff_max: Option<Duration>,
    /// Replaces `attempts` and `backoff_max`.
    pub retry: Option<RetryPolicy>,
    pub seed: u64,
    pub family: AddressFamily,
    pub attempt_delay: Option<Duration>,
    pub forward_agent: bool,
    /// What each command asks for on its channel, after agent forwarding.
    pub setup: Vec<ChannelRequest>,
    pub login_program: Option<LoginProgram>,
    pub spare_channel: bool,
    pub guard_passwords: bool,
    pub keepalive: Option<Keepalive>,
    pub timeouts: Timeouts,
    /// Whether the host is behind a proxy.
    pub proxied: bool,
    /// Whether a proxy command leads to the host.
    pub commanded: bool,
    pub verifier: Arc<Verifier>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "web1",
            addresses: vec![address(1)],
            plan: vec![Offer::Sign(private_key(0))],
            skipped: Vec::new(),
            attempts: 3,
            backoff_max: None,
            retry: None,
            seed: 0,
            family: AddressFamily::Any,
            attempt_delay: None,
            forward_agent: false,
            setup: Vec::new(),
            login_program: None,
            spare_channel: false,
            guard_passwords: false,
            keepalive: None,
            timeouts: Timeouts {
                connect: Some(CONNECT),
                handshake: Some(HANDSHAKE),
                auth: Some(AUTH),
                exec: Some(EXEC),
                ..limits_of_ends()
            },
            proxied: false,
            commanded: false,
            verifier: verifier(),
        }
    }
}

/// No time limits, except those of the ends of commands.
pub(super) fn limits_of_ends() -> Timeouts {
    let (stop, close) = (limits::STOP_GRACE, limits::CLOSE_TIMEOUT);
    Timeouts { connect: None, handshake: None, auth: None, exec: None, exec_is_set: true, stop, close }
}

/// The result of a lookup.
pub(super) type Lookup = Result<Vec<SocketAddr>, fn() -> HostErrorKind>;

pub(super) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 22))
}

/// The progress that a proxy reports when it connects the host.
pub(super) fn opened() -> Vec<TunnelProgress> {
    vec![TunnelProgress::Begun(ChannelId(0)), TunnelProgress::Opened]
}

pub(super) struct Bench {
    pub session: Session,
    pub link: FakeLink,
    pub execs: Execs,
    pub now: Instant,
    /// The length of a round.
    pub round: Duration,
    pub commands: Vec<CommandId>,
    /// What the next commands are.
    pub program: Program,
    /// The results of the next lookups. The last one repeats.
    pub lookups: Vec<Lookup>,
    /// Whether a lookup was requested and has not been answered.
    pub lookup: bool,
    pub agent: FakeAgent,
    /// When the agent's user was last asked for a touch for another host.
    pub agent_busy_until: Option<Instant>,
    /// The security keys that the agent's user was asked to touch.
    pub touches: Vec<Arc<str>>,
    pub disk: FakeDisk,
    /// The proxy's replies to the next requests. After the last one, the proxy connects every host.
    pub proxy_says: VecDeque<Vec<TunnelProgress>>,
    /// The remaining replies to the current request.
    tunnelled: VecDeque<TunnelProgress>,
    /// The failures of the next starts of the proxy command. Later ones succeed.
    pub starts: VecDeque<io::Error>,
    /// The process of the proxy command.
    pub child: Option<FakeChild>,
    /// What a process is when it is started.
    pub next_child: FakeChild,
    pub commands_started: usize,
    failed_start: Option<io::Error>,
    /// The proxy's end of the conduit, or the command's.
    pub conduit: Option<Conduit>,
    again: bool,
    /// The outcomes seen so far, to detect an outcome that changes.
    seen: Vec<Option<String>>,
    /// How many steps ended because no descriptor was free.
    pub no_descriptor: usize,
    /// What a proxy has reported to the hosts behind it.
    pub told: Vec<(TunnelId, TunnelProgress)>,
    pub news: Vec<(CommandId, CommandNews)>,
    pub key_exchanges: usize,
    pub signatures: usize,
    /// The trials that were requested and have not ended.
    pub trials: Vec<TrialOf>,
    /// Those of them that have no answer yet.
    pub trials_asked: Vec<TrialOf>,
    /// Whether requests for trials are granted.
    pub grants_trials: bool,
    pub trial_ends: Vec<TrialEnd>,
    pub banners: Vec<Arc<str>>,
    pub scanned: Vec<ScannedHost>,
    /// Whether each step is followed by a step without news, which must change nothing.
    pub check_idle: bool,
    bounded: bool,
}

impl Bench {
    pub(super) fn new(script: Script) -> Self {
        Self::with(Config::default(), script)
    }

    pub(super) fn with(config: Config, script: Script) -> Self {
        let Config {
            host,
            addresses,
            plan,
            skipped,
            attempts,
            backoff_max,
            retry,
            seed,
            family,
            attempt_delay,
            keepalive,
            timeouts,
            proxied,
            commanded,
            forward_agent,
            setup,
            login_program,
            spare_channel,
            guard_passwords,
            verifier,
        } = config;
        let retry = retry.unwrap_or_else(|| {
            let policy = RetryPolicy::default().attempts(attempts).delay(RETRY_DELAY).time_limit(None);
            backoff_max.map_or(policy, |max| policy.backoff(max))
        });
        let connection = Connection {
            retry,
            family,
            attempt_delay,
            bind: None,
            compress: false,
            rekey: RekeyLimit::default(),
            spare_channel,
            keepalive,
        };
        let limits = [timeouts.connect, timeouts.handshake, timeouts.auth, timeouts.exec];
        let profile = Profile {
            user: c"deploy".to_owned(),
            algorithms: Arc::new(Offered::for_tests()),
            plan,
            skipped,
            guard_passwords,
            agent: None,
            forward_agent: forward_agent.then(|| Path::new("/agent").into()),
            setup: forward_agent.then_some(ChannelRequest::ForwardAgent).into_iter().chain(setup).collect(),
            login_program,
            timeouts,
            read_timeout: None,
            connection,
            verifier,
        };
        let mut target = Target::new(host.into(), 22, Arc::new(profile));
        if proxied {
            let profile = target.profile.clone();
            let gate = Target::new("gate".into(), 22, profile);
            target.proxy = Some(Arc::new(gate));
        }
        if commanded {
            target.command = Some(Arc::new(ProxyCommand::new("nc %h %p")));
        }
        Self {
            session: Session::new(target, Jitter::new(seed), Instant::now()),
            link: FakeLink::new(script),
            execs: Execs::new(usize::MAX),
            now: Instant::now(),
            round: Duration::from_millis(1),
            commands: Vec::new(),
            program: Program::Command,
            lookups: vec![Ok(addresses)],
            lookup: false,
            agent: FakeAgent::with(&[]),
            agent_busy_until: None,
            touches: Vec::new(),
            disk: FakeDisk::new(),
            proxy_says: VecDeque::new(),
            starts: VecDeque::new(),
            child: None,
            next_child: FakeChild::default(),
            commands_started: 0,
            tunnelled: VecDeque::new(),
            failed_start: None,
            conduit: None,
            again: false,
            seen: Vec::new(),
            no_descriptor: 0,
            told: Vec::new(),
            news: Vec::new(),
            key_exchanges: 0,
            signatures: 0,
            trials: Vec::new(),
            trials_asked: Vec::new(),
            grants_trials: true,
            trial_ends: Vec::new(),
            banners: Vec::new(),
            scanned: Vec::new(),
            check_idle: true,
            bounded: limits.iter().all(Option::is_some),
        }
    }

    /// Creates the connection of a proxy.
    pub(super) fn proxy(script: Script) -> Self {
        let mut bench = Self::new(script);
        let profile = bench.session.target().profile.clone();
        let target = Target::new("gate".into(), 22, profile);
        bench.session = Session::proxy(Arc::new(target), Jitter::new(0), bench.now);
        bench
    }

    /// Gives the session a command with a unique text.
    pub(super) fn command(&mut self) -> usize {
        self.command_with_input(b"", false)
    }

    pub(super) fn command_with_input(&mut self, input: &[u8], end: bool) -> usize {
        self.command_with(RunOptions::default(), input, end)
    }

    pub(super) fn command_with(&mut self, options: RunOptions, input: &[u8], end: bool) -> usize {
        let request = self.request_for(options);
        self.request(request, input, end)
    }

    fn request_for(&self, options: RunOptions) -> Arc<Request> {
        let text = CString::new(format!("command {}", self.commands.len())).unwrap();
        Arc::new(Request { program: self.program, text, options: Arc::new(options), transfer: None })
    }

    /// Gives the session a command that sends a file.
    pub(super) fn transfer(&mut self) -> usize {
        let path = format!("/srv/file {}", self.commands.len());
        self.transfer_of(Put::bytes(*b"contents", path))
    }

    pub(super) fn transfer_of(&mut self, work: impl Into<Command>) -> usize {
        let command = work.into();
        let requests = command.to_requests(1, Deliver::Nothing).unwrap();
        self.request(requests[0].clone(), b"", false)
    }

    fn request(&mut self, request: Arc<Request>, input: &[u8], end: bool) -> usize {
        let number = self.assign(request, input, end);
        self.step_quietly(Input::Start(self.commands[number]));
        number
    }

    /// Gives the session a command whose batch has not started.
    pub(super) fn assigned_command(&mut self) -> usize {
        let request = self.request_for(RunOptions::default());
        self.assign(request, b"", false)
    }

    fn assign(&mut self, request: Arc<Request>, input: &[u8], end: bool) -> usize {
        let number = self.commands.len();
        let run = (RunId::new(0, 0), number);
        let id = self.execs.insert_with(|id| Exec::new(id, request, HostId::new(0, 0), run, self.now));
        let exec = self.execs.get_mut(id).unwrap();
        if !input.is_empty() {
            assert_eq!(exec.write_stdin(input).unwrap(), input.len());
        }
        if end {
            exec.stdin.close();
        }
        self.session.assign(id);
        self.commands.push(id);
        self.seen.push(None);
        number
    }

    /// Sends a signal to a running command, as a caller does.
    pub(super) fn signal(&mut self, number: usize) {
        let exec = self.execs.get_mut(self.commands[number]).unwrap();
        if exec.signal(Signal::Hup) {
            self.step(Input::Wake);
        }
    }

    pub(super) fn cancel(&mut self, number: usize) {
        self.step(Input::Cancel(self.commands[number], CancelCause::Caller));
    }

    pub(super) fn phase(&self) -> Phase {
        self.session.state.phase()
    }

    pub(super) fn exec(&self, number: usize) -> &Exec {
        self.execs.get(self.commands[number]).unwrap()
    }

    pub(super) fn outcome(&self, number: usize) -> &Outcome {
        self.exec(number).outcome().unwrap_or_else(|| panic!("command {number} has not ended"))
    }

    pub(super) fn error(&self, number: usize) -> &HostError {
        match self.outcome(number) {
            Outcome::Failed(error) => error,
            other => panic!("command {number}: {other}"),
        }
    }

    pub(super) fn all_ended(&self) -> bool {
        (0..self.commands.len()).all(|number| self.exec(number).is_finished())
    }

    pub(super) fn view(&self) -> View {
        self.session.view(&self.execs)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.view().deadline
    }

    /// The time limit of the stage, or of the command that is starting. The command's place in the
    /// pool has an earlier deadline.
    pub(super) fn time_limit(&self) -> Option<Instant> {
        if self.phase() == Phase::Ready { self.exec(0).deadline() } else { self.deadline() }
    }

    pub(super) fn wants_place(&self) -> bool {
        self.view().wish.is_some()
    }

    pub(super) fn uses_place(&self) -> bool {
        self.view().uses_place
    }

    pub(super) fn calls(&self, wanted: impl Fn(&Call) -> bool) -> Vec<&Call> {
        self.link.calls.iter().filter(|call| wanted(call)).collect()
    }

    pub(super) fn dials(&self) -> usize {
        self.calls(|call| matches!(call, Call::Dial(_) | Call::DialBeside(_))).len()
    }

    /// Makes one step and checks the invariants. Returns whether the session asks for another step.
    pub(super) fn step(&mut self, input: Input) -> bool {
        let is_wake = matches!(input, Input::Wake);
        let again = self.take(input);
        self.again = again || self.again && !is_wake;
        self.check(is_wake);
        let is_due = self.deadline().is_some_and(|at| at <= self.now);
        if self.check_idle && !self.again && !is_due && !self.link.has_edge() {
            let before = self.digest();
            let idle = self.raw_step(Input::Wake);
            assert!(idle.is_empty(), "a step without news has effects: {idle:?}");
            assert_eq!(before, self.digest(), "a step without news has changed something");
        }
        again
    }

    /// Makes one step that only changes what the session is to do.
    fn step_quietly(&mut self, input: Input) {
        let again = self.take(input);
        assert!(!again, "the session proceeds before it is admitted");
    }

    pub(super) fn connect(&mut self) {
        self.step_quietly(Input::Connect);
    }

    pub(super) fn request_tunnel(&mut self, request: TunnelRequest) {
        self.step_quietly(Input::Tunnel(request));
    }

    /// Steps the session and carries out its effects. Returns whether it asks for another step.
    fn take(&mut self, input: Input) -> bool {
        let mut again = false;
        for effect in self.raw_step(input) {
            match effect {
                Effect::Again => again = true,
                Effect::NoDescriptor => self.no_descriptor += 1,
                Effect::Lookup => self.lookup = true,
                Effect::StartCommand(conduit) => {
                    self.conduit = Some(conduit);
                    self.failed_start = self.starts.pop_front();
                    self.commands_started += 1;
                    self.child = self.failed_start.is_none().then(|| self.next_child.clone());
                }
                Effect::OpenTunnel(conduit) => {
                    self.conduit = Some(conduit);
                    self.tunnelled = self.proxy_says.pop_front().unwrap_or_else(opened).into();
                }
                Effect::Disk(request) => self.disk.is_asked(request),
                Effect::Errand(id, errand) => panic!("no script has a transfer: {id:?} {errand:?}"),
                // No script gets so far that a transfer needs its file.
                Effect::File(_) => {}
                Effect::ListKeys => self.agent.is_asked(Asked::Keys),
                Effect::Sign(request) => self.agent.is_asked(Asked::Signature(request)),
                Effect::Touch(request) => {
                    self.touches.push(request.key);
                    self.agent.is_asked(Asked::Signature(request.message));
                }
                Effect::RequestTrial(of, _) => {
                    assert!(!self.trials.contains(&of), "{of:?} asks twice");
                    self.trials.push(of);
                    self.trials_asked.push(of);
                }
                Effect::TrialEnded(of, end) => {
                    assert!(self.trials.contains(&of), "{of:?} ends a trial that it has not asked for");
                    self.trials.retain(|other| *other != of);
                    self.trials_asked.retain(|other| *other != of);
                    self.trial_ends.push(end);
                }
                Effect::Tunnelled(id, progress) => self.told.push((id, progress)),
                Effect::KeyExchange => self.key_exchanges += 1,
                Effect::Signature => self.signatures += 1,
                Effect::Command(id, news) => self.news.push((id, news)),
                Effect::Banner(text) => self.banners.push(text),
                Effect::Scanned(host) => self.scanned.push(*host),
                Effect::Entered(_) | Effect::Connected(..) | Effect::Disconnected { .. } => {}
            }
        }
        again
    }

    /// Steps again for a command that this bench no longer tracks, as a fleet does.
    pub(super) fn again_without_checks(&mut self) {
        self.link.tick();
        self.raw_step(Input::Wake);
    }

    /// Answers a request for a trial.
    pub(super) fn permit(&mut self, of: TrialOf, permission: Permission) {
        self.trials_asked.retain(|other| *other != of);
        if matches!(permission, Permission::Withheld(_)) {
            self.trials.retain(|other| *other != of);
        }
        self.step(Input::Trial(of, permission));
    }

    /// Refuses a trial that was requested, if there is one.
    pub(super) fn withhold_a_password(&mut self) {
        if let Some(of) = self.trials_asked.first().copied() {
            self.permit(of, Permission::Withheld(["web8".into(), "web9".into()].into()));
        }
    }

    /// Makes one step without any checks.
    pub(super) fn step_alone(&mut self, input: Input) {
        self.link.tick();
        self.raw_step(input);
    }

    /// Enters a state although nothing caused it.
    pub(super) fn enter(&mut self, state: State) {
        let Self { session, link, execs, now, .. } = self;
        let calendar = || SystemTime::UNIX_EPOCH + CALENDAR;
        let (input_budget, out) = (InputBudget::of(1), &mut Vec::new());
        let agent_busy_until = None;
        session.enter(
            state,
            &mut Cx {
                now: *now,
                calendar,
                link,
                agent_busy_until,
                command: None,
                execs,
                input_budget,
                allowance: &mut { u64::MAX },
                scratch: &mut Vec::new(),
                out,
            },
        );
    }

    fn raw_step(&mut self, input: Input) -> Vec<Effect> {
        self.link.begin_step();
        let mut out = Vec::new();
        let Self { session, link, execs, now, child, agent_busy_until, .. } = self;
        let agent_busy_until = *agent_busy_until;
        let calendar = || SystemTime::UNIX_EPOCH + CALENDAR;
        let input_budget = InputBudget::of(1);
        let command = child.as_mut().map(|child| child as &mut dyn CommandReport);
        let cx = &mut Cx {
            now: *now,
            calendar,
            link,
            agent_busy_until,
            command,
            execs,
            input_budget,
            allowance: &mut { u64::MAX },
            scratch: &mut Vec::new(),
            out: &mut out,
        };
        session.step(input, cx);
        if !session.view(execs).holds_descriptor {
            self.child = None;
        }
        out
    }

    /// Everything that a step without news must not change. Such a step may make calls that return
    /// pending.
    fn digest(&self) -> String {
        format!("{:?}\n{:?}\n{:?}", self.session, self.execs, self.link.queues())
    }

    fn check(&mut self, is_wake: bool) {
        let phase = self.phase();
        let deadline = self.deadline();
        if matches!(phase, Phase::Queued | Phase::Closed | Phase::Failed) {
            assert_eq!(deadline, None, "a deadline is left on a session that is {phase:?}");
            assert!(!self.uses_place(), "a place is used by a session that is {phase:?}");
        }
        assert!(
            !is_wake || deadline.is_none_or(|at| at > self.now),
            "a passed deadline was not handled: {:?}",
            self.session
        );
        // Until the proxy requests the channel, only the limits of the proxy apply.
        let is_bounded = self.bounded && phase != Phase::Tunnelling;
        assert!(!is_bounded || !self.uses_place() || deadline.is_some(), "a place without deadline");
        for number in 0..self.commands.len() {
            let outcome = self.execs.get(self.commands[number]).filter(|exec| exec.is_finished());
            let outcome = outcome.and_then(Exec::outcome);
            match (&self.seen[number], outcome.map(|outcome| format!("{outcome:?}"))) {
                (None, now) => self.seen[number] = now,
                (before, now) => assert_eq!(*before, now, "the outcome of command {number} has changed"),
            }
        }
        let has_login_trial = self.trials.contains(&TrialOf::Login);
        assert!(!has_login_trial || self.session.is_in_trial(), "a trial was left behind: {phase:?}");
        let execs = self.commands.iter().filter_map(|id| self.execs.get(*id));
        let opening = execs.filter(|exec| exec.state.is_opening()).count();
        assert!(opening <= 1, "{opening} channels are opened at once");
        let unfinished = self.seen.iter().filter(|outcome| outcome.is_none()).count();
        let active = self.session.commands().count();
        assert_eq!(active, unfinished, "unfinished commands differ from the session's commands");
        if matches!(phase, Phase::Closed | Phase::Failed) {
            assert_eq!(unfinished, 0, "a command is left on a session that is {phase:?}");
        }
        if phase == Phase::Ready && unfinished == 0 {
            let spare = usize::from(self.session.target().profile.connection.spare_channel);
            let unanswered = self.link.unanswered_channels();
            let open = self.link.open_channels() - unanswered;
            assert!(open <= spare, "a channel of a finished command is left");
            assert!(
                unanswered <= limits::UNANSWERED_CHANNELS + 1,
                "{unanswered} requests for channels are unanswered"
            );
        }
        if !self.view().holds_descriptor {
            assert_eq!(self.link.open_channels(), 0, "a connection was not hung up");
        }
    }

    /// Delivers the next event, as a fleet would. Returns `false` if nothing more can happen.
    pub(super) fn round(&mut self) -> bool {
        self.round_but_timers() || self.round_of_timers()
    }

    /// Like [`round`](Self::round), but time advances only by the length of a round.
    pub(super) fn round_but_timers(&mut self) -> bool {
        self.now += self.round;
        self.link.tick();
        if self.lookup {
            self.lookup = false;
            let last = self.lookups.len() - 1;
            let found = if last > 0 { self.lookups.remove(0) } else { self.lookups[0].clone() };
            self.step(Input::Resolved(found.map_err(|kind| kind())));
            return true;
        }
        if let Some(answer) = self.agent.tick() {
            self.step(answer);
            return true;
        }
        if let Some(answer) = self.disk.tick(&self.session.target().profile.verifier) {
            self.step(answer);
            return true;
        }
        if self.grants_trials && !self.trials_asked.is_empty() {
            let of = self.trials_asked.remove(0);
            self.permit(of, Permission::Granted);
            return true;
        }
        if let Some(error) = self.failed_start.take() {
            self.step(Input::CommandNotStarted(error));
            return true;
        }
        if let Some(tunnelled) = self.tunnelled.pop_front() {
            self.step(Input::Tunnelled(tunnelled));
            return true;
        }
        if self.wants_place() {
            self.step(Input::Admitted { commands: usize::MAX });
            return true;
        }
        if self.deadline().is_some_and(|at| at <= self.now) {
            self.step(Input::Wake);
            return true;
        }
        if self.link.take_edge() || self.again {
            self.step(Input::Wake);
            return true;
        }
        self.link.expects_news() || self.agent.owes_answer() || self.disk.owes_answer()
    }

    fn round_of_timers(&mut self) -> bool {
        let Some(at) = self.deadline() else { return false };
        self.now = self.now.max(at);
        self.step(Input::Wake);
        true
    }

    /// Runs until nothing more can happen.
    pub(super) fn run(&mut self) {
        self.run_until(|_| false);
    }

    pub(super) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..ROUNDS {
            if done(self) || !self.round() {
                return;
            }
        }
        panic!("no end after {ROUNDS} rounds: {:?}", self.session);
    }

    pub(super) fn run_until_phase(&mut self, phase: Phase) {
        self.run_until(|bench| bench.phase() == phase);
        assert_eq!(self.phase(), phase);
    }
}
