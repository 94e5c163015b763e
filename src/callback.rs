//! Calls of the caller's code from within a turn.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The caller's code panicked. The panic hook has printed the message; errors do not repeat it,
/// because it may contain a password, for example one that did not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Calls `code` and catches a panic: it fails one host, and must not end the turn and so all other
/// hosts.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The code borrows our data for reading only, so a panic cannot leave it inconsistent.
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        // Dropping the panic's payload may panic as well.
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
    fn any_panic_is_caught() {
        assert_eq!(call(|| 7), Ok(7));
        assert_eq!(call(|| panic!("a text")), Err::<(), _>(Panicked));
        assert_eq!(call(|| panic_any(PanicsAgain)), Err::<(), _>(Panicked));
    }
}
