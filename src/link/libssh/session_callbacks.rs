//! The callbacks of sessions, including the one that accepts channels to a forwarded agent.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, ptr};

use libssh_rs::sys;

use super::channel::{Noted, RawChannel};
use super::log_lines;
use super::max_packet::MaxPacket;
use crate::limits;

/// The callbacks of a session without a forwarded agent.
pub(super) struct Callbacks(pub sys::ssh_callbacks_struct);

pub(super) static CALLBACKS: Callbacks = Callbacks(session_callbacks());

// SAFETY: it has no user data, and libssh only reads it.
unsafe impl Sync for Callbacks {}

/// The channels that a server opens to a forwarded agent, and the limits on them.
pub(super) struct AgentChannels {
    pub callbacks: sys::ssh_callbacks_struct,
    /// The channels that were accepted and that the session has not taken over yet.
    pub arrived: Vec<RawChannel>,
    /// How many channels have been accepted and not freed yet.
    pub open: usize,
    /// How many more channels may be accepted.
    pub admitted: usize,
}

impl AgentChannels {
    /// The caller must still set the user data of the callbacks to the address of this value.
    pub(super) fn new() -> Self {
        let callbacks = sys::ssh_callbacks_struct {
            channel_open_request_auth_agent_function: Some(on_agent_channel),
            ..session_callbacks()
        };
        Self { callbacks, arrived: Vec::new(), open: 0, admitted: 0 }
    }
}

/// The callbacks of every session. Only the one for agent channels needs user data.
const fn session_callbacks() -> sys::ssh_callbacks_struct {
    sys::ssh_callbacks_struct {
        size: size_of::<sys::ssh_callbacks_struct>(),
        connect_status_function: Some(on_status),
        // SAFETY: a size, a pointer, and optional functions, all of which may be zero.
        ..unsafe { mem::zeroed() }
    }
}

/// Records the progress of each key exchange, including the first. Apart from this callback, only
/// the log reports it.
unsafe extern "C" fn on_status(_: *mut c_void, progress: f32) {
    log_lines::report(|log| log.note_progress(progress));
}

/// Accepts a channel to the agent, or returns null to refuse it if there are too many.
unsafe extern "C" fn on_agent_channel(session: sys::ssh_session, channels: *mut c_void) -> sys::ssh_channel {
    // SAFETY: the user data that `RawSession` set, live as long as the session; no other reference
    // exists while libssh runs.
    let channels = unsafe { &mut *channels.cast::<AgentChannels>() };
    let accept = || {
        if channels.open >= limits::AGENT_CHANNELS || channels.admitted == 0 {
            return None;
        }
        // The channel gets its id when the session takes it over. Until then it counts as listed,
        // so that no callback lists it under this placeholder.
        let noted = Noted { id: usize::MAX, is_listed: true, reply: None };
        // SAFETY: the session that calls.
        let mut channel = unsafe { RawChannel::new(session, Some(noted)) }?;
        (channel.is_open, channel.max_packet) = (true, MaxPacket::Seen(0));
        let raw = channel.as_ptr();
        channels.open += 1;
        channels.admitted -= 1;
        channels.arrived.push(channel);
        Some(raw)
    };
    catch_unwind(AssertUnwindSafe(accept)).ok().flatten().unwrap_or(ptr::null_mut())
}
