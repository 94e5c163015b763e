//! What has to be put in order if a signal ends the program before a run handles signals itself:
//! the terminal while a password is typed, and commands that know groups.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::SigId;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, unregister};

use crate::run::{OF_PROMPT, to_handle};

type Action = Box<dyn FnOnce() + Send>;

static STATE: Mutex<State> =
    Mutex::new(State { actions: Vec::new(), next: 0, watcher: None, is_handed_over: false });

struct State {
    actions: Vec<(u64, Action)>,
    next: u64,
    /// Ends the thread that waits for signals.
    watcher: Option<Handle>,
    is_handed_over: bool,
}

/// Something that is done if a signal ends the program before this is dropped.
#[must_use]
pub struct Cleanup(u64);

/// Has something done if SIGINT, SIGTERM or SIGHUP ends the program, which they do at once until
/// [`hand_over`].
///
/// # Errors
/// Signals cannot be waited for.
pub fn on_signal(action: impl FnOnce() + Send + 'static) -> io::Result<Cleanup> {
    let mut state = state();
    if state.watcher.is_none() && !state.is_handed_over {
        state.watcher = Some(watch()?);
    }
    let number = state.next;
    state.next += 1;
    state.actions.push((number, Box::new(action)));
    Ok(Cleanup(number))
}

/// Leaves signals to an event loop, which handles them already.
pub fn hand_over() {
    let mut state = state();
    state.is_handed_over = true;
    if let Some(watcher) = state.watcher.take() {
        watcher.close();
    }
}

/// Waits for signals on a thread.
fn watch() -> io::Result<Handle> {
    let mut signals = Signals::new(to_handle(&OF_PROMPT))?;
    let handle = signals.handle();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            // Whoever sees what these do waits for the end of the program, not to report a failure.
            let mut state = state();
            state.actions.drain(..).for_each(|(_, action)| action());
            // A shell sees that a signal has ended this program.
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(handle)
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        state().actions.retain(|(number, _)| *number != self.0);
    }
}

/// Whether ^C was pressed while something was waited for at a prompt, whose event loop handles
/// signals but has no turn meanwhile.
pub struct Interrupt {
    was_pressed: Arc<AtomicBool>,
    registered: Option<SigId>,
}

impl Interrupt {
    pub fn watch() -> Self {
        let was_pressed = Arc::new(AtomicBool::new(false));
        // Elsewhere, ^C ends the program.
        let is_awaited = state().is_handed_over;
        let register = || signal_hook::flag::register(SIGINT, was_pressed.clone()).ok();
        Self { registered: is_awaited.then(register).flatten(), was_pressed }
    }

    pub fn was_pressed(&self) -> bool {
        self.was_pressed.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if let Some(id) = self.registered {
            unregister(id);
        }
    }
}
