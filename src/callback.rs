//! Calls of the caller's own code from within a turn.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The caller's code has panicked. What it said was printed by the panic hook, and is not repeated in errors:
/// it may be a password that did not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Calls `code`. A panic ends here: it is the fault of one host, and must not take the turn, and all other
/// hosts, with it.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    // Nothing of ours is lent to the code but for reading.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        // A payload may panic when it is dropped.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(payload);
        }
        Panicked
    })
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    struct PanicsAgain;

    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("while it is dropped");
        }
    }

    #[test]
    fn a_panic_ends_here_whatever_it_carries() {
        assert_eq!(call(|| 7), Ok(7));
        assert_eq!(call(|| panic!("a text")), Err::<(), _>(Panicked));
        assert_eq!(call(|| panic_any(PanicsAgain)), Err::<(), _>(Panicked));
    }
}
