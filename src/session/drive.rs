//! From news to progress: pumps the link, then steps the state for as long as it moves.

use super::auth::{Login, LoginResult};
use super::exec::{Exec, ExecCx, Execs, Progress};
use super::failure::Failure;
use super::pulse::Pulse;
use super::state::State;
use super::{Cx, Session, Step, Target};
use crate::error::HostErrorKind;
use crate::hostkey::Decision;
use crate::ids::CommandId;
use crate::limits;
use crate::link::{Pumped, Setup};
use crate::output::{Bound, Room};

impl Session {
    /// Pumps the link and steps the state until neither has more to do.
    ///
    /// Edges are reported once, so the last pump must have found nothing to read, and nothing to write or the socket full:
    /// then whatever comes next makes a new edge.
    pub(super) fn drive(&mut self, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        // Nothing is dialled: the link has nothing to tell, and after a failure it must be left alone.
        if !self.is_connected() || matches!(self.state, State::Resolving | State::Tunnelling(_)) {
            return Ok(Step::default());
        }
        if let Some(step) = self.rest() {
            return Ok(step);
        }
        // A command that ends sends up to three messages: window, end of input, end of the channel. Others send one a visit.
        let may_end = |id: &CommandId| cx.execs.get(*id).is_some_and(Exec::is_started);
        if !self.commands.begun().iter().any(may_end) {
            return self.pump_and_step(cx);
        }
        cx.link.cork();
        let driven = self.pump_and_step(cx);
        cx.link.uncork();
        driven
    }

    fn pump_and_step(&mut self, cx: &mut Cx<'_>) -> Result<Step, Failure> {
        let mut input_budget = limits::INPUT_PER_VISIT;
        loop {
            let pumped = match self.welcome(cx) {
                Some(reads) => cx.link.pump(reads)?,
                // What has arrived stays in the socket. Whoever makes room has it visited.
                None => Pumped::Drained,
            };
            self.check_rekeys(cx)?;
            let full = !cx.link.flushed();
            let was_connecting = matches!(self.state, State::Connecting(_));
            let mut progressed = false;
            while self.advance(&mut input_budget, cx)? {
                progressed = true;
            }
            if let Some(step) = self.rest() {
                return Ok(step);
            }
            if pumped == Pumped::More || input_budget == 0 {
                return Ok(Step { again: true, ..Step::default() });
            }
            // SSH that has just begun was never pumped; packets that wait inside libssh may have room in the socket.
            let began = was_connecting && !matches!(self.state, State::Connecting(_));
            if !began && (cx.link.flushed() || full && !progressed) {
                return Ok(Step::default());
            }
        }
    }

    /// While the host is verified, its connection is left alone. What has arrived is read after that, news or
    /// no news.
    fn rest(&self) -> Option<Step> {
        match &self.state {
            State::Verifying(verification) => {
                Some(Step { again: verification.is_searching(), ..Step::default() })
            }
            _ => None,
        }
    }

    /// How many socket reads are welcome now, if any; takes note of what holds the connection back.
    fn welcome(&mut self, cx: &Cx<'_>) -> Option<usize> {
        let room = self.room(cx.execs);
        let before = std::mem::replace(&mut self.held, room.lack());
        if before.is_some() != self.held.is_some()
            && let State::Ready(Some(pulse)) = &mut self.state
        {
            // Nobody listens meanwhile, and a long silence is not the peer's.
            pulse.restart(self.held.is_none().then_some(cx.now));
        }
        self.held.is_none().then(|| self.reads(room))
    }

    /// How many socket reads fit into this room. The last may bring a packet that has begun in earlier ones.
    pub(super) fn reads(&self, room: Room) -> usize {
        let compress = self.target.profile.connection.compress;
        let read = if compress { limits::INFLATED_READ } else { limits::SOCKET_READ };
        room.bytes.div_ceil(read).clamp(1, limits::PUMPS_PER_VISIT)
    }

    /// How much output there is room for.
    fn room(&self, execs: &Execs) -> Room {
        self.commands.begun().iter().map(|id| execs.room(*id)).min().unwrap_or(Room::ENDLESS)
    }

    /// What holds the connection back: it is not read from until there is room.
    pub(crate) fn held_by(&self) -> Option<Bound> {
        self.held
    }

    /// Whether it is held back and there is room again.
    pub(crate) fn may_go_on(&self, execs: &Execs) -> bool {
        self.held.is_some() && self.room(execs).lack().is_none()
    }

    /// Takes in what has arrived as far as there is room, and goes on with nothing: for a host that is about to leave.
    pub(crate) fn take_in(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.state, State::Ready(_)) {
            return;
        }
        for _ in 0..limits::LAST_PUMPS {
            let room = self.room(cx.execs);
            if room.lack().is_some() {
                return;
            }
            let pumped = cx.link.pump(self.reads(room));
            // A link that has failed is collected from as well.
            for id in self.commands.begun() {
                cx.execs.collect(*id, cx.now, cx.link);
            }
            if pumped != Ok(Pumped::More) {
                return;
            }
        }
    }

    /// One step of the state. Whether anything changed.
    fn advance(&mut self, input_budget: &mut usize, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        match &mut self.state {
            State::Connecting(addresses) => {
                if addresses.poll(cx.now, self.deadline, cx.link)?.is_pending() {
                    return Ok(false);
                }
                self.begin_ssh(cx)
            }
            State::Handshaking => {
                if cx.link.handshake()?.is_pending() {
                    return Ok(false);
                }
                self.begin_to_verify(cx)?;
                Ok(true)
            }
            State::Authenticating(login) => {
                match login.step(&self.target, cx.calendar, cx.link, &mut self.costs)? {
                    LoginResult::Pending => Ok(false),
                    LoginResult::Accepted => {
                        let Target { host, port, .. } = &*self.target;
                        log::debug!("{host} (port {port}): connected; {}", login.proof());
                        let packets = cx.link.packets_read();
                        let keepalive = self.target.profile.connection.keepalive;
                        let pulse = keepalive.map(|keepalive| Pulse::new(keepalive, packets, cx.now));
                        self.enter(State::Ready(pulse), cx.now);
                        Ok(true)
                    }
                }
            }
            State::Ready(_) if self.tunnels.is_some() => {
                Ok(self.step_tunnels(input_budget, cx)? || self.keep_alive(cx)?)
            }
            State::Ready(_) => Ok(self.step_commands(input_budget, cx)? || self.keep_alive(cx)?),
            State::Queued
            | State::Resolving
            | State::Tunnelling(_)
            | State::Verifying(_)
            | State::BackingOff(_)
            | State::Closed
            | State::Failed(_) => Ok(false),
        }
    }

    pub(super) fn begin_ssh(&mut self, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        self.enter(State::Handshaking, cx.now);
        let Target { recorded: (name, port), profile, .. } = &*self.target;
        if self.recorded.is_empty() {
            self.recorded = profile.verifier.algorithms_at_hand(name, *port);
        }
        let compress = profile.connection.compress;
        let agent = profile.agent.as_ref().filter(|_| profile.forward_agent);
        cx.link.start(&Setup { user: &profile.user, recorded: &self.recorded, compress, agent })?;
        Ok(true)
    }

    /// The keys are exchanged: what is known of the host's is looked for, and that may be enough.
    fn begin_to_verify(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        self.costs.key_exchanges += 1;
        let Target { recorded: (name, port), profile, .. } = &*self.target;
        let key = cx.link.server_key()?;
        let verification =
            profile.verifier.begin(name, *port, key, &self.recorded).map_err(HostErrorKind::HostKey)?;
        self.enter(State::Verifying(Box::new(verification)), cx.now);
        self.verify(cx)
    }

    /// Compares another share of the lines on record, once per visit, and draws the consequences once there
    /// are any.
    ///
    /// The one way to authentication: through a [`HostVerified`](crate::hostkey::HostVerified), made by the
    /// verifier alone.
    pub(super) fn verify(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let State::Verifying(verification) = &mut self.state else { return Ok(()) };
        let profile = &self.target.profile;
        match profile.verifier.advance(verification, limits::HOST_KEY_LINES) {
            Decision::Pending => {}
            Decision::Accepted(proof) => {
                self.enter(State::Authenticating(Box::new(Login::new(proof, profile))), cx.now);
            }
            Decision::Instead(algorithms) => {
                self.recorded = algorithms;
                return Err(Failure::OtherKey);
            }
            Decision::Refused(error) => return Err(HostErrorKind::HostKey(error).into()),
        }
        Ok(())
    }

    fn step_commands(&mut self, input_budget: &mut usize, cx: &mut Cx<'_>) -> Result<bool, Failure> {
        let mut advanced = false;
        let mut index = 0;
        while let Some(id) = self.commands.begun().get(index).copied() {
            let progress = self.step_command(id, input_budget, cx)?;
            advanced |= progress != Progress::Pending;
            // One that has left the list was followed by the next one in its place.
            index += usize::from(self.commands.begun().get(index) == Some(&id));
        }
        // One at a time, so that an announced packet size belongs to it.
        let is_opening = |id: &CommandId| cx.execs.get(*id).is_some_and(Exec::is_opening);
        if !self.commands.begun().iter().any(is_opening)
            && let Some(id) = self.commands.begin_next()
        {
            self.step_command(id, input_budget, cx)?;
            advanced = true;
        }
        Ok(advanced)
    }

    /// Steps a command that has begun, and gives it its new place among the commands.
    fn step_command(
        &mut self,
        id: CommandId,
        input_budget: &mut usize,
        cx: &mut Cx<'_>,
    ) -> Result<Progress, Failure> {
        let has_channel = |id: &CommandId| cx.execs.get(*id).is_some_and(Exec::has_channel);
        // Asked of the one that is being opened alone: only a refused channel is waited for.
        let is_opening = cx.execs.get(id).is_some_and(Exec::is_opening);
        let has_others =
            is_opening && self.commands.begun().iter().any(|other| *other != id && has_channel(other));
        let progress = cx.execs.step(
            id,
            &mut ExecCx {
                target: &self.target,
                attempt: self.attempt,
                now: cx.now,
                link: &mut *cx.link,
                input_budget,
                has_others,
                room_expected: &mut self.room_expected,
            },
        )?;
        match cx.execs.get(id) {
            _ if progress == Progress::Done => {
                self.commands.remove(id);
                self.unblock(cx.execs);
            }
            Some(exec) if exec.is_waiting() => self.commands.requeue(id),
            Some(exec) if exec.is_blocked() => self.commands.block(id),
            _ => {}
        }
        Ok(progress)
    }
}
