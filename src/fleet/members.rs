//! The fleets that share a guard, and what each of them has yet to take.

use std::collections::VecDeque;
use std::sync::Arc;

use mio::Waker;

/// The fleets that share a guard, by number. Each has a queue of what the others decide for its
/// hosts.
#[derive(Debug)]
pub(super) struct Members<T>(Vec<Member<T>>);

#[derive(Debug)]
struct Member<T> {
    queue: VecDeque<T>,
    /// Wakes the fleet. `None` if no other fleet takes part, or if the fleet is gone.
    waker: Option<Arc<Waker>>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Members<T> {
    /// Lets a fleet take part, and returns its number. `waker` wakes the fleet when there is
    /// something to take.
    pub fn join(&mut self, waker: Option<Arc<Waker>>) -> usize {
        self.0.push(Member { queue: VecDeque::new(), waker });
        self.0.len() - 1
    }

    pub fn send(&mut self, fleet: usize, news: T) {
        let member = &mut self.0[fleet];
        // The fleet takes all of its queue when it is woken.
        if member.queue.is_empty() {
            member.wake();
        }
        member.queue.push_back(news);
    }

    pub fn take(&mut self, fleet: usize) -> Option<T> {
        self.0[fleet].queue.pop_front()
    }

    pub fn has_news(&self, fleet: usize) -> bool {
        !self.0[fleet].queue.is_empty()
    }

    /// Takes back what the fleet has not taken yet.
    pub fn withdraw(&mut self, fleet: usize, is_void: impl Fn(&T) -> bool) {
        self.0[fleet].queue.retain(|news| !is_void(news));
    }

    /// The fleet is gone. Wakes the others, which go on when they look next.
    pub fn leave(&mut self, fleet: usize) {
        self.0[fleet] = Member { queue: VecDeque::new(), waker: None };
        self.0.iter().for_each(Member::wake);
    }
}

impl<T> Member<T> {
    fn wake(&self) {
        if let Some(waker) = &self.waker
            && let Err(error) = waker.wake()
        {
            log::error!("cannot wake a fleet whose hosts wait for their turn: {error}");
        }
    }
}
